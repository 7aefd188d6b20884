use std::time::{Duration, Instant};

use super::*;
use crate::{
    bulk::report::{DeviceItems, SlowItem, history::History},
    error::{Error, Stage},
};

/// What would be markup, end an attribute, or change the order of a text.
const HOSTILE: &str = "<script>alert('x')</script>\"'>&\u{202e}\u{0}\n";

/// A report with something in each part of the page, and hostile texts wherever there are any.
fn full() -> Report {
    let (start, mut history) = (Instant::now(), History::default());
    history.start(start);
    for second in 1..=60_u32 {
        let now = start + Duration::from_secs(u64::from(second));
        history.add(now, Duration::from_millis(900), true, 300 + (second as usize * 37) % 90);
        history.memory(now, Some(400_000_000 + u64::from(second) * 1_000_000));
    }
    let mut report = Report {
        items: 20_000,
        errors: 4,
        truncated: 1234,
        seconds: 60.0,
        items_per_second: 333.3,
        device: HOSTILE.into(),
        kernel_set: HOSTILE.into(),
        precision: HOSTILE.into(),
        workers: 3,
        worker_busy: vec![0.9, 1.0, f64::NAN],
        driver_busy: vec![0.5],
        peak_rss_bytes: Some(471_000_000),
        model_fingerprint: HOSTILE.to_owned().into(),
        notes: vec![HOSTILE.into()],
        slowest: vec![SlowItem { index: 7, seconds: 0.5, alone: true }, SlowItem::default()],
        devices: vec![DeviceItems { device: HOSTILE.into(), items: 9, ..DeviceItems::default() }],
        ..Report::default()
    };
    report.details.periods = history.periods(60.0);
    report.details.chunk_sizes = (1..40).map(|items| (items * 3, items % 7 + 1)).collect();
    report.details.slow_names = vec![HOSTILE.into()];
    (0..3).for_each(|_| report.details.failures.add(Stage::Read, &Error::user(HOSTILE)));
    report.details.failures.add(Stage::Run, &Error::invalid_input("too long"));
    report
}

/// Checks that tags are closed in order and that attributes are quoted; returns the names of the tags.
fn tags(page: &str) -> Vec<&str> {
    let (mut open, mut names) = (Vec::new(), Vec::new());
    let page = page.strip_prefix("<!DOCTYPE html>").unwrap();
    for (place, part) in page.split('<').enumerate().skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("tag {place} has no end: {part}"));
        assert!(tag == "style" || !text.contains('>'), "{text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let closed = tag.ends_with('/');
        let tag = tag.trim_end_matches('/');
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let quotes = attributes.matches('"').count();
        assert!(quotes.is_multiple_of(2) && quotes == 2 * attributes.matches("=\"").count(), "{tag}");
        names.push(name);
        if !closed {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    names
}

#[test]
fn a_page_is_well_formed_and_needs_nothing() {
    for report in [full(), Report::default(), Report::not_started(&Error::user(HOSTILE), 3)] {
        let page = report.to_html(HOSTILE, &[(HOSTILE, HOSTILE.to_owned()), ("empty", String::new())]);
        let names = tags(&page);
        for foreign in ["script", "link", "img", "iframe", "object", "a"] {
            assert!(!names.contains(&foreign), "{foreign}");
        }
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
        assert!(!page.contains("NaN") && !page.contains("inf\""), "{page}");
        let controls = page.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}');
        assert!(!controls);
    }
}

#[test]
fn a_page_shows_each_part() {
    let page = full().to_html("embed", &[("parts", "9 of 9".to_owned())]);
    for part in [
        "<title>embed: 20,000 items</title>",
        "4 failed.",
        ">333<",
        "6.17 %",
        "471 MB",
        "Throughput",
        "Busy workers",
        "Memory",
        "Chunk sizes",
        "Failed items by kind",
        "<td>invalid input</td><td>too long</td>",
        "Slowest items",
        "item 0",
        "Devices",
        "Notes",
        "<th scope=\"row\">parts</th><td>9 of 9</td>",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    // Where a job was too short to be drawn, and nothing failed, there are no empty parts.
    let page = Report { workers: 1, ..Report::default() }.to_html("short", &[]);
    assert!(!page.contains("<figure>") && !page.contains("Failed items") && page.contains("None failed."), "{page}");
}
