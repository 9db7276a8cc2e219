//! Dynamic loss scaling for f16: Micikevicius et al., "Mixed precision training", ICLR 2018, with the rule and the
//! numbers of `torch.amp.GradScaler`.

use serde::{Deserialize, Serialize};

use super::MeasuredGradients;
use crate::state::{State, StateError, Stateful};

/// The scale of the first step.
const FIRST: f64 = 65_536.0;

/// Number of updates in a row after which the scale doubles.
const GROWTH_INTERVAL: u64 = 2000;

/// At this scale and below, gradients that are not finite have another cause.
const LEAST: f64 = 1.0;

/// The factor of the loss with which gradients in f16 are computed, so that small ones do not become 0. It begins at
/// 65,536, doubles after 2,000 updates in a row, and halves when a gradient overflows; that update is skipped. It is a
/// power of two, so scaling rounds nothing.
///
/// ```
/// # use candle_core::{DType, Device, Tensor, Var};
/// # use rekindle::{ops::{self, Tape, loss}, parameters::Parameters};
/// use rekindle::optim::{AdamW, Gradients, LossScale, Optimizer};
/// # let weight = Var::ones((1, 3), DType::F32, &Device::Cpu)?;
/// # let parameters: Parameters = [("weight".to_owned(), weight.clone())].into_iter().collect();
/// # let (x, y) = (Tensor::ones((5, 3), DType::F32, &Device::Cpu)?, Tensor::zeros((5, 1), DType::F32, &Device::Cpu)?);
/// let (mut optimizer, mut loss_scale) = (Optimizer::new(&parameters, AdamW::default())?, LossScale::default());
/// let (loss, tape) = Tape::record(|| loss::mean_squared_error(&ops::linear(&x, &weight, None)?, &y));
/// let gradients = Gradients::from_tape(tape, loss?, loss_scale.scale(), &parameters)?.measure()?;
/// let gradients = gradients.unscaled(loss_scale.scale());
/// let overflows = loss_scale.overflows(&gradients);
/// if overflows { optimizer.skip() } else { optimizer.update(&gradients, &[0.1])? }
/// loss_scale.advance(overflows);
/// # assert_eq!((gradients.norm(), optimizer.updates()), (108f64.sqrt(), 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    scale: f64,
    /// Number of updates since the scale last changed.
    updates: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: FIRST, updates: 0 }
    }
}

impl LossScale {
    /// Returns the factor of the loss in the next backward pass.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Whether these gradients are not finite, but may be with a smaller scale. The update must then be skipped.
    pub fn overflows(&self, gradients: &MeasuredGradients) -> bool {
        self.scale > LEAST && !gradients.norm().is_finite()
    }

    /// Sets the scale of the next backward pass, after an update or, if the gradients had `overflowed`, in its place.
    pub fn advance(&mut self, overflowed: bool) {
        if overflowed {
            *self = Self { scale: self.scale / 2.0, updates: 0 };
            return;
        }
        self.updates += 1;
        if self.updates == GROWTH_INTERVAL {
            *self = Self { scale: self.scale * 2.0, updates: 0 };
        }
    }
}

impl Stateful for LossScale {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::from_json(serde_json::to_value(self)?))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        let saved = Self::deserialize(&state.json)?;
        if !(saved.scale.is_finite() && saved.scale > 0.0) {
            return Err(StateError::Unable(format!("a loss scale is a positive number, not {}", saved.scale)));
        }
        state.expect_tensors([])
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        *self = Self::deserialize(&state.json)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use super::*;
    use crate::optim::Gradients;
    use crate::parameters::Parameters;

    fn gradients(value: f32) -> MeasuredGradients {
        let var = Var::from_slice(&[value], 1, &Device::Cpu).unwrap();
        let parameters: Parameters = [("a".to_owned(), var)].into_iter().collect();
        let gradient = Tensor::new(&[value], &Device::Cpu).unwrap();
        Gradients::of_tensors(&parameters, vec![gradient]).unwrap().measure().unwrap()
    }

    /// The numbers of `torch.amp.GradScaler`.
    #[test]
    fn the_scale_doubles_after_2000_updates_and_halves_at_an_overflow() {
        let mut scale = LossScale::default();
        assert_eq!(scale.scale(), 65_536.0);
        (0..1999).for_each(|_| scale.advance(false));
        assert_eq!(scale.scale(), 65_536.0);
        scale.advance(false);
        assert_eq!(scale.scale(), 131_072.0);
        (0..1999).for_each(|_| scale.advance(false));
        scale.advance(true);
        assert_eq!(scale.scale(), 65_536.0);
        // The overflow begins a new count.
        (0..1999).for_each(|_| scale.advance(false));
        assert_eq!(scale.scale(), 65_536.0);
    }

    #[test]
    fn gradients_that_are_not_finite_at_a_scale_of_one_do_not_count_as_an_overflow() {
        let mut scale = LossScale::default();
        assert!(!scale.overflows(&gradients(3.0)));
        for _ in 0..16 {
            assert!(scale.overflows(&gradients(f32::INFINITY)) && scale.overflows(&gradients(f32::NAN)));
            scale.advance(true);
        }
        assert_eq!(scale.scale(), 1.0);
        assert!(!scale.overflows(&gradients(f32::NAN)));
    }

    #[test]
    fn a_saved_scale_continues_and_one_that_cannot_be_is_refused() {
        let mut scale = LossScale::default();
        (0..5).for_each(|_| scale.advance(false));
        scale.advance(true);
        scale.advance(false);
        let mut again = LossScale::default();
        again.load(&scale.save().unwrap()).unwrap();
        assert_eq!(again, scale);
        let zero = State::from_json(serde_json::json!({"scale": 0.0, "updates": 1}));
        assert!(again.check(&zero).unwrap_err().to_string().contains("a positive number, not 0"));
    }
}
