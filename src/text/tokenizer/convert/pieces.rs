//! The reader of sentencepiece's model files, which are protocol buffers.
//!
//! The fields are those of sentencepiece_model.proto; others are skipped.

use crate::error::{Error, Result};

/// Of a `ModelProto` what a tokenizer is made of.
#[derive(Debug, Default)]
pub(super) struct PieceModel {
    pub(super) pieces: Vec<Piece>,
    /// 1 for a Unigram model, 2 for byte pairs.
    pub(super) model_type: u64,
    pub(super) unknown: usize,
    /// The text of the unknown piece.
    pub(super) unknown_text: String,
    /// The table of the normalizer.
    pub(super) charsmap: Vec<u8>,
}

/// A piece of the vocabulary.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    /// 3 for a control symbol, 4 for one that the user defined.
    pub(super) kind: u64,
}

impl PieceModel {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut model = Self { model_type: 1, unknown_text: "<unk>".to_owned(), ..Self::default() };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(bytes)) => model.pieces.push(Piece::parse(bytes)?),
                (2, Field::Bytes(bytes)) => {
                    for field in Fields(bytes) {
                        match field? {
                            (3, Field::Number(kind)) => model.model_type = kind,
                            (40, Field::Number(unknown)) => {
                                model.unknown = usize::try_from(unknown).unwrap_or(usize::MAX)
                            }
                            (45, Field::Bytes(text)) => {
                                let text = std::str::from_utf8(text);
                                model.unknown_text =
                                    text.map_err(|_| damaged("an unknown piece that is not UTF-8"))?.to_owned();
                            }
                            _ => {}
                        }
                    }
                }
                (3, Field::Bytes(bytes)) => {
                    for field in Fields(bytes) {
                        if let (2, Field::Bytes(table)) = field? {
                            model.charsmap = table.to_vec();
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(model)
    }
}

impl Piece {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut piece = Self { kind: 1, ..Self::default() };
        for field in Fields(bytes) {
            match field? {
                (1, Field::Bytes(text)) => {
                    let text = std::str::from_utf8(text).map_err(|_| damaged("a piece that is not UTF-8"))?;
                    piece.text = text.to_owned();
                }
                (2, Field::Four(score)) => piece.score = f32::from_le_bytes(score),
                (3, Field::Number(kind)) => piece.kind = kind,
                _ => {}
            }
        }
        if !piece.score.is_finite() {
            return Err(damaged("a score that is no number"));
        }
        Ok(piece)
    }
}

fn damaged(what: &str) -> Error {
    Error::invalid_model(format!("is not a sentencepiece model: {what}"))
}

/// A field's value.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight,
}

/// The fields of a message with their numbers.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or_else(|| damaged("it ends within a number"))?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(damaged("a number of more than 64 bits"))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(count).ok().and_then(|count| self.0.split_at_checked(count));
        let (taken, rest) = split.ok_or_else(|| damaged("it ends within a field"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Field<'a>)> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Field::Number(self.number()?),
            1 => {
                self.take(8)?;
                Field::Eight
            }
            2 => {
                let length = self.number()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Four(self.take(4)?.try_into().map_err(|_| damaged("a short number"))?),
            _ => return Err(damaged("a field of an unknown type")),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_pieces_and_settings() {
        let piece = [&[0x0a, 1, b'a', 0x15][..], &1.5f32.to_le_bytes(), &[0x18, 3]].concat();
        let file =
            [&[0x0a, piece.len() as u8][..], &piece, &[0x12, 5, 0x18, 2, 0xc0, 2, 7], &[0x1a, 3, 0x12, 1, 9]].concat();
        let model = PieceModel::parse(&file).unwrap();
        let [piece] = &model.pieces[..] else { panic!("one piece") };
        assert_eq!((piece.text.as_str(), piece.score, piece.kind), ("a", 1.5, 3));
        assert_eq!((model.model_type, model.unknown, model.charsmap), (2, 7, vec![9]));
        for end in 1..file.len() {
            let _ = PieceModel::parse(&file[..end]);
        }
        assert!(PieceModel::parse(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
        assert!(PieceModel::parse(&[0xff; 20]).is_err());
    }
}
