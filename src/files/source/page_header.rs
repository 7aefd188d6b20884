//! The header of a Parquet page, in the compact protocol of Thrift.

/// Structs within structs, at most.
const DEEPEST: usize = 16;

/// What the header of a page says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// Bytes of the header.
    pub(super) length: u64,
    /// Bytes of the page as it is stored.
    pub(super) compressed: u64,
    /// Bytes of the page, unpacked.
    pub(super) size: u64,
    pub(super) values: u64,
    /// Whether its values are those of rows.
    pub(super) is_data: bool,
    /// Whether a value may stand for bytes that the page, or its dictionary, has once.
    pub(super) repeats: bool,
}

/// What bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Header(PageHeader),
    /// The start of one.
    Cut,
    Damaged,
}

/// Why a header could not be read.
enum Stop {
    Cut,
    Damaged,
}

impl PageHeader {
    /// Reads the header at the start of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Parsed {
        match (Reader { bytes, at: 0 }).header() {
            Ok(header) => Parsed::Header(header),
            Err(Stop::Cut) => Parsed::Cut,
            Err(Stop::Damaged) => Parsed::Damaged,
        }
    }
}

/// The numbers of the fields with the ids 0 to 7.
type Numbers = [Option<i64>; 8];

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn header(mut self) -> Result<PageHeader, Stop> {
        const DATA_PAGE: i64 = 0;
        const DICTIONARY_PAGE: i64 = 2;
        const DATA_PAGE_V2: i64 = 3;
        const DELTA_BYTE_ARRAY: i64 = 7;
        let (mut own, mut values, mut encoding) = ([None; 8], 0, None);
        let mut id = 0;
        while let Some((next, kind)) = self.field(id)? {
            id = next;
            match (id, kind) {
                // Data page, dictionary page, data page of the second version.
                (5 | 7 | 8, STRUCT) => {
                    let numbers = self.numbers()?;
                    values = numbers[1].unwrap_or(0);
                    encoding = numbers[if id == 8 { 4 } else { 2 }];
                }
                _ => self.number(id, kind, &mut own)?,
            }
        }
        let field = |id: usize| own[id].and_then(|number| u64::try_from(number).ok()).ok_or(Stop::Damaged);
        Ok(PageHeader {
            length: self.at as u64,
            compressed: field(3)?,
            size: field(2)?,
            values: u64::try_from(values).map_err(|_| Stop::Damaged)?,
            is_data: own[1] == Some(DATA_PAGE) || own[1] == Some(DATA_PAGE_V2),
            repeats: own[1] == Some(DICTIONARY_PAGE) || encoding == Some(DELTA_BYTE_ARRAY),
        })
    }

    /// The numbers of a struct.
    fn numbers(&mut self) -> Result<Numbers, Stop> {
        let (mut numbers, mut id) = ([None; 8], 0);
        while let Some((next, kind)) = self.field(id)? {
            id = next;
            self.number(id, kind, &mut numbers)?;
        }
        Ok(numbers)
    }

    /// Reads a field: keeps a number, and passes over anything else.
    fn number(&mut self, id: i64, kind: u8, numbers: &mut Numbers) -> Result<(), Stop> {
        if !matches!(kind, SHORT | INT | LONG) {
            return self.skip(kind, 0);
        }
        let number = self.zigzag()?;
        if let Some(place) = usize::try_from(id).ok().and_then(|id| numbers.get_mut(id)) {
            *place = Some(number);
        }
        Ok(())
    }

    /// The id and type of the next field of a struct, after the one with id `last`; `None` at its end.
    fn field(&mut self, last: i64) -> Result<Option<(i64, u8)>, Stop> {
        let byte = self.byte()?;
        if byte == 0 {
            return Ok(None);
        }
        let id = match byte >> 4 {
            0 => self.zigzag()?,
            step => last.checked_add(i64::from(step)).ok_or(Stop::Damaged)?,
        };
        Ok(Some((id, byte & 15)))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Stop> {
        if depth > DEEPEST {
            return Err(Stop::Damaged);
        }
        match kind {
            TRUE | FALSE => Ok(()),
            BYTE => self.advance(1),
            SHORT | INT | LONG => self.varint().map(drop),
            DOUBLE => self.advance(8),
            BINARY => {
                let length = self.varint()?;
                self.advance(length)
            }
            LIST | SET => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                let kind = head & 15;
                // In a list, unlike in a struct, a truth value has a byte.
                (0..count).try_for_each(|_| if kind <= FALSE { self.advance(1) } else { self.skip(kind, depth + 1) })
            }
            STRUCT => {
                let mut id = 0;
                while let Some((next, kind)) = self.field(id)? {
                    id = next;
                    self.skip(kind, depth + 1)?;
                }
                Ok(())
            }
            _ => Err(Stop::Damaged),
        }
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = *self.bytes.get(self.at).ok_or(Stop::Cut)?;
        self.at += 1;
        Ok(byte)
    }

    fn advance(&mut self, bytes: u64) -> Result<(), Stop> {
        match usize::try_from(bytes).ok().and_then(|bytes| self.at.checked_add(bytes)) {
            Some(at) if at <= self.bytes.len() => {
                self.at = at;
                Ok(())
            }
            _ => Err(Stop::Cut),
        }
    }

    fn varint(&mut self) -> Result<u64, Stop> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(Stop::Damaged)
    }

    fn zigzag(&mut self) -> Result<i64, Stop> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

// Types of fields. A header has no maps.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const SHORT: u8 = 4;
const INT: u8 = 5;
const LONG: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a data page of 2 GiB: type, sizes, a checksum, and a struct with values, encodings and statistics.
    const BOMB: &[u8] = &[
        0x15, 0, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15, 38, 0x15, 1, 0x1c, 0x15, 20, 0x15, 14, 0x15, 6, 0x15, 6,
        0x1c, 0x18, 2, b'a', b'b', 0x11, 0x19, 0x21, 1, 2, 0, 0, 0,
    ];

    #[test]
    fn a_header_is_read_as_it_is_written() {
        let header = PageHeader {
            length: BOMB.len() as u64,
            compressed: 19,
            size: 0x7fff_ffff,
            values: 10,
            is_data: true,
            repeats: true,
        };
        assert_eq!(PageHeader::parse(BOMB), Parsed::Header(header));
        for end in 0..BOMB.len() {
            assert_eq!(PageHeader::parse(&BOMB[..end]), Parsed::Cut, "{end}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        // A negative size, no size, a type that there is not, a number without end, structs within structs.
        let nested = [&[0x5c][..], &[0x5c; 100]].concat();
        for bytes in [
            &[0x15, 0, 0x15, 1, 0x15, 2, 0][..],
            &[0x15, 0, 0],
            &[0x1f, 0],
            &[0x15; 1],
            &[0x16, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0],
            &nested,
        ] {
            let parsed = PageHeader::parse(bytes);
            assert!(!matches!(parsed, Parsed::Header(_)), "{parsed:?} of {bytes:?}");
        }
        let mut state = 5u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut bytes = BOMB.to_vec();
            bytes[(state >> 33) as usize % BOMB.len()] = (state >> 20) as u8;
            PageHeader::parse(&bytes);
        }
    }
}
