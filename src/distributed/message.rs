//! Bytes on their way between processes.

use std::cell::RefCell;

use bytemuck::Pod;

/// The most messages whose memory a thread keeps for others.
const KEPT: usize = 4;

/// The fewest words of a message whose memory is kept; that of others costs less to ask for.
const WORTH_KEEPING: usize = 1 << 9;

thread_local! {
    /// Memory of earlier messages: steps exchange the same sizes again and again.
    static SPARE: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that a communicator moves. It owns them while they are on their way, so a transfer that is given up leaves
/// no memory behind that others use. Numbers of up to eight bytes can be read in place.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Its memory, which may be longer.
    words: Vec<u64>,
    len: usize,
}

impl Message {
    /// Creates a message of `len` bytes, to be filled: they have any values.
    pub fn sized(len: usize) -> Self {
        let count = len.div_ceil(size_of::<u64>());
        let words = if count < WORTH_KEEPING { None } else { spare(count) };
        Self { words: words.unwrap_or_else(|| vec![0; count]), len }
    }

    /// Leaves the first `len` bytes; a message that is not longer stays as it is.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
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
        if words.len() < WORTH_KEEPING {
            return;
        }
        // A thread that ends has no room for it.
        let _ = SPARE.try_with(|spare| {
            let Ok(mut spare) = spare.try_borrow_mut() else { return };
            spare.push(words);
            // The longest ones fit the most messages.
            spare.sort_unstable_by_key(|words| std::cmp::Reverse(words.len()));
            spare.truncate(KEPT);
        });
    }
}

/// Takes memory for `count` words, as little as is enough of that which is kept.
fn spare(count: usize) -> Option<Vec<u64>> {
    SPARE.with_borrow_mut(|spare| {
        let fitting = spare.iter().rposition(|words| words.len() >= count);
        fitting.map(|place| spare.remove(place))
    })
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

    #[test]
    fn memory_of_long_messages_is_used_again_for_those_that_fit() {
        let place = |message: &Message| message.bytes().as_ptr();
        let long = Message::sized(1 << 16);
        let first = place(&long);
        drop(long);
        assert_ne!(place(&Message::sized(8)), first, "a short one leaves it to others");
        let shorter = Message::sized((1 << 16) - 100);
        assert_eq!(place(&shorter), first);
        assert_eq!(shorter.bytes().len(), (1 << 16) - 100);
        assert_eq!(shorter.clone(), shorter);
    }
}
