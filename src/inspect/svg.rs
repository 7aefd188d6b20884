//! The drawing.

use std::{collections::HashMap, fmt::Write};

use crate::inspect::{
    Inspection,
    chains::{Chain, Kind},
    layout::Layout,
};

/// Width of a box, and the gap between two boxes of a row.
const WIDTH: f64 = 190.0;
const GAP: f64 = 28.0;
/// Height of a line of text, and the space between two rows.
const LINE: f64 = 15.0;
const BETWEEN: f64 = 56.0;
const MARGIN: f64 = 24.0;
/// Lines beside a box before they share a place.
const LANES: usize = 5;
/// The most operators that a box names; the rest is counted.
const MOST_LABELS: usize = 6;
/// The most characters of a label.
const MOST_CHARACTERS: usize = 26;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1d2733}.size{font-size:10px;fill:#5b6875;paint-order:stroke;stroke:#fff;\
stroke-width:3px}.title{font-size:15px;font-weight:600}.flow{fill:none;stroke:#9aa7b4;stroke-width:1.4}\
rect{stroke-width:1.2}.port{fill:#f1f3f5;stroke:#868e96}.device{fill:#e7f1fb;stroke:#3b7dbd}\
.host{fill:#fdf0dd;stroke:#c98a1b}";

/// A box's place.
#[derive(Clone, Copy, Default)]
struct Place {
    x: f64,
    y: f64,
    height: f64,
}

pub(super) fn draw(inspection: &Inspection) -> String {
    let chains = &inspection.chains;
    let layout = Layout::of(chains);
    let widest = layout.rows.iter().map(Vec::len).max().unwrap_or(0) as f64;
    let width = (widest * (WIDTH + GAP) - GAP).max(420.0) + 2.0 * MARGIN;
    let mut row_of = vec![0; chains.boxes.len()];
    let mut places = vec![Place::default(); chains.boxes.len()];
    let mut y = MARGIN + 52.0;
    for (number, row) in layout.rows.iter().enumerate() {
        let mut x = (width - (row.len() as f64 * (WIDTH + GAP) - GAP)) / 2.0;
        for &own in row {
            row_of[own] = number;
            places[own] = Place { x, y, height: labels(&chains.boxes[own]).len() as f64 * LINE + 12.0 };
            x += WIDTH + GAP;
        }
        y += row.iter().map(|&own| places[own].height).fold(0.0, f64::max) + BETWEEN;
    }
    let height = y - BETWEEN + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\"><style>{STYLE}</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    );
    text(&mut svg, (MARGIN, MARGIN + 4.0), "title", "start", &shortened(&inspection.name, 80));
    text(&mut svg, (MARGIN, MARGIN + 24.0), "", "start", &format!("{}; {}", inspection.device, inspection.batching));
    let mut lane = 0;
    for flow in &chains.flows {
        let (from, to) = (places[flow.from], places[flow.to]);
        let path = if row_of[flow.to] == row_of[flow.from] + 1 {
            straight(from, to)
        } else {
            lane = (lane + 1) % LANES;
            around(from, to, lane)
        };
        let _ = write!(svg, "<path class=\"flow\" d=\"{path}\"/>");
    }
    for (chain, place) in chains.boxes.iter().zip(&places) {
        draw_box(&mut svg, chain, *place);
    }
    // A value that goes to several boxes is labelled once.
    let mut told: HashMap<usize, Vec<&str>> = HashMap::new();
    for flow in &chains.flows {
        let told = told.entry(flow.from).or_default();
        if told.contains(&flow.fact.as_str()) {
            continue;
        }
        told.push(&flow.fact);
        let from = places[flow.from];
        let at = (from.x + WIDTH / 2.0 + 5.0, from.y + from.height + 1.0 + told.len() as f64 * 12.0);
        text(&mut svg, at, "size", "start", &shortened(&flow.fact, 40));
    }
    svg + "</svg>\n"
}

/// A line to the next row.
fn straight(from: Place, to: Place) -> String {
    let (x0, y0, x1, y1) = (from.x + WIDTH / 2.0, from.y + from.height, to.x + WIDTH / 2.0, to.y);
    let bend = (y1 - y0) / 2.0;
    format!("M{x0:.1} {y0:.1}C{x0:.1} {:.1} {x1:.1} {:.1} {x1:.1} {y1:.1}", y0 + bend, y1 - bend)
}

/// A line past the boxes of the rows between, from side to side.
fn around(from: Place, to: Place, lane: usize) -> String {
    let (x0, y0, x1, y1) = (from.x + WIDTH, from.y + from.height / 2.0, to.x + WIDTH, to.y + to.height / 2.0);
    let x = x0.max(x1) + 6.0 + lane as f64 * 4.0;
    format!(
        "M{x0:.1} {y0:.1}C{x:.1} {y0:.1} {x:.1} {y0:.1} {x:.1} {:.1}V{:.1}C{x:.1} {y1:.1} {x:.1} {y1:.1} {x1:.1} {y1:.1}",
        y0 + 14.0,
        y1 - 14.0
    )
}

fn draw_box(svg: &mut String, chain: &Chain, place: Place) {
    let (class, round) = match chain.kind {
        Kind::Input | Kind::Output => ("port", place.height / 2.0),
        Kind::Device => ("device", 5.0),
        Kind::Host => ("host", 5.0),
    };
    let Place { x, y, height } = place;
    let _ = write!(
        svg,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{WIDTH}\" height=\"{height:.1}\" rx=\"{round:.1}\">\
         <title>{}</title></rect>",
        escaped(&chain.labels.join(", "))
    );
    for (index, label) in labels(chain).iter().enumerate() {
        text(svg, (x + WIDTH / 2.0, y + 6.0 + (index as f64 + 0.8) * LINE), "", "middle", label);
    }
}

/// The lines of a box: its operators, of many the first.
fn labels(chain: &Chain) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let shown = if chain.labels.len() > MOST_LABELS { MOST_LABELS - 1 } else { chain.labels.len() };
    lines.extend(chain.labels[..shown].iter().map(|label| shortened(label, MOST_CHARACTERS)));
    if shown < chain.labels.len() {
        lines.push(format!("and {} more", chain.labels.len() - shown));
    }
    lines
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, anchor: &str, words: &str) {
    let words = escaped(words);
    let _ = write!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Text for XML, without the control characters that XML does not allow.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}
