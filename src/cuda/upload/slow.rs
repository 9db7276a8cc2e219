//! A stand-in for the slowest device possible: a copy is made when somebody waits for it, and not before.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Result, Shape, Tensor, bail};

use super::Upload;
use super::staged::{Staged, Streams};

/// Bytes of host or device memory.
type Bytes = Arc<Mutex<Vec<u8>>>;
/// A copy that was not made yet.
type Job = Box<dyn FnOnce() + Send>;

/// The stand-in, and what was asked of it.
#[derive(Clone, Default)]
pub(crate) struct SlowStreams(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Job>,
    /// Copies made.
    done: usize,
    buffers: usize,
    is_broken: bool,
    calls: Vec<String>,
}

impl SlowStreams {
    /// Uploads tensors of at least `smallest` bytes in pieces of `piece` bytes.
    pub fn uploads(&self, piece: usize, smallest: usize) -> Arc<dyn Upload> {
        Arc::new(Staged::new(self.clone(), piece, smallest))
    }

    /// Returns the calls so far, and forgets them.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    /// Lets the device fail from now on.
    pub fn fail(&self) {
        self.0.lock().unwrap().is_broken = true;
    }

    fn note(&self, call: impl Into<String>) -> Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.calls.push(call.into());
        if inner.is_broken { bail!("the device has fallen off the bus") } else { Ok(()) }
    }

    /// Makes the copies before `event`.
    fn reach(&self, event: usize) {
        let mut inner = self.0.lock().unwrap();
        while inner.done < event {
            let job = inner.waiting.pop_front().unwrap();
            job();
            inner.done += 1;
        }
    }
}

impl fmt::Debug for SlowStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlowStreams")
    }
}

impl Streams for SlowStreams {
    type Pinned = (usize, Bytes);
    type Memory = Bytes;
    /// Number of copies before it.
    type Event = usize;

    fn takes(dtype: DType) -> bool {
        matches!(dtype, DType::U32 | DType::F32)
    }

    fn pinned(&self, bytes: usize) -> Result<Self::Pinned> {
        let mut inner = self.0.lock().unwrap();
        inner.buffers += 1;
        Ok((inner.buffers, Arc::new(Mutex::new(vec![0xee; bytes]))))
    }

    fn fill(&self, (buffer, pinned): &mut Self::Pinned, bytes: &[u8]) -> Result<()> {
        pinned.lock().unwrap()[..bytes.len()].copy_from_slice(bytes);
        self.note(format!("fill {buffer}"))
    }

    fn allocate(&self, bytes: usize) -> Result<Bytes> {
        self.note(format!("allocate {bytes}"))?;
        Ok(Arc::new(Mutex::new(vec![0xdd; bytes])))
    }

    fn copy(&self, (buffer, pinned): &Self::Pinned, memory: &mut Bytes, range: Range<usize>) -> Result<()> {
        self.note(format!("copy {buffer} to {range:?}"))?;
        let (pinned, memory) = (Arc::clone(pinned), Arc::clone(memory));
        self.0.lock().unwrap().waiting.push_back(Box::new(move || {
            let length = range.len();
            memory.lock().unwrap()[range].copy_from_slice(&pinned.lock().unwrap()[..length]);
        }));
        Ok(())
    }

    fn event(&self) -> Result<usize> {
        let inner = self.0.lock().unwrap();
        Ok(inner.done + inner.waiting.len())
    }

    fn wait(&self, event: &usize) -> Result<()> {
        self.note(format!("wait for {event}"))?;
        self.reach(*event);
        Ok(())
    }

    fn let_training_wait(&self, event: &usize) -> Result<()> {
        self.note(format!("training waits for {event}"))?;
        self.reach(*event);
        Ok(())
    }

    fn arrive(&self, memory: Bytes, dtype: DType, shape: Shape) -> Result<Tensor> {
        self.note("arrive")?;
        Tensor::from_raw_buffer(&memory.lock().unwrap(), dtype, shape.dims(), &Device::Cpu)
    }

    fn device(&self) -> Device {
        Device::Cpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: u32, seed: u32) -> Tensor {
        let values: Vec<u32> = (0..count).map(|number| number.wrapping_mul(2_654_435_761) ^ seed).collect();
        Tensor::from_vec(values, count as usize, &Device::Cpu).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<u32> {
        tensor.to_vec1().unwrap()
    }

    #[test]
    fn an_upload_fills_two_buffers_in_turn_and_training_waits_for_its_end() {
        let device = SlowStreams::default();
        let uploads = device.uploads(16, 1);
        let tensor = numbers(15, 0);
        let arrival = uploads.begin(&tensor).unwrap();
        assert_eq!(
            device.calls(),
            [
                "allocate 60",
                "fill 1",
                "copy 1 to 0..16",
                "fill 2",
                "copy 2 to 16..32",
                // What is in a buffer was copied before it is filled again.
                "wait for 1",
                "fill 1",
                "copy 1 to 32..48",
                "wait for 2",
                "fill 2",
                "copy 2 to 48..60",
            ]
        );
        let arrived = arrival().unwrap();
        assert_eq!(device.calls(), ["training waits for 4", "arrive"]);
        assert_eq!((values(&arrived), arrived.dims()), (values(&tensor), &[15][..]));
        // The next one goes on with the other buffer, and only waits for the piece that was in it.
        drop(uploads.begin(&numbers(4, 1)).unwrap());
        assert_eq!(device.calls(), ["allocate 16", "wait for 3", "fill 1", "copy 1 to 0..16"]);
        // The buffers are kept until the device has read them.
        drop(uploads);
        assert_eq!(device.calls(), ["wait for 4", "wait for 5"]);
    }

    #[test]
    fn tensors_that_are_under_way_at_the_same_time_keep_their_values() {
        let device = SlowStreams::default();
        let uploads = device.uploads(16, 1);
        let tensors: Vec<Tensor> = (0..7).map(|seed| numbers(1 + 3 * seed, seed)).collect();
        let begun: Vec<_> = tensors.iter().map(|tensor| uploads.begin(tensor).unwrap()).collect();
        for (tensor, arrival) in tensors.iter().zip(begun).rev() {
            assert_eq!(values(&arrival().unwrap()), values(tensor));
        }
        // A part of a tensor is uploaded alone.
        let part = tensors[6].narrow(0, 5, 9).unwrap();
        device.calls();
        assert_eq!(values(&uploads.begin(&part).unwrap()().unwrap()), values(&part));
        assert_eq!(device.calls()[0], "allocate 36");
    }

    #[test]
    fn small_tensors_others_than_numbers_and_views_go_the_plain_way() {
        let device = SlowStreams::default();
        let uploads = device.uploads(16, 33);
        let table = numbers(12, 0).reshape((3, 4)).unwrap();
        for tensor in [numbers(8, 0), table.t().unwrap(), table.to_dtype(DType::I64).unwrap()] {
            let arrived = uploads.begin(&tensor).unwrap()().unwrap();
            assert_eq!(
                arrived.to_dtype(DType::F64).unwrap().to_string(),
                tensor.to_dtype(DType::F64).unwrap().to_string()
            );
            assert_eq!(device.calls(), [""; 0]);
        }
        drop(uploads.begin(&numbers(9, 0)).unwrap());
        assert!(!device.calls().is_empty());
    }

    #[test]
    fn a_device_that_fails_is_an_error() {
        let device = SlowStreams::default();
        let uploads = device.uploads(16, 1);
        let begun = uploads.begin(&numbers(9, 0)).unwrap();
        device.fail();
        for failed in [begun(), uploads.begin(&numbers(9, 0)).and_then(|arrival| arrival())] {
            assert_eq!(failed.unwrap_err().to_string().lines().next(), Some("the device has fallen off the bus"));
        }
    }
}
