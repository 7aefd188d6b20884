//! A report as a page for people: one file without scripts, fonts or pictures from elsewhere.

mod chart;
mod text;

use std::fmt::Write as _;

use crate::bulk::report::{
    Report, Spread,
    html::{
        chart::{chunk_sizes, over_time},
        text::{bytes, count, duration, escape, percent, rate},
    },
};

/// The looks of the page, in light and in dark.
const STYLE: &str = include_str!("html/style.css");

impl Report {
    /// Formats the report as a page for people: one HTML file that needs nothing from elsewhere.
    ///
    /// It draws throughput, busy workers and memory over time, the sizes of the chunks, the slowest items and the failed
    /// ones by kind. `title` is its headline, such as the name of the job; `facts` are further lines of its last table,
    /// a name and a value each. Text of any kind is shown as text. A report that serde has read has no charts and no kinds
    /// of failures.
    ///
    /// ```
    /// use gristmill::{bulk::Bulk, from_fn};
    /// let (_, report) = Bulk::new(from_fn(|text: &str| Ok(text.len()))).run(&["a", "bc"]);
    /// let page = report.to_html("lengths", &[("input", "two texts".to_owned())]);
    /// assert!(page.starts_with("<!DOCTYPE html>"));
    /// ```
    pub fn to_html(&self, title: &str, facts: &[(&str, String)]) -> String {
        let mut page = String::new();
        let items = count(self.items as u64);
        // The policy keeps a browser from running or loading anything, whatever the texts are.
        let _ = write!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\"/>\n<meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n<title>{title}: {items} items</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n{}\n</header>\n",
            self.verdict(),
            title = escape(title),
        );
        page += &self.tiles();
        page += &self.charts();
        page += &self.failed();
        page += &self.slow();
        page += &self.workers();
        page += &self.notes();
        page += &self.facts(facts);
        page += "</main>\n</body>\n</html>\n";
        page
    }

    /// How the job ended, in one sentence.
    fn verdict(&self) -> String {
        let (items, time) = (count(self.items as u64), duration(self.seconds));
        let (class, end) = match self.errors {
            _ if self.workers == 0 => ("bad", "The job did not start.".to_owned()),
            0 => ("good", "None failed.".to_owned()),
            errors => ("bad", format!("{} failed.", count(errors as u64))),
        };
        format!("<p class=\"verdict {class}\">{items} items in {time}. <strong>{end}</strong></p>")
    }

    fn tiles(&self) -> String {
        let share = |part: f64| part / (self.items.max(1)) as f64;
        let busy = self.worker_busy.iter().sum::<f64>() / self.worker_busy.len().max(1) as f64;
        let mut tiles = vec![
            ("items per second", rate(self.items_per_second), None),
            ("failed", percent(share(self.errors as f64)), Some((share(self.errors as f64), "bad"))),
            ("truncated", percent(share(self.truncated as f64)), Some((share(self.truncated as f64), "warn"))),
            ("workers busy", percent(busy), Some((busy, "plain"))),
            ("until the first result", duration(self.first_result_seconds), None),
        ];
        if let Some(peak) = self.peak_rss_bytes {
            tiles.push(("peak memory", bytes(peak as f64), None));
        }
        let mut text = String::from("<dl class=\"tiles\">\n");
        for (name, value, share) in tiles {
            let meter = share.map_or(String::new(), |(share, class)| meter(share, class));
            let _ = writeln!(text, "<div><dt>{name}{meter}</dt><dd>{value}</dd></div>");
        }
        text + "</dl>\n"
    }

    fn charts(&self) -> String {
        let periods = &self.details.periods;
        let series = |of: &dyn Fn(&(super::history::Period, f64)) -> Option<f64>| -> Vec<(Option<f64>, f64)> {
            periods.iter().map(|period| (of(period), period.1)).collect()
        };
        let items = series(&|(period, seconds)| Some(period.items / seconds));
        let busy = series(&|(period, seconds)| Some((period.busy / seconds).min(self.workers as f64)));
        let memory = series(&|(period, _)| period.memory.map(|bytes| bytes as f64));
        let mut charts = vec![
            over_time("Throughput", "items per second", &items, None, &rate),
            over_time("Busy workers", "workers", &busy, Some(self.workers as f64), &rate),
            over_time("Memory", "of the process", &memory, None, &bytes),
        ];
        charts.push(chunk_sizes(&self.details.chunk_sizes));
        let charts: Vec<String> = charts.into_iter().flatten().collect();
        match charts.is_empty() {
            true => String::new(),
            false => format!("<div class=\"charts\">\n{}</div>\n", charts.concat()),
        }
    }

    fn failed(&self) -> String {
        if self.errors == 0 {
            return String::new();
        }
        let rows: Vec<_> = self.details.failures.sorted();
        let cells = rows.into_iter().map(|kind| {
            let share = kind.count as f64 / self.errors.max(1) as f64;
            vec![
                format!("{} {}", count(kind.count as u64), meter(share, "bad")),
                kind.stage.to_string(),
                words(&format!("{:?}", kind.kind)),
                escape(&kind.first),
            ]
        });
        table("Failed items by kind", &["items", "stage", "kind", "the first"], cells)
    }

    fn slow(&self) -> String {
        let most = self.slowest.first().map_or(0.0, |item| item.seconds);
        let cells = self.slowest.iter().enumerate().map(|(place, item)| {
            let name = self.details.slow_names.get(place);
            let how = if item.alone { "measured" } else { "its share of a chunk" };
            vec![
                name.map_or_else(|| format!("item {}", count(item.index as u64)), |name| escape(name)),
                format!("{} {}", duration(item.seconds), meter(item.seconds / most.max(f64::MIN_POSITIVE), "plain")),
                how.to_owned(),
            ]
        });
        table("Slowest items", &["item", "time", "how it is known"], cells)
    }

    /// How busy each worker and each driver was, and what ran on which device.
    fn workers(&self) -> String {
        let mut text = shares("Workers", "how much of the time each was busy", &self.worker_busy);
        text += &shares("Drivers", "how much of the time each was in the model", &self.driver_busy);
        let devices = self.devices.iter().map(|device| {
            let share = device.items as f64 / self.items.max(1) as f64;
            vec![escape(&device.device), format!("{} {}", count(device.items as u64), meter(share, "plain"))]
        });
        text + &table("Devices", &["device", "items"], devices)
    }

    fn notes(&self) -> String {
        if self.notes.is_empty() {
            return String::new();
        }
        let notes: String = self.notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
        format!("<section>\n<h2>Notes</h2>\n<ul>\n{notes}</ul>\n</section>\n")
    }

    fn facts(&self, facts: &[(&str, String)]) -> String {
        let times = |Spread { min, median, max }: Spread<f64>| {
            format!("{} to {}, median {}", duration(min), duration(max), duration(median))
        };
        let Spread { min, median, max } = self.chunk_items;
        let chunks = format!("{} of {min} to {max} items, median {median}", count(self.chunks as u64));
        let own = [
            ("device", self.device.clone()),
            ("kernel set", self.kernel_set.clone()),
            ("precision", self.precision.clone()),
            ("model", self.model_fingerprint.as_str().to_owned()),
            ("loaded in", duration(self.load_seconds)),
            ("workers", self.workers.to_string()),
            ("chunks", chunks),
            ("time of a chunk", times(self.chunk_seconds)),
            ("wait before a chunk", times(self.queue_wait_seconds)),
            ("scratch of each worker", bytes(self.scratch_bytes_per_worker as f64)),
            ("padding", count(self.padding)),
            ("from the cache", count(self.cache_hits as u64)),
            ("duplicates", count(self.duplicates as u64)),
        ];
        let own = own.iter().map(|(name, value)| (*name, value));
        let all = facts.iter().map(|(name, value)| (*name, value)).chain(own);
        let rows = all.filter(|(_, value)| !value.is_empty() && *value != "0");
        table("Job", &[], rows.map(|(name, value)| vec![escape(name), escape(value)]))
    }
}

/// A section with a table, unless that has no rows; all cells are HTML.
fn table(title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut body = String::new();
    for row in rows {
        let mut cells = row.into_iter();
        let first = cells.next().unwrap_or_default();
        let rest: String = cells.map(|cell| format!("<td>{cell}</td>")).collect();
        let _ = writeln!(body, "<tr><th scope=\"row\">{first}</th>{rest}</tr>");
    }
    if body.is_empty() {
        return body;
    }
    let head: String = head.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let head = if head.is_empty() { head } else { format!("<thead><tr>{head}</tr></thead>\n") };
    format!("<section>\n<h2>{title}</h2>\n<table>\n{head}<tbody>\n{body}</tbody>\n</table>\n</section>\n")
}

/// A section with a bar for each share, unless there are none.
fn shares(title: &str, about: &str, shares: &[f64]) -> String {
    if shares.is_empty() {
        return String::new();
    }
    let cells = shares
        .iter()
        .enumerate()
        .map(|(place, share)| format!("<li><span>{place}</span> {}{}</li>\n", percent(*share), meter(*share, "plain")));
    let cells: String = cells.collect();
    format!("<section>\n<h2>{title} <span>{about}</span></h2>\n<ul class=\"shares\">\n{cells}</ul>\n</section>\n")
}

/// A small bar that shows a share.
fn meter(share: f64, class: &str) -> String {
    let width = if share.is_finite() { (share.clamp(0.0, 1.0) * 1000.0).round() / 10.0 } else { 0.0 };
    format!("<span class=\"meter {class}\" aria-hidden=\"true\"><span style=\"width:{width}%\"></span></span>")
}

/// The name of a variant as words.
fn words(name: &str) -> String {
    let mut words = String::new();
    for (place, letter) in name.chars().enumerate() {
        if place > 0 && letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests;
