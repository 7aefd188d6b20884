//! What a job will do, written before its first row and compared when it is resumed.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    files::{format::Format, json},
};

/// The layout of the folder that this library writes.
const LAYOUT: u32 = 1;

/// The most shards of a job.
pub(in crate::files) const MOST_SHARDS: usize = 1_000_000;

/// The settings that all parts of a folder share: nobody can insist on others.
const OF_ALL_PARTS: [&str; 6] =
    ["format of inputs", "format of parts", "columns", "kept columns", "failed rows", "rows per shard"];

/// What a job will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::files) struct Plan {
    pub(in crate::files) layout: u32,
    /// What the output depends on beside the inputs: model, options, arithmetic, columns.
    pub(in crate::files) settings: BTreeMap<String, String>,
    /// Settings under which finished parts may have been made before the caller insisted on others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::files) earlier: Vec<BTreeMap<String, String>>,
    pub(in crate::files) inputs: Vec<PlannedInput>,
    pub(in crate::files) shards: Vec<Shard>,
}

/// An input as the plan knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::files) struct PlannedInput {
    pub(in crate::files) name: String,
    pub(in crate::files) bytes: u64,
    /// The hash of its bytes; empty if its store has an ETag.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::files) blake3: String,
    /// The strong ETag of its store, without quotes; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::files) etag: String,
    pub(in crate::files) rows: u64,
}

/// Consecutive rows of one input, which one part of the output has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::files) struct Shard {
    /// The name of the part.
    pub(in crate::files) name: String,
    /// The place of the input in the plan.
    pub(in crate::files) input: usize,
    /// The first row in the input, from 0.
    pub(in crate::files) first: u64,
    pub(in crate::files) rows: u64,
    /// Where the rows begin in an input of text, in bytes of what it decompresses to.
    pub(in crate::files) from: u64,
}

impl Plan {
    pub(in crate::files) fn new(
        settings: BTreeMap<String, String>,
        inputs: Vec<PlannedInput>,
        mut shards: Vec<Shard>,
        format: Format,
    ) -> Self {
        let count = shards.len();
        for (index, shard) in shards.iter_mut().enumerate() {
            shard.name = part_name(index, count, format);
        }
        Self { layout: LAYOUT, settings, earlier: Vec::new(), inputs, shards }
    }

    /// All rows.
    pub(in crate::files) fn rows(&self) -> u64 {
        self.shards.iter().map(|shard| shard.rows).sum()
    }

    /// Reads the text of a plan, which is at `path`.
    pub(in crate::files) fn parse(text: &str, path: &Path) -> Result<Self> {
        let plan: Self = serde_json::from_str(text).map_err(|error| damaged(path, &error.to_string()))?;
        if plan.layout != LAYOUT {
            let layout = plan.layout;
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("{}: the layout {layout} of another version; this one knows {LAYOUT}", path.display()),
            ));
        }
        let format = plan.shards.first().and_then(|shard| Format::of(Path::new(&shard.name)));
        for (index, shard) in plan.shards.iter().enumerate() {
            let named = format.is_some_and(|format| shard.name == part_name(index, plan.shards.len(), format));
            if !named || shard.input >= plan.inputs.len() || shard.rows == 0 {
                return Err(damaged(path, &format!("shard {index} is not one that a plan has")));
            }
        }
        Ok(plan)
    }

    /// The text of the plan, a shard a line.
    pub(in crate::files) fn text(&self) -> Result<String> {
        let mut text = format!("{{\"layout\":{},\n\"settings\":{},\n", self.layout, json::line(&self.settings)?);
        if !self.earlier.is_empty() {
            text += &format!("\"earlier\":{},\n", json::line(&self.earlier)?);
        }
        let lines = |lines: Vec<String>| lines.join(",\n");
        let inputs = self.inputs.iter().map(json::line).collect::<Result<_>>()?;
        let shards = self.shards.iter().map(json::line).collect::<Result<_>>()?;
        text += &format!("\"inputs\":[\n{}],\n\"shards\":[\n{}]}}\n", lines(inputs), lines(shards));
        Ok(text)
    }

    /// What of the settings differs, a line each.
    pub(in crate::files) fn settings_changed(&self, now: &BTreeMap<String, String>) -> Vec<String> {
        let names: std::collections::BTreeSet<_> = self.settings.keys().chain(now.keys()).collect();
        let told = |value: Option<&String>| value.map_or("absent".to_owned(), |value| format!("`{value}`"));
        let differs = names.into_iter().filter(|name| self.settings.get(*name) != now.get(*name));
        differs
            .map(|name| format!("{name} was {}, is {}", told(self.settings.get(name)), told(now.get(name))))
            .collect()
    }

    /// Whether parts made under `now` go with those of this plan.
    pub(in crate::files) fn goes_with(&self, now: &BTreeMap<String, String>) -> bool {
        OF_ALL_PARTS.iter().all(|name| self.settings.get(*name) == now.get(*name))
    }

    /// What of the inputs differs, a line each.
    pub(in crate::files) fn inputs_changed(&self, now: &[PlannedInput]) -> Vec<String> {
        if self.inputs.len() != now.len() {
            return vec![format!("there were {} inputs, are {}", self.inputs.len(), now.len())];
        }
        let pairs = self.inputs.iter().zip(now);
        let told = |(was, now): (&PlannedInput, &PlannedInput)| {
            if was.name != now.name {
                Some(format!("the input `{}` is `{}` now", was.name, now.name))
            } else if (was.bytes, was.content()) != (now.bytes, now.content()) {
                Some(format!(
                    "the input {} had {} bytes and {}, has {} and {}",
                    was.name,
                    was.bytes,
                    was.content(),
                    now.bytes,
                    now.content()
                ))
            } else {
                None
            }
        };
        pairs.filter_map(told).collect()
    }
}

impl PlannedInput {
    /// By what a change is seen.
    fn content(&self) -> String {
        match self.etag.as_str() {
            "" => format!("the hash {:.12}", self.blake3),
            etag => format!("the ETag {etag}"),
        }
    }
}

fn part_name(index: usize, count: usize, format: Format) -> String {
    format!("part-{index:05}-of-{count:05}.{}", format.name())
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::invalid_input(format!("{} is damaged: {what}; run the job into a new folder", path.display()))
}
