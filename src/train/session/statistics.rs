//! The running statistics of batch norms in a run of several processes: they move as in one process, micro-batch after
//! micro-batch.

use candle_core::{Device, Tensor};

use super::Session;
use crate::ops::Seen;
use crate::train::TrainError;
use crate::train::error::RanksError;

impl Session {
    /// Writes what this process has seen, for [`Session::read_seen`] in all of them.
    pub(super) fn write_seen(&self, seen: &[Seen], words: &mut Vec<u64>) -> Result<(), TrainError> {
        seen.iter().try_for_each(|seen| self.write(seen, words))
    }

    /// Reads what a process has seen.
    pub(super) fn read_seen(&self, mut words: &[u64]) -> Result<Vec<Seen>, TrainError> {
        let mut all = Vec::new();
        while let Some(seen) = self.read(&mut words)? {
            all.push(seen);
        }
        Ok(all)
    }

    fn write(&self, seen: &Seen, words: &mut Vec<u64>) -> Result<(), TrainError> {
        let place = |running: &candle_core::Var| {
            let place = self.buffers.iter().position(|(_, buffer)| buffer.id() == running.id());
            place.map(|place| place as u64).ok_or_else(|| TrainError::Field {
                field: "model.kind".to_owned(),
                value: self.config.model.kind().to_owned(),
                rule: "has a batch norm whose running statistics are not among its buffers; several processes cannot \
                       train it together"
                    .to_owned(),
            })
        };
        let [mean, variance] = seen.values()?;
        words.extend([place(&seen.running_mean)?, place(&seen.running_variance)?]);
        words.extend([seen.count as u64, seen.momentum.to_bits(), mean.len() as u64]);
        words.extend(mean.iter().chain(&variance).map(|value| value.to_bits()));
        Ok(())
    }

    /// Reads what another process has written, from the beginning of `words`.
    fn read(&self, words: &mut &[u64]) -> Result<Option<Seen>, TrainError> {
        let [mean, variance, count, momentum, channels, ref rest @ ..] = **words else { return Ok(None) };
        let buffer = |place: u64| self.buffers.iter().nth(place as usize).map(|(_, buffer)| buffer.clone());
        let channels = channels as usize;
        let (Some(running_mean), Some(running_variance), true) =
            (buffer(mean), buffer(variance), rest.len() >= 2 * channels)
        else {
            return Ok(None);
        };
        let values = |words: &[u64]| {
            let values: Vec<f64> = words.iter().map(|&word| f64::from_bits(word)).collect();
            Tensor::from_vec(values, channels, &Device::Cpu)
        };
        let (mean, variance) = (values(&rest[..channels])?, values(&rest[channels..2 * channels])?);
        *words = &rest[2 * channels..];
        let (count, momentum) = (count as usize, f64::from_bits(momentum));
        Ok(Some(Seen { running_mean, running_variance, mean, variance, count, momentum }))
    }

    /// Refuses a model whose buffers have not become the same in all processes.
    pub(super) fn compare_buffers(&self) -> Result<(), TrainError> {
        let world = self.communicator.world();
        for (name, buffer) in self.buffers.iter() {
            let values = buffer.flatten_all()?.to_device(&Device::Cpu)?.to_dtype(candle_core::DType::F64)?;
            let digest = blake3::hash(bytemuck::cast_slice(&values.to_vec1::<f64>()?));
            let all = self.gather(digest.as_bytes())?;
            if let Some(rank) = all.iter().position(|other| *other != all[0]) {
                let (key, own, first) = (format!("buffer `{name}`"), "other values".to_owned(), "its own".to_owned());
                return Err(RanksError::Differ { rank, world, key, own, first }.into());
            }
        }
        Ok(())
    }
}
