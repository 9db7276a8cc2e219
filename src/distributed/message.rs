//! Bytes on their way between processes.

use bytemuck::Pod;

/// Bytes that a communicator moves. It owns them while they are on their way, so a transfer that is given up leaves
/// no memory behind that others use. Numbers of up to eight bytes can be read in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    words: Vec<u64>,
    len: usize,
}

impl Message {
    /// Creates a message of `len` bytes, which are zeros.
    pub fn zeroed(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(size_of::<u64>())], len }
    }

    /// Creates a message with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut message = Self::zeroed(bytes.len());
        message.bytes_mut().copy_from_slice(bytes);
        message
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    /// Returns the bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }

    /// Returns the bytes as numbers in the order of this machine's memory. The length must be that of whole numbers.
    pub(crate) fn numbers<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(self.bytes())
    }

    /// As [`Message::numbers`], to be changed.
    pub(crate) fn numbers_mut<T: Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(self.bytes_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_number_come_back() {
        for len in [0, 1, 7, 8, 9] {
            let bytes: Vec<u8> = (1..=len).collect();
            assert_eq!(Message::of(&bytes).bytes(), bytes);
        }
        let mut message = Message::zeroed(12);
        message.numbers_mut::<f32>().copy_from_slice(&[1.0, -2.0, 3.0]);
        assert_eq!(message.numbers::<f32>(), [1.0, -2.0, 3.0]);
    }
}
