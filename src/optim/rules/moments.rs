//! The update of Adam (Kingma and Ba, ICLR 2015, algorithm 1) and AdamW (Loshchilov and Hutter, ICLR 2019,
//! algorithm 2), in the form of `torch.optim.Adam` and `torch.optim.AdamW`.

use candle_core::{Result, Tensor, Var, WithDType};

use super::in_place::{self, Element, zip4};

/// What one update of one parameter uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coefficients {
    pub lr: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub weight_decay: f64,
    /// Whether decay multiplies the weights (AdamW) or is added to the gradient (Adam).
    pub decoupled: bool,
    /// Multiplies the gradient before anything else.
    pub gradient_scale: f64,
    /// How many updates came before: the moments are corrected for having started at zero.
    pub updates_before: u64,
}

impl Coefficients {
    /// `1 - lr * weight_decay` where decay is decoupled, else 1.
    fn shrink(&self) -> f64 {
        if self.decoupled { 1.0 - self.lr * self.weight_decay } else { 1.0 }
    }

    /// What is added to the gradient for each unit of weight.
    fn coupled_decay(&self) -> f64 {
        if self.decoupled { 0.0 } else { self.weight_decay }
    }

    /// `1 - beta^n` for the first and the second moment at update number n, counted from 1.
    fn corrections(&self) -> [f64; 2] {
        let n = (self.updates_before + 1) as f64;
        self.betas.map(|beta| 1.0 - beta.powf(n))
    }
}

/// One pass over the slices of one parameter.
pub(super) fn update<T: Element>(
    parameter: &Tensor,
    [exp_avg, exp_avg_sq]: [&Var; 2],
    gradient: &Tensor,
    c: Coefficients,
) -> Result<()> {
    let of = <T as WithDType>::from_f64;
    let [first_correction, second_correction] = c.corrections();
    let step_size = of(c.lr / first_correction);
    let root_correction = of(second_correction.sqrt());
    let (beta2, take1, take2) = (of(c.betas[1]), of(1.0 - c.betas[0]), of(1.0 - c.betas[1]));
    let (scale, shrink, decay, eps) = (of(c.gradient_scale), of(c.shrink()), of(c.coupled_decay()), of(c.eps));
    in_place::read::<T, _>(gradient, |gradient| {
        in_place::write::<T>(parameter, |parameter| {
            in_place::write::<T>(exp_avg, |exp_avg| {
                in_place::write::<T>(exp_avg_sq, |exp_avg_sq| {
                    zip4(parameter, exp_avg, exp_avg_sq, gradient, |p, m, v, g| {
                        for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
                            let g = *g * scale + decay * *p;
                            *m = *m + take1 * (g - *m);
                            *v = *v * beta2 + take2 * g * g;
                            let denominator = v.sqrt() / root_correction + eps;
                            *p = *p * shrink - step_size * (*m / denominator);
                        }
                    });
                    Ok(())
                })
            })
        })
    })
}

/// The same update as tensor operations, for devices whose memory cannot be visited and for half precision, whose
/// arithmetic is done in the dtype of the moments.
pub(super) fn update_composed(
    parameter: &Var,
    [exp_avg, exp_avg_sq]: [&Var; 2],
    gradient: &Tensor,
    c: Coefficients,
) -> Result<()> {
    let dtype = super::optimizer::moment_dtype(parameter);
    let [first_correction, second_correction] = c.corrections();
    let p = parameter.as_detached_tensor().to_dtype(dtype)?;
    let g = ((gradient.to_dtype(dtype)? * c.gradient_scale)? + (&p * c.coupled_decay())?)?;
    let m = exp_avg.as_detached_tensor();
    let m = (&m + ((&g - &m)? * (1.0 - c.betas[0]))?)?;
    let v = ((exp_avg_sq.as_detached_tensor() * c.betas[1])? + (g.sqr()? * (1.0 - c.betas[1]))?)?;
    exp_avg.set(&m)?;
    exp_avg_sq.set(&v)?;
    let denominator = ((v.sqrt()? / second_correction.sqrt())? + c.eps)?;
    let moved = ((p * c.shrink())? - ((m / denominator)? * (c.lr / first_correction))?)?;
    parameter.set(&moved.to_dtype(parameter.dtype())?)
}
