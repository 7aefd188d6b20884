//! Tokens with their places in the text, of the whole text or window by window.

use std::ops::Range;

use tokenizers::{Encoding, ModelWrapper, Tokenizer};

use crate::{
    error::{Error, Result},
    text::{
        tokenized::Piece,
        tokenizer::{BYTES_PER_TOKEN, Encoded, Named, TextTokenizer, check_length, encoded::refused},
    },
};

/// How many tokens a window begins earlier at most, so that it begins with a word.
const MOST_BACK: usize = 16;

/// A part of a text: its tokens, and the places of those that are not special.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::text) struct Spanned {
    pub(in crate::text) encoded: Encoded,
    pub(in crate::text) pieces: Vec<Piece>,
}

/// How words are put together of tokens, as transformers sees it.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// Whether tokens that continue a word have a prefix.
    has_prefix: bool,
    /// The token for unknown words.
    unknown: Option<u32>,
    /// The token that queries are expanded with.
    expansion: Option<u32>,
    /// The tokens for the whole of a text, its end, padding and unknown words, which stand for no word.
    wordless: Vec<u32>,
}

impl Words {
    /// The words of a tokenizer whose settings name these tokens.
    pub(super) fn of(tokenizer: &Tokenizer, named: &Named) -> Self {
        let (prefix, own) = match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => (model.continuing_subword_prefix.as_str(), model.unk_token.as_str()),
            ModelWrapper::BPE(model) => (
                model.continuing_subword_prefix.as_deref().unwrap_or_default(),
                model.unk_token.as_deref().unwrap_or_default(),
            ),
            ModelWrapper::WordLevel(model) => ("", model.unk_token.as_str()),
            ModelWrapper::Unigram(_) => ("", ""),
        };
        let unknown = tokenizer.token_to_id(named.unknown.as_deref().unwrap_or(own));
        let expansion = named.mask.as_ref().or(named.end.as_ref());
        let expansion = expansion.and_then(|name| tokenizer.token_to_id(name));
        let wordless = [&named.class, &named.end, &named.padding, &named.unknown];
        let wordless = wordless.into_iter().flatten().filter_map(|name| tokenizer.token_to_id(name)).collect();
        Self { has_prefix: !prefix.is_empty(), unknown, expansion, wordless }
    }
}

/// A text by its characters.
struct Characters<'t> {
    text: &'t str,
    /// Where each begins, and the end of the text.
    starts: Vec<usize>,
}

impl<'t> Characters<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, starts: text.char_indices().map(|(start, _)| start).chain([text.len()]).collect() }
    }

    fn bytes(&self, characters: &Range<usize>) -> Range<usize> {
        let at = |character: usize| self.starts.get(character).copied().unwrap_or(self.text.len());
        at(characters.start)..at(characters.end)
    }

    fn slice(&self, characters: Range<usize>) -> &'t str {
        self.text.get(self.bytes(&characters)).unwrap_or_default()
    }
}

impl TextTokenizer {
    /// Tokenizes a text and truncates the result, as [`encode`](Self::encode) does, with the place of each token.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); a word of more than 400,000 bytes is not shortened.
    pub(in crate::text) fn encode_spans(&self, text: &str) -> Result<Spanned> {
        let max_bytes = self.steps.max_bytes;
        let mut window = self.text_tokens.saturating_mul(BYTES_PER_TOKEN).clamp(256, max_bytes);
        if !self.cuts.any() {
            window = max_bytes;
        }
        loop {
            if text.len() <= window {
                return self.spans_of(text);
            }
            if let Some(kept) = self.cuts.kept(self.side(text, window)) {
                let start = if self.keeps_end { text.len() - kept.len() } else { 0 };
                let spanned = self.spans_of(&text[start..start + kept.len()])?;
                if spanned.encoded.truncated {
                    let before = text[..start].chars().count();
                    return Ok(spanned.moved(before, start));
                }
            }
            if window >= max_bytes {
                let bytes = text.len();
                return Err(Error::limit(format!(
                    "a text of {bytes} bytes, in which no place is found to cut it; the tokenizer takes {max_bytes} \
                     bytes at once, cut it before"
                )));
            }
            window = window.saturating_mul(4).min(max_bytes);
        }
    }

    /// Tokenizes a whole text and cuts its tokens into windows, of which two neighbours have `overlap` in common.
    ///
    /// # Errors
    /// If the text has more than 400,000 bytes.
    pub(in crate::text) fn encode_windows(&self, text: &str, overlap: usize) -> Result<Vec<Spanned>> {
        let (mut whole, pieces) = self.whole(text)?;
        let (mut windows, mut start) = (Vec::new(), 0);
        let step = self.text_tokens.saturating_sub(overlap).max(1);
        whole.truncate(self.text_tokens, overlap.min(self.text_tokens - 1), tokenizers::TruncationDirection::Right);
        let later = whole.take_overflowing();
        for window in std::iter::once(whole).chain(later) {
            let own = pieces.get(start..start + window.len()).unwrap_or_default().to_vec();
            start += step;
            let encoding = self.tokenizer.post_process(window, None, true).map_err(refused)?;
            windows.push(self.spanned(&encoding, own, false)?);
        }
        Ok(windows)
    }

    /// The places of the parts of a text that each fill a window behind a prompt, and of which two neighbours have
    /// about `overlap` tokens in common.
    ///
    /// # Errors
    /// As [`encode_windows`](Self::encode_windows), and if the prompt leaves no room.
    pub(in crate::text) fn parts(&self, prompt: &str, text: &str, overlap: usize) -> Result<Vec<Range<usize>>> {
        let prompt = if prompt.is_empty() { 0 } else { self.whole(prompt)?.1.len() };
        let most = self.text_tokens.saturating_sub(prompt);
        if most <= overlap {
            let message = format!("windows of {most} tokens beside the prompt, of which {overlap} are to be in common");
            return Err(Error::invalid_input(message));
        }
        let (_, pieces) = self.whole(text)?;
        // A word is not cut where one begins nearby.
        let begins = |range: Range<usize>| range.rev().find(|at| !pieces[*at].is_subword);
        let (mut parts, mut start) = (Vec::new(), 0);
        while start < pieces.len() {
            let mut end = pieces.len().min(start + most);
            if end < pieces.len() {
                let least = (start + overlap + 1).max(start + most / 4 * 3);
                end = begins(least..end + 1).unwrap_or(end);
            }
            // Spaces between two windows belong to the first one, so that the parts are all of the text.
            let last = if end == pieces.len() { text.len() } else { pieces[end].bytes.start };
            let first = if start == 0 { 0 } else { pieces[start].bytes.start };
            parts.push(first..last.max(first));
            if end == pieces.len() {
                break;
            }
            let next = end - overlap;
            start = begins((start + 1).max(next.saturating_sub(MOST_BACK))..next + 1).unwrap_or(next);
        }
        Ok(parts)
    }

    /// A whole text without special tokens, and their places.
    fn whole(&self, text: &str) -> Result<(Encoding, Vec<Piece>)> {
        check_length(text, self.steps.max_bytes)?;
        self.steps.check(&self.tokenizer, text)?;
        let whole = self.tokenizer.encode_char_offsets(text, false).map_err(refused)?;
        let pieces = self.pieces(text, whole.get_ids(), whole.get_offsets());
        Ok((whole, pieces))
    }

    /// Checks that windows with so many tokens in common advance.
    ///
    /// # Errors
    /// If a window has no other tokens.
    pub(in crate::text) fn check_overlap(&self, overlap: usize) -> Result<()> {
        let own = self.text_tokens;
        if overlap < own {
            return Ok(());
        }
        let message = format!("windows that have {overlap} tokens in common; they have {own} beside the special ones");
        Err(Error::invalid_input(message))
    }

    /// The part of a text of about `window` bytes on the side that is kept.
    fn side<'t>(&self, text: &'t str, window: usize) -> &'t str {
        match self.keeps_end {
            true => &text[(text.len() - window..).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())..],
            false => &text[..(0..=window).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)],
        }
    }

    /// The tokens of a text that is tokenized at once.
    fn spans_of(&self, text: &str) -> Result<Spanned> {
        self.steps.check(&self.tokenizer, text)?;
        let encoding = self.tokenizer.encode_char_offsets(text, true).map_err(refused)?;
        let tokens = encoding.get_ids().iter().zip(encoding.get_offsets()).zip(encoding.get_special_tokens_mask());
        let plain = tokens.filter(|(_, special)| **special == 0).map(|((id, offsets), _)| (*id, *offsets));
        let (ids, offsets): (Vec<u32>, Vec<(usize, usize)>) = plain.unzip();
        let pieces = self.pieces(text, &ids, &offsets);
        let truncated = !encoding.get_overflowing().is_empty();
        self.spanned(&encoding, pieces, truncated)
    }

    /// The tokens of an encoding, of which `pieces` are those that are not special; removes what exceeds the limit.
    fn spanned(&self, encoding: &Encoding, mut pieces: Vec<Piece>, truncated: bool) -> Result<Spanned> {
        let (mut ids, mut type_ids) = (encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec());
        let rows = (0..ids.len()).zip(encoding.get_special_tokens_mask()).filter(|(_, special)| **special == 0);
        let rows: Vec<usize> = rows.map(|(row, _)| row).collect();
        if rows.len() != pieces.len() {
            return Err(Error::internal("the tokens of a text differ from those with special ones"));
        }
        let more = ids.len().saturating_sub(self.max_tokens);
        let removed = if self.keeps_end { 0..more } else { ids.len() - more..ids.len() };
        ids.drain(removed.clone());
        type_ids.drain(removed.clone());
        pieces.iter_mut().zip(&rows).for_each(|(piece, row)| piece.row = *row);
        pieces.retain(|piece| !removed.contains(&piece.row));
        if self.keeps_end {
            pieces.iter_mut().for_each(|piece| piece.row -= more);
        }
        Ok(Spanned { encoded: Encoded { ids, type_ids, truncated: truncated || more > 0 }, pieces })
    }

    fn pieces(&self, text: &str, ids: &[u32], offsets: &[(usize, usize)]) -> Vec<Piece> {
        let characters = Characters::of(text);
        let piece = |(&id, &(start, end)): (&u32, &(usize, usize))| {
            let own = characters.slice(start..end);
            let unknown = (Some(id) == self.words.unknown).then(|| own.to_owned());
            let is_subword = match (&unknown, self.words.has_prefix) {
                (Some(_), _) => false,
                (None, true) => {
                    let token = self.tokenizer.id_to_token(id).map_or(0, |token| token.chars().count());
                    token != end.saturating_sub(start)
                }
                (None, false) => start > 0 && !characters.slice(start - 1..start + 1).contains(' '),
            };
            let bytes = characters.bytes(&(start..end));
            Piece { row: 0, id, characters: start..end, bytes, unknown, is_subword }
        };
        ids.iter().zip(offsets).map(piece).collect()
    }

    /// The id of a word that is one token.
    pub(in crate::text) fn known(&self, word: &str) -> Option<u32> {
        self.tokenizer.token_to_id(word)
    }

    /// The token of that name, or the one that queries are expanded with by default.
    ///
    /// # Errors
    /// If there is none.
    pub(in crate::text) fn expansion(&self, name: Option<&str>) -> Result<u32> {
        let id = name.map_or(self.words.expansion, |name| self.tokenizer.token_to_id(name));
        id.ok_or_else(|| match name {
            Some(name) => Error::invalid_model(format!("the tokenizer has no token {name:?} to expand queries with")),
            None => Error::invalid_model("the tokenizer's settings name no mask_token to expand queries with"),
        })
    }

    /// Whether the settings name a token for the whole of a text, its end, padding or unknown words.
    pub(in crate::text) fn is_wordless(&self, id: u32) -> bool {
        self.words.wordless.contains(&id)
    }

    /// Checks that a limit leaves room for a text.
    ///
    /// # Errors
    /// If it does not.
    pub(in crate::text) fn check_limit(&self, max_tokens: usize) -> Result<()> {
        let special = self.max_tokens - self.text_tokens;
        if max_tokens > special {
            return Ok(());
        }
        Err(Error::invalid_input(format!(
            "a limit of {max_tokens} tokens leaves none beside the {special} special ones"
        )))
    }

    /// A token as the vocabulary has it.
    pub(in crate::text) fn token(&self, id: u32) -> String {
        self.tokenizer.id_to_token(id).unwrap_or_default()
    }

    /// The text of tokens, as the tokenizer's decoder joins them.
    ///
    /// # Errors
    /// If the decoder fails.
    pub(in crate::text) fn joined(&self, tokens: Vec<String>) -> Result<String> {
        use tokenizers::Decoder;
        match self.tokenizer.get_decoder() {
            Some(decoder) => decoder.decode(tokens).map_err(refused),
            None => Ok(tokens.join(" ")),
        }
    }
}

impl Spanned {
    /// The same tokens behind so many characters and bytes.
    fn moved(mut self, characters: usize, bytes: usize) -> Self {
        for piece in &mut self.pieces {
            piece.characters = piece.characters.start + characters..piece.characters.end + characters;
            piece.bytes = piece.bytes.start + bytes..piece.bytes.end + bytes;
        }
        self
    }
}
