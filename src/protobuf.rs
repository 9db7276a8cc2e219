//! Messages of protocol buffers, written field by field. Few are needed, so no compiler of their definitions is.

/// A message in its encoded form: the fields in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message(Vec<u8>);

/// The types of encoded values.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const WITH_LENGTH: u64 = 2;
const FOUR_BYTES: u64 = 5;

impl Message {
    /// Creates a message without fields that has room for some bytes: those of a step are many small ones.
    pub fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds an integer, an enumeration's value or a boolean.
    pub fn integer(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3 | VARINT);
        self.varint(value);
        self
    }

    pub fn double(mut self, field: u64, value: f64) -> Self {
        self.varint(field << 3 | EIGHT_BYTES);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | FOUR_BYTES);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Adds bytes or text.
    pub fn blob(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | WITH_LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// Adds several messages in a message around them.
    pub fn messages(mut self, field: u64, inner: u64, messages: &[Self]) -> Self {
        let length = |bytes: &[u8]| bytes.len() + length_of_varint(bytes.len() as u64);
        let all = messages.iter().map(|message| length_of_varint(inner << 3) + length(message.bytes())).sum::<usize>();
        self.varint(field << 3 | WITH_LENGTH);
        self.varint(all as u64);
        messages.iter().fold(self, |around, message| around.message(inner, message))
    }

    /// Begins bytes, text or a message of this length, which follows in the output: large content is not copied.
    #[cfg(any(feature = "peers", test))]
    pub fn begin(mut self, field: u64, length: u64) -> Self {
        self.varint(field << 3 | WITH_LENGTH);
        self.varint(length);
        self
    }

    /// Adds the fields of another message.
    #[cfg(any(feature = "peers", test))]
    pub fn followed_by(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self
    }

    pub fn message(self, field: u64, message: &Self) -> Self {
        self.blob(field, &message.0)
    }

    /// Adds a list of numbers, packed.
    pub fn doubles(self, field: u64, values: &[f64]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.blob(field, &bytes)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// Returns the number of bytes of an integer.
fn length_of_varint(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Takes an integer from the beginning of `bytes`; `None` if it is cut off or too long.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of "Encoding" in the documentation of protocol buffers.
    #[test]
    fn values_are_encoded_as_documented() {
        assert_eq!(Message::default().integer(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().blob(2, b"testing").0, [&[0x12, 0x07][..], b"testing"].concat());
        let inner = Message::default().integer(1, 150);
        assert_eq!(Message::default().message(3, &inner).0, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let around = Message::default().message(1, &inner).message(1, &inner);
        let both = Message::default().messages(3, 1, &[inner.clone(), inner.clone()]);
        assert_eq!(both, Message::default().message(3, &around));
        assert_eq!(Message::default().float(1, 1.0).0, [0x0d, 0, 0, 0x80, 0x3f]);
        let begun = Message::default().begin(3, inner.bytes().len() as u64);
        assert_eq!(begun.followed_by(&inner).0, Message::default().message(3, &inner).0);
    }

    #[test]
    fn integers_of_all_lengths_are_read_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
            let message = Message::default().integer(0, value);
            let mut rest = &message.0[1..];
            assert_eq!((take_varint(&mut rest), rest.len()), (Some(value), 0));
            assert_eq!(length_of_varint(value), message.0.len() - 1);
            assert_eq!(take_varint(&mut &message.0[1..message.0.len() - 1]), None);
        }
        assert_eq!(take_varint(&mut &[0xff; 11][..]), None);
    }
}
