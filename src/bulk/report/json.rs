//! A report as JSON.

use std::{
    fmt::{self, Write as _},
    ops::Range,
};

use crate::bulk::report::{DeviceItems, Report, SlowItem, Spread};

impl Report {
    /// Formats the report as a JSON object on one line.
    ///
    /// The fields keep the order of the struct. Numbers that JSON cannot represent become `null`.
    pub fn to_json(&self) -> String {
        let mut json = Json(String::from("{"));
        json.field("items", self.items);
        json.field("errors", self.errors);
        json.field("truncated", self.truncated);
        json.float("seconds", self.seconds);
        json.float("items_per_second", self.items_per_second);
        json.float("load_seconds", self.load_seconds);
        json.text("device", &self.device);
        json.text("kernel_set", &self.kernel_set);
        json.text("precision", &self.precision);
        json.field("workers", self.workers);
        json.field("chunks", self.chunks);
        let Spread { min, median, max } = self.chunk_items;
        json.field("chunk_items", format_args!("{{\"min\":{min},\"median\":{median},\"max\":{max}}}"));
        json.field("padding", self.padding);
        json.list("worker_busy", self.worker_busy.iter().map(|&share| number(share)));
        json.field("scratch_bytes_per_worker", self.scratch_bytes_per_worker);
        match self.peak_rss_bytes {
            Some(bytes) => json.field("peak_rss_bytes", bytes),
            None => json.field("peak_rss_bytes", "null"),
        }
        json.text("model_fingerprint", self.model_fingerprint.as_str());
        json.list("notes", self.notes.iter().map(|note| quote(note)));
        json.float("first_result_seconds", self.first_result_seconds);
        json.field("cache_hits", self.cache_hits);
        json.field("duplicates", self.duplicates);
        json.times("chunk_seconds", self.chunk_seconds);
        json.times("queue_wait_seconds", self.queue_wait_seconds);
        let slow = |item: &SlowItem| {
            let SlowItem { index, seconds, alone } = *item;
            format!("{{\"index\":{index},\"seconds\":{},\"alone\":{alone}}}", number(seconds))
        };
        json.list("slowest", self.slowest.iter().map(slow));
        json.list("driver_busy", self.driver_busy.iter().map(|&share| number(share)));
        json.list("devices", self.devices.iter().map(device_items));
        json.0.push('}');
        json.0
    }
}

fn device_items(DeviceItems { device, items, ranges, ranges_left_out }: &DeviceItems) -> String {
    let mut json = format!("{{\"device\":{},\"items\":{items},\"ranges\":[", quote(device));
    for (place, Range { start, end }) in ranges.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(json, "{comma}[{start},{end}]");
    }
    let _ = write!(json, "],\"ranges_left_out\":{ranges_left_out}}}");
    json
}

/// A JSON object under construction.
struct Json(String);

impl Json {
    fn field(&mut self, name: &str, value: impl fmt::Display) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
    }

    fn float(&mut self, name: &str, value: f64) {
        self.field(name, number(value));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.field(name, quote(value));
    }

    fn times(&mut self, name: &str, Spread { min, median, max }: Spread<f64>) {
        let [min, median, max] = [min, median, max].map(number);
        self.field(name, format_args!("{{\"min\":{min},\"median\":{median},\"max\":{max}}}"));
    }

    fn list(&mut self, name: &str, values: impl Iterator<Item = String>) {
        self.field(name, format_args!("[{}]", values.collect::<Vec<_>>().join(",")));
    }
}

/// Formats a number with six decimal places; `null` if it is not finite.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{}", (value * 1e6).round() / 1e6) } else { "null".into() }
}

/// Formats a string, quoted and escaped.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_json_and_has_the_agreed_fields_in_order() {
        let report = Report {
            items: 3,
            seconds: 0.25,
            items_per_second: f64::INFINITY,
            device: "a \"device\" \\ with\n\u{1}控".into(),
            chunk_items: Spread { min: 1, median: 2, max: 3 },
            worker_busy: vec![0.5, 1.0],
            notes: vec!["one".into(), "t\two".into()],
            slowest: vec![SlowItem { index: 7, seconds: 0.5, alone: true }],
            queue_wait_seconds: Spread { min: 0.0, median: 0.25, max: 1.5 },
            ..Report::default()
        };
        let json = report.to_json();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["device"], "a \"device\" \\ with\n\u{1}控");
        assert_eq!(value["items_per_second"], serde_json::Value::Null);
        assert_eq!(value["peak_rss_bytes"], serde_json::Value::Null);
        assert_eq!(value["chunk_items"]["median"], 2);
        assert_eq!(value["worker_busy"][1], 1.0);
        assert_eq!(value["notes"][1], "t\two");
        assert_eq!(value["slowest"][0]["index"], 7);
        assert_eq!(value["slowest"][0]["alone"], true);
        assert_eq!(value["queue_wait_seconds"]["max"], 1.5);
        let names = "items errors truncated seconds items_per_second load_seconds device kernel_set precision workers \
                     chunks chunk_items padding worker_busy scratch_bytes_per_worker peak_rss_bytes \
                     model_fingerprint notes first_result_seconds cache_hits duplicates chunk_seconds \
                     queue_wait_seconds slowest driver_busy devices";
        let mut rest = json.as_str();
        for name in names.split_whitespace() {
            let at = rest.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} is missing or out of order"));
            rest = &rest[at..];
        }
        assert_eq!(value.as_object().unwrap().len(), names.split_whitespace().count());
    }

    #[test]
    #[cfg(feature = "serde")]
    fn serde_has_the_same_fields_and_reads_them_again() {
        let ranges = vec![3..4, 10..11];
        let report = Report {
            items: 3,
            seconds: 0.25,
            device: "a \"device\"".into(),
            chunk_items: Spread { min: 1, median: 2, max: 3 },
            worker_busy: vec![0.5, 1.0],
            peak_rss_bytes: Some(7),
            model_fingerprint: "ab12".to_owned().into(),
            notes: vec!["one".into()],
            slowest: vec![SlowItem { index: 7, seconds: 0.5, alone: true }],
            queue_wait_seconds: Spread { min: 0.0, median: 0.25, max: 1.5 },
            devices: vec![DeviceItems { device: "cpu".into(), items: 2, ranges, ranges_left_out: 1 }],
            ..Report::default()
        };
        let value = serde_json::to_value(&report).unwrap();
        let by_hand: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!((names(&value), &value["devices"]), (names(&by_hand), &by_hand["devices"]));
        assert_eq!(serde_json::from_value::<Report>(value).unwrap(), report);
        assert_eq!(serde_json::from_str::<Report>(&report.to_json()).unwrap(), report);
        assert_eq!(serde_json::from_str::<Report>(r#"{"items":3}"#).unwrap().items, 3);
    }

    #[test]
    fn device_ranges_are_pairs() {
        let items = DeviceItems { device: "cpu".into(), items: 2, ranges: vec![3..4, 10..11], ranges_left_out: 0 };
        assert_eq!(device_items(&items), r#"{"device":"cpu","items":2,"ranges":[[3,4],[10,11]],"ranges_left_out":0}"#);
    }
}
