//! Noise that is added to gradients.

use candle_core::{Device, Tensor};

use super::{Gradients, OptimError};
use crate::cpu::map_tasks;
use crate::rng::{StepRng, Stream};

impl Gradients {
    /// Adds to each element a normal number with this standard deviation, computed from counters: the same on a resume, and
    /// for any number of threads.
    ///
    /// # Errors
    /// The device fails.
    pub fn with_noise(self, deviation: f64, draws: &StepRng) -> Result<Self, OptimError> {
        self.each(|name, gradient| {
            let stream = draws.stream(&format!("gradient_noise/{name}"));
            let noise = normal(&stream, draws.step, gradient.elem_count());
            let noise = (Tensor::from_vec(noise, gradient.shape(), &Device::Cpu)? * deviation)?;
            gradient + noise.to_dtype(gradient.dtype())?.to_device(gradient.device())?
        })
    }
}

/// Returns `count` standard normal numbers, those of [`Stream::normal`], computed on all threads.
fn normal(stream: &Stream, step: u64, count: usize) -> Vec<f32> {
    /// Pairs of numbers per task.
    const PAIRS: u64 = 1 << 12;
    let pairs = count.div_ceil(2) as u64;
    let task = |task: usize| {
        let first = task as u64 * PAIRS;
        stream.normal_pairs(step, first..pairs.min(first + PAIRS)).collect::<Vec<f32>>()
    };
    let mut all = map_tasks(pairs.div_ceil(PAIRS) as usize, pairs > PAIRS, task).concat();
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::parameters::Parameters;

    fn gradients(values: &[f32]) -> Gradients {
        let tensor = Tensor::new(values, &Device::Cpu).unwrap();
        let parameters: Parameters = [("a".to_owned(), Var::from_tensor(&tensor).unwrap())].into_iter().collect();
        Gradients::of_tensors(&parameters, vec![tensor]).unwrap()
    }

    fn values(gradients: &Gradients) -> Vec<f32> {
        gradients.tensors()[0].to_vec1().unwrap()
    }

    #[test]
    fn noise_is_that_of_its_step_and_name_with_its_deviation() {
        const COUNT: usize = 20_001;
        let noise = |step| values(&gradients(&[0.0; COUNT]).with_noise(0.5, &StepRng::at(3, step)).unwrap());
        let found = noise(7);
        let expected = StepRng::at(3, 7).stream("gradient_noise/a").normal(7, COUNT);
        assert!(found.iter().zip(&expected).all(|(found, expected)| *found == expected * 0.5));
        assert_ne!(found, noise(8));
        let variance = found.iter().map(|x| f64::from(x * x)).sum::<f64>() / COUNT as f64;
        assert!((variance - 0.25).abs() < 0.01, "{variance}");
    }
}
