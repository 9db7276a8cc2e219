//! The update of SGD with momentum: Sutskever et al., "On the importance of initialization and momentum in deep
//! learning" (ICML 2013), in the form of `torch.optim.SGD`.

use candle_core::{Result, Tensor, Var, WithDType};

use super::in_place::{self, Element, zip2, zip3};

/// What one update of one parameter uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coefficients {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub nesterov: bool,
    pub weight_decay: f64,
    /// Multiplies the gradient before anything else.
    pub gradient_scale: f64,
}

impl Coefficients {
    /// The first update takes the whole gradient into the momentum, whatever the dampening; without momentum there is
    /// nothing to dampen.
    pub fn for_update(self, updates_before: u64) -> Self {
        if updates_before == 0 || self.momentum == 0.0 { Self { dampening: 0.0, ..self } } else { self }
    }
}

/// One pass over the slices of one parameter.
pub(super) fn update<T: Element>(
    parameter: &Tensor,
    momentum: Option<&Var>,
    gradient: &Tensor,
    c: Coefficients,
) -> Result<()> {
    let of = <T as WithDType>::from_f64;
    let (lr, decay, scale) = (of(c.lr), of(c.weight_decay), of(c.gradient_scale));
    let (keep, take) = (of(c.momentum), of(1.0 - c.dampening));
    in_place::read::<T, _>(gradient, |gradient| {
        in_place::write::<T>(parameter, |parameter| {
            let Some(momentum) = momentum else {
                zip2(parameter, gradient, |p, g| {
                    for (p, g) in p.iter_mut().zip(g) {
                        *p = *p - lr * (*g * scale + decay * *p);
                    }
                });
                return Ok(());
            };
            in_place::write::<T>(momentum, |momentum| {
                zip3(parameter, momentum, gradient, |p, m, g| {
                    for ((p, m), g) in p.iter_mut().zip(m).zip(g) {
                        let g = *g * scale + decay * *p;
                        *m = *m * keep + g * take;
                        *p -= lr * if c.nesterov { g + keep * *m } else { *m };
                    }
                });
                Ok(())
            })
        })
    })
}

/// The same update as tensor operations, for devices whose memory cannot be visited and for half precision, whose
/// arithmetic is done in the dtype of the momentum.
pub(super) fn update_composed(
    parameter: &Var,
    momentum: Option<&Var>,
    gradient: &Tensor,
    c: Coefficients,
) -> Result<()> {
    let dtype = super::optimizer::moment_dtype(parameter);
    let p = parameter.as_detached_tensor().to_dtype(dtype)?;
    let g = ((gradient.to_dtype(dtype)? * c.gradient_scale)? + (&p * c.weight_decay)?)?;
    let direction = match momentum {
        None => g,
        Some(momentum) => {
            let m = ((momentum.as_detached_tensor() * c.momentum)? + (&g * (1.0 - c.dampening))?)?;
            momentum.set(&m)?;
            if c.nesterov { (g + (m * c.momentum)?)? } else { m }
        }
    };
    parameter.set(&(p - (direction * c.lr)?)?.to_dtype(parameter.dtype())?)
}
