//! The description as text.

use std::fmt;

use crate::inspect::{Inspection, Port};

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", plain(&self.name))?;
        ports(f, "inputs", &self.inputs)?;
        ports(f, "outputs", &self.outputs)?;
        let elements: usize = self.parameters.values().map(|(elements, _)| elements).sum();
        let kinds: Vec<String> =
            self.parameters.iter().map(|(dtype, (_, bytes))| format!("{dtype} {}", size(*bytes))).collect();
        writeln!(f, "parameters  {elements} ({})", kinds.join(", "))?;
        writeln!(f, "device      {}; weights {}", self.device, size(self.weight_bytes))?;
        writeln!(f, "batching    {}", plain(&self.batching))?;
        let (before, after) = self.operators.values().fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
        writeln!(f, "nodes       {before} in the file, {after} as they run")?;
        writeln!(f, "\n{:24} {:>7} {:>9}  runs on", "operator", "in file", "as it runs")?;
        for (name, (before, after)) in &self.operators {
            let host = self.host.iter().find(|host| host.operator == *name);
            let place = match (after, host) {
                (0, _) => "fused or folded".to_owned(),
                (_, Some(host)) => format!("the host: {}", host.reason),
                (_, None) => "the device".to_owned(),
            };
            writeln!(f, "{name:24} {before:>7} {after:>9}  {place}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {}", plain(note))?;
        }
        Ok(())
    }
}

fn ports(f: &mut fmt::Formatter<'_>, what: &str, ports: &[Port]) -> fmt::Result {
    for (index, port) in ports.iter().enumerate() {
        let what = if index == 0 { what } else { "" };
        writeln!(f, "{what:11} {} {}", plain(&port.name), plain(&port.fact))?;
    }
    Ok(())
}

/// Bytes in the unit that suits them.
fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Text of a file for a terminal: control characters escaped.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
