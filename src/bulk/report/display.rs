//! A report as text.

use std::fmt;

use crate::bulk::report::{DeviceItems, Report, SlowItem, Spread};

/// A few lines for people, as the examples print them at the end of a job.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { items, errors, seconds, items_per_second, .. } = self;
        write!(f, "{items} items in {seconds:.2} s ({items_per_second:.1} items/s), {errors} errors")?;
        if self.truncated > 0 {
            write!(f, ", {} truncated", self.truncated)?;
        }
        let model = [&self.device, &self.kernel_set, &self.precision].into_iter().filter(|s| !s.is_empty());
        let model: Vec<String> = model.map(|text| one_line(text)).collect();
        if !model.is_empty() {
            write!(f, "\n{}; loaded in {:.2} s", model.join(", "), self.load_seconds)?;
        }
        let Spread { min, median, max } = self.chunk_items;
        let busy = self.worker_busy.iter().sum::<f64>() / self.worker_busy.len().max(1) as f64 * 100.0;
        write!(
            f,
            "\n{} workers {busy:.0} % busy; {} chunks of {min} to {max} items (median {median})",
            self.workers, self.chunks
        )?;
        if self.cache_hits > 0 {
            write!(f, "; {} results from the cache", self.cache_hits)?;
        }
        if self.duplicates > 0 {
            write!(f, "; {} duplicates", self.duplicates)?;
        }
        if let Some(bytes) = self.peak_rss_bytes {
            write!(f, "; peak memory {:.0} MB", bytes as f64 / 1e6)?;
        }
        if let Some(SlowItem { index, seconds, .. }) = self.slowest.first() {
            write!(f, "; slowest item: {index}, {:.1} ms", seconds * 1e3)?;
        }
        for DeviceItems { device, items, .. } in &self.devices {
            write!(f, "\nran on {}: {items} items", one_line(device))?;
        }
        for note in &self.notes {
            write!(f, "\nnote: {}", one_line(note))?;
        }
        Ok(())
    }
}

/// Text in one line, whatever names of files and texts are in it: control characters are escaped.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_no_lines() {
        let notes = vec!["reading `a\nnote: forged\u{1b}[31m`".to_owned()];
        let report = Report { device: "card\n9 items".into(), notes, ..Report::default() };
        let text = report.to_string();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.ends_with(r"note: reading `a\nnote: forged\u{1b}[31m`"), "{text}");
    }
}
