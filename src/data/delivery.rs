//! Batches by number on the device of a run.

use std::sync::Arc;

use candle_core::Device;

use super::prefetcher::{Pace, Prefetcher, Prepare};
use super::{Batch, DataError};
use crate::cuda::upload::{self, Arrival, Upload};

/// Where batches go.
#[derive(Clone, Debug, Default)]
pub(super) struct Destination {
    /// The device; `None` leaves batches where the data set gathers them.
    device: Option<Device>,
    /// Copies to the device beside training, if it has them.
    upload: Option<Arc<dyn Upload>>,
}

impl Destination {
    /// The device of a run.
    pub fn of(device: &Device) -> Self {
        Self { device: Some(device.clone()), upload: upload::to(device) }
    }

    /// Copies a batch to the device, on the thread of training.
    pub fn bring(&self, batch: Batch) -> Result<Batch, DataError> {
        Ok(match &self.device {
            Some(device) => batch.on(device)?,
            None => batch,
        })
    }
}

/// Returns batches by number on the device. Where it copies beside training, the next one is on its way while the
/// caller works on one.
#[derive(Debug)]
pub(super) struct Delivery {
    made: Arc<Prefetcher>,
    to: Destination,
    coming: Option<Prefetcher<Coming>>,
}

/// The tensors of a batch on their way.
struct Coming {
    inputs: Arrival,
    targets: Arrival,
}

impl Delivery {
    /// The batches `0..end` of `prepare`.
    pub fn new(prepare: Arc<Prepare<Batch>>, end: u64, to: &Destination, pace: Pace) -> Self {
        let made = Arc::new(Prefetcher::new(prepare, end).paced(pace));
        let coming = to.upload.as_ref().map(|upload| uploaded(&made, upload, end).paced(pace));
        Self { made, to: to.clone(), coming }
    }

    /// Whether threads were started, because preparing a batch takes long.
    pub fn is_slow(&self) -> bool {
        self.made.is_slow()
    }

    /// Returns batch number `number`, or `None` if `stop` asks to end the wait. Only the thread of training calls this.
    pub fn batch_unless(&self, number: u64, stop: &dyn Fn() -> bool) -> Result<Option<Batch>, DataError> {
        match &self.coming {
            Some(coming) => coming.batch_unless(number, stop)?.map(Coming::arrive).transpose(),
            None => self.made.batch_unless(number, stop)?.map(|batch| self.to.bring(batch)).transpose(),
        }
    }
}

/// Batches that are made by `made`, and uploaded.
fn uploaded(made: &Arc<Prefetcher>, upload: &Arc<dyn Upload>, end: u64) -> Prefetcher<Coming> {
    let (made, upload) = (Arc::clone(made), Arc::clone(upload));
    let begin = move |number| {
        let batch = made.batch(number)?;
        Ok(Coming { inputs: upload.begin(&batch.inputs)?, targets: upload.begin(&batch.targets)? })
    };
    Prefetcher::new(Arc::new(begin), end).one_ahead("uploads")
}

impl Coming {
    fn arrive(self) -> Result<Batch, DataError> {
        Ok(Batch { inputs: (self.inputs)()?, targets: (self.targets)()? })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use candle_core::Tensor;

    use super::*;
    use crate::cuda::upload::slow::SlowStreams;

    impl Destination {
        /// A device that copies beside training.
        pub fn slow(device: &SlowStreams) -> Self {
            Self { device: Some(Device::Cpu), upload: Some(device.uploads(64, 1)) }
        }
    }

    fn batch(number: u64) -> Batch {
        let values = |count: u32| (0..count).map(|place| place * 1_000_003 + number as u32).collect::<Vec<_>>();
        let tensor = |count: u32| Tensor::from_vec(values(count), count as usize, &Device::Cpu).unwrap();
        Batch { inputs: tensor(50), targets: tensor(7) }
    }

    fn bits(batch: &Batch) -> [Vec<u32>; 2] {
        [batch.inputs.to_vec1().unwrap(), batch.targets.to_vec1().unwrap()]
    }

    /// Batches that take `time` each; number 30 fails.
    fn delivered(time: Duration, device: &SlowStreams) -> Delivery {
        let prepare = move |number| {
            thread::sleep(time);
            if number == 30 { Err(DataError::NoSuchRow { row: 30, rows: 0 }) } else { Ok(batch(number)) }
        };
        Delivery::new(Arc::new(prepare), 50, &Destination::slow(device), Pace::Unknown)
    }

    #[test]
    fn uploaded_batches_are_those_of_their_numbers_whether_made_here_or_ahead() {
        for time in [Duration::ZERO, Duration::from_millis(1)] {
            let delivery = delivered(time, &SlowStreams::default());
            for number in (0..33).chain([7, 8, 9, 49, 48]) {
                match delivery.batch_unless(number, &|| false) {
                    Ok(found) => assert_eq!(bits(&found.unwrap()), bits(&batch(number)), "{number}"),
                    Err(error) => assert!(number == 30 && matches!(error, DataError::NoSuchRow { .. }), "{error}"),
                }
            }
            // On a busy machine a quick one may be slow too.
            assert!(delivery.is_slow() || time.is_zero());
        }
    }

    #[test]
    fn one_batch_is_on_its_way_while_the_caller_works_on_another() {
        let device = SlowStreams::default();
        let delivery = delivered(Duration::from_millis(1), &device);
        let mut uploads = 0;
        for number in 0..20 {
            drop(delivery.batch_unless(number, &|| false).unwrap().unwrap());
            // Threads have started by now, and one uploads the next batch without being asked for it.
            while uploads < number + 2 {
                uploads += device.calls().iter().filter(|call| *call == "allocate 200").count() as u64;
                if number < 10 {
                    break;
                }
                thread::yield_now();
            }
            assert!(uploads <= number + 2, "{uploads} uploads at batch {number}");
        }
    }

    #[test]
    fn a_device_that_fails_is_the_error_of_a_batch_and_a_wait_ends_when_asked_to() {
        let device = SlowStreams::default();
        let delivery = delivered(Duration::from_millis(1), &device);
        (0..10).for_each(|number| drop(delivery.batch_unless(number, &|| false).unwrap()));
        device.fail();
        let failed = (10..13).find_map(|number| delivery.batch_unless(number, &|| false).err()).unwrap();
        assert!(failed.to_string().contains("the device has fallen off the bus"), "{failed}");
        let slow = delivered(Duration::from_millis(200), &SlowStreams::default());
        assert!(slow.batch_unless(0, &|| true).unwrap().is_none());
    }
}
