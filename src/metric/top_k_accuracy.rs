//! Top-k accuracy.

use candle_core::{D, DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scored::per_class;
use super::{Mean, Metric, Tally, Task, task};

/// Share of targets whose class is among the `k` with the largest logits: fewer than `k` other logits are larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopKAccuracy {
    /// Number of classes considered.
    #[serde(default = "five")]
    #[schemars(range(min = 1))]
    pub k: usize,
}

fn five() -> usize {
    5
}

impl Metric for TopKAccuracy {
    fn more_is_better() -> bool {
        true
    }

    fn validate(&self) -> Result<(), String> {
        if self.k == 0 { Err("k = 0: must be at least 1".to_owned()) } else { Ok(()) }
    }

    fn check_task(&self, task: &Task) -> Result<(), String> {
        task::classes(task)
    }

    fn tally(&self) -> Box<dyn Tally> {
        let k = self.k as f64;
        Box::new(Mean::of(move |logits: &Tensor, targets: &Tensor| {
            let logits = per_class(logits)?;
            let own = logits.contiguous()?.gather(&targets.unsqueeze(D::Minus1)?.contiguous()?, D::Minus1)?;
            logits.broadcast_gt(&own)?.to_dtype(DType::F64)?.sum(D::Minus1)?.lt(k)
        }))
    }
}
