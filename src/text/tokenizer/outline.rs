//! The sizes in tokenizer.json, counted before anything is made of them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as DeError, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::error::{Error, Result};

/// The most entries of a vocabulary, and of its merges.
const MAX_ENTRIES: usize = 1 << 22;
/// The most bytes of a vocabulary's entry; of a Unigram model, which tries every entry at every position.
const MAX_ENTRY_BYTES: (usize, usize) = (4096, 512);
/// The most added tokens, bytes of one of them, and bytes of all.
const MAX_ADDED: (usize, usize, usize) = (1 << 16, 4096, 4 << 20);
/// The most values in the settings of normalizer, pre-tokenizer or post-processor.
const MAX_VALUES: usize = 1 << 14;
/// The most regular expressions.
const MAX_PATTERNS: usize = 32;
/// The most bytes of a text in these settings, besides the table of a precompiled normalizer.
const MAX_SETTING_BYTES: usize = 4096;
/// The most bytes of the table of a precompiled normalizer.
const MAX_TABLE_BYTES: usize = 8 << 20;
/// The most characters of a word that a WordPiece model cuts into pieces, which takes their square.
const MAX_WORD: u64 = 512;

#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Added,
    #[serde(default)]
    normalizer: Counts,
    #[serde(default)]
    pre_tokenizer: Counts,
    #[serde(default)]
    post_processor: Counts,
    /// Unused here; `tokenizers` panics where its texts are no Unicode.
    #[serde(default)]
    decoder: Counts,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    vocab: Entries,
    #[serde(default)]
    merges: Entries,
    #[serde(default)]
    max_input_chars_per_word: Option<u64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
}

/// The number of entries of a list or map, and the bytes of the longest text in it.
#[derive(Default)]
struct Entries {
    count: usize,
    longest: usize,
}

/// The number of added tokens and the bytes of their texts.
#[derive(Default)]
struct Added {
    count: usize,
    longest: usize,
    bytes: usize,
}

/// What settings of any form hold.
#[derive(Default)]
struct Counts {
    values: usize,
    patterns: usize,
    longest: usize,
    table: usize,
}

/// Checks the sizes in a file.
///
/// # Errors
/// If it is no tokenizer, or past a limit.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let outline: Outline =
        serde_json::from_slice(bytes).map_err(|error| Error::invalid_model(format!("is not a tokenizer: {error}")))?;
    let within = |what: &str, count: usize, most: usize| match count <= most {
        true => Ok(()),
        false => Err(Error::limit(format!("has {count} {what}; the limit is {most}"))),
    };
    let Outline { added_tokens: added, model, normalizer, pre_tokenizer, post_processor, decoder } = &outline;
    within("added tokens", added.count, MAX_ADDED.0)?;
    within("bytes in an added token", added.longest, MAX_ADDED.1)?;
    within("bytes of added tokens", added.bytes, MAX_ADDED.2)?;
    for settings in [normalizer, pre_tokenizer, post_processor, decoder] {
        within("values in its settings", settings.values, MAX_VALUES)?;
        within("regular expressions", settings.patterns, MAX_PATTERNS)?;
        within("bytes in a text of its settings", settings.longest, MAX_SETTING_BYTES)?;
        within("bytes in a precompiled table", settings.table, MAX_TABLE_BYTES)?;
    }
    if model.vocab.count == 0 {
        return Err(Error::invalid_model("has an empty vocabulary"));
    }
    within("entries in its vocabulary", model.vocab.count, MAX_ENTRIES)?;
    within("merges", model.merges.count, MAX_ENTRIES)?;
    let unigram = model.kind.as_deref() == Some("Unigram");
    let longest = if unigram { MAX_ENTRY_BYTES.1 } else { MAX_ENTRY_BYTES.0 };
    within("bytes in an entry of its vocabulary", model.vocab.longest, longest)?;
    for affix in [&model.continuing_subword_prefix, &model.end_of_word_suffix].into_iter().flatten() {
        within("bytes in a prefix or suffix of pieces", affix.len(), 64)?;
    }
    if let Some(most) = model.max_input_chars_per_word.filter(|most| *most > MAX_WORD) {
        return Err(Error::limit(format!("max_input_chars_per_word is {most}; the limit is {MAX_WORD}")));
    }
    if let Some(dropout) = model.dropout.filter(|dropout| *dropout != 0.0) {
        return Err(Error::unsupported(format!("a dropout of {dropout} makes the tokens of a text random")));
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or map of entries")
    }

    fn visit_unit<E: DeError>(self) -> std::result::Result<Entries, E> {
        Ok(Entries::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some((Length(length), IgnoredAny)) = map.next_entry()? {
            entries.count += 1;
            entries.longest = entries.longest.max(length);
        }
        Ok(entries)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some(Counts { longest, .. }) = seq.next_element()? {
            entries.count += 1;
            entries.longest = entries.longest.max(longest);
        }
        Ok(entries)
    }
}

/// The bytes of a text.
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct LengthVisitor;
        impl Visitor<'_> for LengthVisitor {
            type Value = Length;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E: DeError>(self, text: &str) -> std::result::Result<Length, E> {
                Ok(Length(text.len()))
            }
        }
        deserializer.deserialize_str(LengthVisitor)
    }
}

impl<'de> Deserialize<'de> for Added {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Token {
            content: Length,
        }
        struct AddedVisitor;
        impl<'de> Visitor<'de> for AddedVisitor {
            type Value = Added;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of added tokens")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Added, A::Error> {
                let mut added = Added::default();
                while let Some(Token { content: Length(length) }) = seq.next_element()? {
                    added.count += 1;
                    added.longest = added.longest.max(length);
                    added.bytes += length;
                }
                Ok(added)
            }
        }
        deserializer.deserialize_seq(AddedVisitor)
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(CountsVisitor)
    }
}

impl Counts {
    fn one() -> Self {
        Self { values: 1, ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.values += other.values;
        self.patterns += other.patterns;
        self.longest = self.longest.max(other.longest);
        self.table = self.table.max(other.table);
    }
}

struct CountsVisitor;

impl<'de> Visitor<'de> for CountsVisitor {
    type Value = Counts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings")
    }

    fn visit_unit<E: DeError>(self) -> std::result::Result<Counts, E> {
        Ok(Counts::one())
    }

    fn visit_bool<E: DeError>(self, _: bool) -> std::result::Result<Counts, E> {
        Ok(Counts::one())
    }

    fn visit_i64<E: DeError>(self, _: i64) -> std::result::Result<Counts, E> {
        Ok(Counts::one())
    }

    fn visit_u64<E: DeError>(self, _: u64) -> std::result::Result<Counts, E> {
        Ok(Counts::one())
    }

    fn visit_f64<E: DeError>(self, _: f64) -> std::result::Result<Counts, E> {
        Ok(Counts::one())
    }

    fn visit_str<E: DeError>(self, text: &str) -> std::result::Result<Counts, E> {
        Ok(Counts { longest: text.len(), ..Counts::one() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Counts, A::Error> {
        let mut counts = Counts::one();
        while let Some(inner) = seq.next_element()? {
            counts.add(inner);
        }
        Ok(counts)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Counts, A::Error> {
        let mut counts = Counts::one();
        while let Some(name) = map.next_key::<String>()? {
            let mut inner: Counts = map.next_value()?;
            if name == "precompiled_charsmap" {
                inner = Counts { table: inner.longest, longest: 0, ..inner };
            }
            counts.patterns += usize::from(name == "Regex");
            counts.longest = counts.longest.max(name.len());
            counts.add(inner);
        }
        Ok(counts)
    }
}
