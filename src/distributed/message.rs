//! Bytes on their way between processes.

use std::cell::RefCell;

use bytemuck::Pod;

/// The most messages whose memory a thread keeps for others.
const KEPT: usize = 4;

thread_local! {
    /// Memory of earlier messages: steps exchange the same sizes again and again.
    static SPARE: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that a communicator moves. It owns them while they are on their way, so a transfer that is given up leaves
/// no memory behind that others use. Numbers of up to eight bytes can be read in place.
#[derive(Clone, Debug, Default)]
pub struct Message {
    words: Vec<u64>,
    len: usize,
}

impl Message {
    /// Creates a message of `len` bytes, to be filled: they have any values.
    pub fn sized(len: usize) -> Self {
        let count = len.div_ceil(size_of::<u64>());
        let spare = SPARE.with_borrow_mut(|spare| {
            let fitting = spare.iter().position(|words| words.capacity() >= count);
            fitting.or(spare.len().checked_sub(1)).map(|place| spare.swap_remove(place))
        });
        let mut words = spare.unwrap_or_default();
        words.resize(count, 0);
        Self { words, len }
    }

    /// Leaves the first `len` bytes; a message that is not longer stays as it is.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.words.truncate(self.len.div_ceil(size_of::<u64>()));
    }

    /// Creates a message with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut message = Self::sized(bytes.len());
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

impl PartialEq for Message {
    /// Compares the bytes. The last word may have others behind them.
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Message {}

impl Drop for Message {
    fn drop(&mut self) {
        let words = std::mem::take(&mut self.words);
        // A thread that ends has no room for them.
        let _ = SPARE.try_with(|spare| match spare.try_borrow_mut() {
            Ok(mut spare) if spare.len() < KEPT && words.capacity() > 0 => spare.push(words),
            _ => {}
        });
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
        let mut message = Message::sized(12);
        message.numbers_mut::<f32>().copy_from_slice(&[1.0, -2.0, 3.0]);
        assert_eq!(message.numbers::<f32>(), [1.0, -2.0, 3.0]);
        message.truncate(4);
        assert_eq!(message, Message::of(&1f32.to_ne_bytes()));
    }
}
