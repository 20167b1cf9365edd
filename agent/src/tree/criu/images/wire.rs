//! Changes single fields of a protobuf message and keeps all others byte for byte, those too that nobody here knows.
//!
//! What a message looks like is said in protobuf.dev's «Encoding»: fields, each a tag (its number and the form of its value) and
//! the value. A message type that does not declare every field loses the rest when it is written again, and a later CRIU has
//! fields that nobody here has heard of.

use std::ops::Range;

/// A message whose fields can be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireMessage(Vec<Field>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    number: u64,
    /// The whole field as it was written.
    raw: Vec<u8>,
    /// Where in it the value is, if that is a string of bytes.
    bytes: Option<Range<usize>>,
}

/// The forms of a value; groups, which CRIU does not use, are none of them.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl WireMessage {
    /// Takes a message apart.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let (field, rest) = Field::take(bytes)?;
            fields.push(field);
            bytes = rest;
        }
        Ok(Self(fields))
    }

    /// Puts it together again.
    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|field| field.raw.iter().copied()).collect()
    }

    /// The string of bytes in field `number`, or the message in it; the last one counts, as for every reader.
    pub fn bytes(&self, number: u64) -> Option<&[u8]> {
        let field = self.0.iter().rev().find(|field| field.number == number)?;
        field.raw.get(field.bytes.clone()?)
    }

    /// Replaces a string of bytes, or a message.
    pub fn set_bytes(&mut self, number: u64, value: &[u8]) {
        self.set(number, vec![Field::of_bytes(number, value)]);
    }

    /// Replaces an unsigned number.
    pub fn set_number(&mut self, number: u64, value: u64) {
        self.set(number, vec![Field::of_number(number, value)]);
    }

    /// Leaves a field out.
    pub fn remove(&mut self, number: u64) {
        self.set(number, Vec::new());
    }

    /// Replaces a repeated unsigned number, which CRIU writes one by one.
    pub fn set_numbers(&mut self, number: u64, values: impl IntoIterator<Item = u64>) {
        let fields = values.into_iter().map(|value| Field::of_number(number, value)).collect();
        self.set(number, fields);
    }

    /// Puts `fields` where the first of this number was, or at the end.
    fn set(&mut self, number: u64, fields: Vec<Field>) {
        let at = self.0.iter().position(|field| field.number == number).unwrap_or(self.0.len());
        self.0.retain(|field| field.number != number);
        self.0.splice(at..at, fields);
    }
}

impl Field {
    /// The first field of `bytes`, and what follows.
    fn take(bytes: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        let (tag, after) = varint(bytes)?;
        let after_value = match tag & 7 {
            VARINT => varint(after)?.1,
            FIXED64 => after.get(8..).ok_or(CUT)?,
            FIXED32 => after.get(4..).ok_or(CUT)?,
            BYTES => {
                let (length, value) = varint(after)?;
                value.get(usize::try_from(length).map_err(|_| CUT)?..).ok_or(CUT)?
            }
            _ => return Err("a field has a form that is unknown"),
        };
        let raw = bytes[..bytes.len() - after_value.len()].to_vec();
        let bytes = match tag & 7 {
            BYTES => Some(raw.len() - value_length(after, after_value)?..raw.len()),
            _ => None,
        };
        Ok((Self { number: tag >> 3, raw, bytes }, after_value))
    }

    fn of_number(number: u64, value: u64) -> Self {
        let mut raw = encoded(number << 3 | VARINT);
        raw.extend(encoded(value));
        Self { number, raw, bytes: None }
    }

    fn of_bytes(number: u64, value: &[u8]) -> Self {
        let mut raw = encoded(number << 3 | BYTES);
        raw.extend(encoded(value.len() as u64));
        let from = raw.len();
        raw.extend_from_slice(value);
        Self { number, bytes: Some(from..raw.len()), raw }
    }
}

const CUT: &str = "it ends within a field";

/// How long the string is that follows its length in `after` and is itself followed by `rest`.
fn value_length(after: &[u8], rest: &[u8]) -> Result<usize, &'static str> {
    Ok(varint(after)?.1.len() - rest.len())
}

/// A number of at most 64 bits, seven in each byte, the lowest first; the highest bit of a byte says that one more follows.
fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), &'static str> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((number, &bytes[index + 1..]));
        }
    }
    Err(if bytes.len() < 10 { CUT } else { "a number is too long" })
}

fn encoded(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    /// A message with fields of all forms, of which an editor knows some.
    #[derive(Clone, PartialEq, Message)]
    struct Whole {
        #[prost(uint64, optional, tag = "1")]
        number: Option<u64>,
        #[prost(string, optional, tag = "6")]
        name: Option<String>,
        #[prost(sint32, optional, tag = "7")]
        mount: Option<i32>,
        #[prost(uint32, repeated, packed = "false", tag = "11")]
        words: Vec<u32>,
        #[prost(fixed64, repeated, packed = "false", tag = "16")]
        fixed: Vec<u64>,
        #[prost(bytes = "vec", optional, tag = "3000")]
        unknown: Option<Vec<u8>>,
        #[prost(float, optional, tag = "77")]
        float: Option<f32>,
    }

    prop_compose! {
        fn whole()(
            number: Option<u64>, name in proptest::option::of("\\PC{0,300}"), mount: Option<i32>,
            words in proptest::collection::vec(any::<u32>(), 0..5), fixed in proptest::collection::vec(any::<u64>(), 0..3),
            unknown: Option<Vec<u8>>, float in proptest::option::of(-1.0e9_f32..1.0e9),
        ) -> Whole {
            Whole { number, name, mount, words, fixed, unknown, float }
        }
    }

    proptest! {
        #[test]
        fn what_is_not_changed_stays_byte_for_byte(message in whole()) {
            let bytes = message.encode_to_vec();
            prop_assert_eq!(WireMessage::parse(&bytes).unwrap().encode(), bytes);
        }

        #[test]
        fn what_is_set_is_read_and_the_rest_is_as_before(
            before in whole(), name in "\\PC{0,300}", number: u64, words: Vec<u32>
        ) {
            let mut message = WireMessage::parse(&before.encode_to_vec()).unwrap();
            message.set_bytes(6, name.as_bytes());
            message.set_number(1, number);
            message.set_numbers(11, words.iter().copied().map(u64::from));
            prop_assert_eq!(message.bytes(6), Some(name.as_bytes()));
            let after = Whole::decode(&*message.encode()).unwrap();
            prop_assert_eq!(after, Whole { name: Some(name), number: Some(number), words, ..before });
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            if let Ok(message) = WireMessage::parse(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn what_is_cut_within_a_field_is_refused(message in whole(), cut in 1_usize..9) {
            let bytes = Whole { unknown: Some(vec![1; 8]), ..message }.encode_to_vec();
            prop_assert!(WireMessage::parse(&bytes[..bytes.len() - cut]).is_err());
        }
    }

    #[test]
    fn the_last_of_a_field_counts_and_one_is_left_when_it_is_set() {
        let twice = [Field::of_bytes(6, b"a").raw, Field::of_bytes(6, b"b").raw].concat();
        let mut message = WireMessage::parse(&twice).unwrap();
        assert_eq!(message.bytes(6), Some(&b"b"[..]));
        message.set_bytes(6, b"c");
        assert_eq!(message.encode(), Field::of_bytes(6, b"c").raw);
    }

    #[test]
    fn a_length_beyond_all_memory_is_refused() {
        assert!(
            WireMessage::parse(&[0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_err()
        );
        assert!(WireMessage::parse(&[0xff; 12]).is_err());
        assert!(WireMessage::parse(&[0x0b]).is_err());
    }
}
