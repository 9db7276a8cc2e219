//! Perplexity, and bits per byte: the cross-entropy of a validation in other units.

use std::f64::consts::LN_2;
use std::sync::Arc;

use candle_core::{D, DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exact_sum::ExactSum;
use super::scored::per_class;
use super::{Mean, Metric, Tally, Task, task};

/// The exponential of the mean cross-entropy: the number of equally probable classes or tokens that would be as hard to
/// predict. As torchmetrics' `Perplexity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Perplexity {}

impl Metric for Perplexity {
    fn more_is_better() -> bool {
        false
    }

    fn check_task(&self, task: &Task) -> std::result::Result<(), String> {
        task::classes(task)
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(Mean::of(surprises).then(f64::exp))
    }
}

/// The logarithm of the probability of each target, negated.
fn surprises(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let logits = per_class(&logits.to_dtype(DType::F32)?)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?.contiguous()?;
    let of_targets = shifted.gather(&targets.unsqueeze(D::Minus1)?.contiguous()?, D::Minus1)?;
    shifted.exp()?.sum_keepdim(D::Minus1)?.log()? - of_targets
}

/// Mean number of bits for each byte of text with which a perfect coder would write it: the cross-entropy of all
/// targets in bits, over the bytes that they stand for. It compares models with different vocabularies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BitsPerByte {}

impl Metric for BitsPerByte {
    fn more_is_better() -> bool {
        false
    }

    fn check_task(&self, task: &Task) -> std::result::Result<(), String> {
        task::classes(task)?;
        task.token_bytes
            .as_ref()
            .map(drop)
            .ok_or_else(|| "is for text, with tokens that keep every byte of it".to_owned())
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(Bits { token_bytes: Arc::from([]), nats: ExactSum::default(), bytes: 0 })
    }

    fn tally_for(&self, task: &Task) -> Box<dyn Tally> {
        let token_bytes = task.token_bytes.clone().unwrap_or_else(|| Arc::from([]));
        Box::new(Bits { token_bytes, nats: ExactSum::default(), bytes: 0 })
    }
}

struct Bits {
    token_bytes: Arc<[u32]>,
    nats: ExactSum,
    bytes: u64,
}

impl Tally for Bits {
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()> {
        let surprises: Vec<f32> = surprises(outputs, targets)?.flatten_all()?.to_vec1()?;
        surprises.into_iter().for_each(|surprise| self.nats.add(f64::from(surprise)));
        let tokens: Vec<u32> = targets.flatten_all()?.to_vec1()?;
        let bytes = tokens.iter().filter_map(|&token| self.token_bytes.get(token as usize));
        self.bytes += bytes.map(|&bytes| u64::from(bytes)).sum::<u64>();
        Ok(())
    }

    fn value(&self) -> f64 {
        self.nats.value() / LN_2 / self.bytes as f64
    }

    fn sums(&self) -> Option<Vec<f64>> {
        Some([self.bytes as f64].into_iter().chain(self.nats.parts()).collect())
    }

    fn add_sums(&mut self, sums: &[f64]) {
        if let [bytes, nats @ ..] = sums {
            self.bytes += *bytes as u64;
            self.nats.add_parts(nats);
        }
    }
}
