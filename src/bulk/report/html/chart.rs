//! Charts of a page, as pictures inside it.

use std::fmt::Write as _;

use crate::bulk::report::html::text::{count, duration};

/// The picture, in units that are about pixels of a phone.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 168.0;
/// The plot inside it.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 350.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 140.0;
/// Bars of a histogram whose sizes each have one.
const MOST_BARS: usize = 12;

/// A chart of values over consecutive periods, each with its seconds; none without two known values.
///
/// `most` is the top of the scale, where that is known.
pub(super) fn over_time(
    title: &str,
    unit: &str,
    values: &[(Option<f64>, f64)],
    most: Option<f64>,
    name: &dyn Fn(f64) -> String,
) -> Option<String> {
    let known = || values.iter().filter_map(|(value, _)| *value);
    let seconds: f64 = values.iter().map(|(_, seconds)| seconds).sum();
    if known().count() < 2 || seconds <= 0.0 {
        return None;
    }
    let largest = known().fold(0.0, f64::max);
    let top = most.filter(|most| *most >= largest).unwrap_or_else(|| ceiling(largest));
    let x = |at: f64| LEFT + (RIGHT - LEFT) * at / seconds;
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / top;
    let (mut line, mut hits) = (String::new(), String::new());
    let (mut at, mut last) = (0.0, known().next().unwrap_or_default());
    for (value, length) in values {
        // A period in which nothing was measured has the value of the one before.
        last = value.unwrap_or(last);
        let pen = if line.is_empty() { 'M' } else { 'L' };
        let (from, to) = (x(at), x(at + length));
        let _ = write!(line, "{pen}{from:.1} {0:.1}L{to:.1} {0:.1}", y(last));
        let _ = writeln!(
            hits,
            "<rect class=\"hit\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"><title>{} to {}: {} \
             {unit}</title></rect>",
            to - from,
            BOTTOM - TOP,
            duration(at),
            duration(at + length),
            name(last)
        );
        at += length;
    }
    let mut picture = grid(top, name);
    let area = format!("{line}L{RIGHT} {BOTTOM}L{LEFT} {BOTTOM}Z");
    let _ = writeln!(picture, "<path class=\"area\" d=\"{area}\"/>\n<path class=\"line\" d=\"{line}\"/>");
    let ticks = time_ticks(seconds);
    for &tick in &ticks {
        picture += &label(x(tick), &duration(tick));
    }
    picture += &hits;
    let about = format!("{title} in {unit} over {}, at most {}", duration(seconds), name(largest));
    Some(figure(title, unit, &about, &picture))
}

/// A chart of the number of chunks by their items.
pub(super) fn chunk_sizes(sizes: &[(usize, usize)]) -> Option<String> {
    if sizes.is_empty() {
        return None;
    }
    // Each bar: the smallest and the largest items of its chunks, and how many these are.
    let mut groups: Vec<(usize, usize, usize)> = Vec::new();
    for &(items, chunks) in sizes {
        let same = |least: usize| sizes.len() > MOST_BARS && least.max(1).ilog2() == items.max(1).ilog2();
        match groups.last_mut() {
            Some((least, largest, sum)) if same(*least) => (*largest, *sum) = (items, *sum + chunks),
            _ => groups.push((items, items, chunks)),
        }
    }
    let most = groups.iter().map(|(.., chunks)| *chunks).max().unwrap_or_default();
    // A small scale has whole numbers in its middle.
    let top = if most > 10 { ceiling(most as f64) } else { (most + most % 2).max(2) as f64 };
    let each = (RIGHT - LEFT) / groups.len() as f64;
    let mut picture = grid(top, &|value| count(value as u64));
    // Names of bars that stand too close are left out.
    let widest =
        groups.iter().map(|(least, ..)| count(*least as u64).len()).max().unwrap_or_default() as f64 * 6.5 + 6.0;
    let every = (widest / each).ceil().max(1.0) as usize;
    for (place, (least, largest, chunks)) in groups.iter().enumerate() {
        let height = (BOTTOM - TOP) * *chunks as f64 / top;
        let width = (each * 0.8).min(48.0);
        let middle = LEFT + each * (place as f64 + 0.5);
        let items = if least == largest { count(*least as u64) } else { format!("{least} to {largest}") };
        let _ = writeln!(
            picture,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{} chunks of \
             {items} items</title></rect>",
            middle - width / 2.0,
            BOTTOM - height,
            count(*chunks as u64)
        );
        if place.is_multiple_of(every) {
            picture += &label(middle, &count(*least as u64));
        }
    }
    let total: usize = groups.iter().map(|(.., chunks)| chunks).sum();
    let about = format!("{} chunks by the items that each had", count(total as u64));
    Some(figure("Chunk sizes", "chunks by their items", &about, &picture))
}

fn figure(title: &str, unit: &str, about: &str, picture: &str) -> String {
    format!(
        "<figure>\n<figcaption><strong>{title}</strong> <span>{unit}</span></figcaption>\n<svg viewBox=\"0 0 {WIDTH} \
         {HEIGHT}\" role=\"img\" aria-label=\"{about}\">\n{picture}</svg>\n</figure>\n"
    )
}

/// Lines across the plot from 0 to `top`, with their values.
fn grid(top: f64, name: &dyn Fn(f64) -> String) -> String {
    let mut lines = String::new();
    for part in [0.0, 0.5, 1.0] {
        let y = BOTTOM - (BOTTOM - TOP) * part;
        let _ = writeln!(
            lines,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/><text class=\"value\" x=\"{}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            name(top * part)
        );
    }
    lines
}

fn label(x: f64, text: &str) -> String {
    format!("<text class=\"time\" x=\"{x:.1}\" y=\"{}\">{text}</text>\n", BOTTOM + 18.0)
}

/// The next number of few digits, half of which has few digits too.
fn ceiling(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|step| *step >= value * 0.999_999).unwrap_or(10.0 * power)
}

/// About three round moments within so many seconds.
fn time_ticks(seconds: f64) -> Vec<f64> {
    let round = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0];
    let (mut step, least) = (1e-6, seconds / 3.5);
    if least < 1.0 {
        while step < least {
            step = ceiling(step * 1.5);
        }
    } else {
        let days = (least / 14400.0).ceil() * 14400.0;
        step = round.into_iter().find(|step| *step >= least).unwrap_or(days);
    }
    (0..4).map(|tick| f64::from(tick) * step).filter(|tick| *tick <= seconds * 0.97).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round_and_hold_all() {
        for (value, due) in [(0.0, 1.0), (1.0, 1.0), (1.1, 1.2), (37.0, 40.0), (0.07, 0.08), (999.0, 1000.0)] {
            assert!((ceiling(value) / due - 1.0).abs() < 1e-9, "{value}: {}", ceiling(value));
        }
        for seconds in [1e-5, 0.003, 0.2, 1.0, 3.0, 59.0, 100.0, 4000.0, 90_000.0, 1e7] {
            let ticks = time_ticks(seconds);
            assert!((2..=4).contains(&ticks.len()), "{ticks:?} of {seconds}");
            assert!(ticks.iter().all(|tick| *tick < seconds), "{ticks:?} of {seconds}");
        }
    }

    #[test]
    fn many_sizes_share_bars() {
        let few = chunk_sizes(&[(1, 2), (64, 9)]).unwrap();
        assert_eq!(few.matches("class=\"bar\"").count(), 2);
        assert!(few.contains("9 chunks of 64 items"), "{few}");
        let many: Vec<_> = (1..=1000).map(|items| (items, 1)).collect();
        let many = chunk_sizes(&many).unwrap();
        assert_eq!(many.matches("class=\"bar\"").count(), 10);
        assert!(many.contains("256 chunks of 256 to 511 items"), "{many}");
        assert_eq!(chunk_sizes(&[]), None);
    }

    #[test]
    fn what_was_not_measured_is_bridged() {
        let values = [(None, 1.0), (Some(4.0), 1.0), (None, 1.0), (Some(8.0), 0.5)];
        let chart = over_time("T", "u", &values, None, &|value| format!("{value}")).unwrap();
        assert!(chart.contains("<title>2 s to 3 s: 4 u</title>"), "{chart}");
        assert_eq!(over_time("T", "u", &values[..2], None, &|value| format!("{value}")), None);
    }
}
