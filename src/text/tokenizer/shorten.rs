//! Words that are longer than any token, and runs of spaces, without their middle.

use std::borrow::Cow;

use serde_json::Value;
use tokenizers::{AddedToken, ModelWrapper};

use crate::text::tokenizer::cut::{is_ideograph, of_bert};

/// Longest added token that the ends of a shortened word leave room for, in characters.
const MAX_ADDED: usize = 64;

/// A run of characters that may be shortened.
struct Run {
    class: Class,
    /// The characters that are certain to remain after normalization.
    counted: usize,
    /// The end of those that decide what becomes of the run.
    head_end: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Space,
    Other,
}

/// Shortens runs of spaces, and words that a WordPiece model gives its unknown token for their length alone.
#[derive(Debug)]
pub(super) struct Shortener {
    /// The most characters of a word that has tokens of its own.
    most: usize,
    /// Whether ideographs are words of their own.
    splits_ideographs: bool,
}

impl Shortener {
    /// A shortener for a tokenizer whose words consist of letters and digits alone, and whose model bounds their length.
    pub(super) fn of(
        model: &ModelWrapper,
        normalizer: &Value,
        pre_tokenizer: &Value,
        added: &[AddedToken],
    ) -> Option<Self> {
        let (normalizer, model) = of_bert(model, normalizer, pre_tokenizer)?;
        let has_mark = |token: &AddedToken| {
            token.content.is_ascii()
                && token.content.len() <= MAX_ADDED
                && token.content.bytes().any(|byte| byte.is_ascii_punctuation())
                && !token.content.contains(' ')
        };
        added.iter().all(has_mark).then(|| Self {
            most: model.max_input_chars_per_word,
            splits_ideographs: normalizer.get("handle_chinese_chars") == Some(&Value::Bool(true)),
        })
    }

    /// The beginning of `text`, about `window` bytes of it without the middles of long runs, and whether that is all.
    pub(super) fn beginning<'t>(&self, text: &'t str, window: usize) -> (Cow<'t, str>, bool) {
        let mut short = String::new();
        // Where the part of `text` begins that is not copied yet.
        let mut copied = 0;
        let mut run = Run { class: Class::Other, counted: 0, head_end: None };
        let mut rest = text.char_indices();
        loop {
            let here = rest.next();
            let position = here.map_or(text.len(), |(position, _)| position);
            let class = here.map_or(Class::Other, |(_, letter)| self.class(letter));
            if class != run.class || class == Class::Other {
                if let Some(head_end) = run.head_end {
                    let tail = text[head_end..position].char_indices().rev().nth(MAX_ADDED - 1);
                    if let Some((tail, _)) = tail.filter(|(tail, _)| *tail > 0) {
                        short.push_str(&text[copied..head_end]);
                        copied = head_end + tail;
                    }
                }
                run = Run { class, counted: 0, head_end: None };
                if here.is_none() || short.len() + (position - copied) >= window {
                    let all = here.is_none();
                    if copied == 0 {
                        return (Cow::Borrowed(&text[..position]), all);
                    }
                    short.push_str(&text[copied..position]);
                    return (Cow::Owned(short), all);
                }
            }
            if let Some((_, letter)) = here {
                let most = if class == Class::Word { self.most + 2 * MAX_ADDED } else { 1 };
                run.counted += usize::from(class == Class::Space || is_kept(letter));
                if run.counted > most && run.head_end.is_none() {
                    run.head_end = Some(position + letter.len_utf8());
                }
            }
        }
    }

    fn class(&self, letter: char) -> Class {
        match letter {
            ' ' => Class::Space,
            letter if self.is_in_word(letter) => Class::Word,
            _ => Class::Other,
        }
    }

    /// Whether a character never ends a word, whatever stands beside it.
    fn is_in_word(&self, letter: char) -> bool {
        letter.is_ascii_alphanumeric()
            || (is_kept(letter) || (letter.is_alphanumeric() && !is_chinese(letter)))
                && !(self.splits_ideographs && is_chinese(letter))
    }
}

/// Whether a letter is at least one character of the normalized word.
fn is_kept(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || is_ideograph(letter)
        || (letter.is_alphanumeric()
            && matches!(letter, '\u{c0}'..='\u{24f}' | '\u{391}'..='\u{3c9}' | '\u{400}'..='\u{481}' | '\u{5d0}'..='\u{5ea}'
                | '\u{620}'..='\u{64a}' | '\u{e01}'..='\u{e30}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}'
                | '\u{ac00}'..='\u{d7a3}'))
}

/// Whether the normalizer may put spaces around a character.
fn is_chinese(letter: char) -> bool {
    matches!(u32::from(letter), 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x2_fa1f)
}
