//! Numbers of which some are still on a device.

use candle_core::{DType, Result, Tensor, bail};

/// Numbers in order; those on a device are read all at once.
pub(super) struct Numbers {
    values: Vec<f64>,
    /// Tensors, with the places of their elements among the values.
    waiting: Vec<(Vec<usize>, Tensor)>,
}

impl Numbers {
    pub fn with_capacity(count: usize) -> Self {
        Self { values: Vec::with_capacity(count), waiting: Vec::new() }
    }

    pub fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// Adds the number of a tensor with one element, which is read later.
    ///
    /// # Errors
    /// When it has more.
    pub fn push_later(&mut self, tensor: Tensor) -> Result<()> {
        if tensor.elem_count() != 1 {
            bail!("a tensor of one number was expected, not of {:?}", tensor.shape());
        }
        let position = self.reserve();
        self.fill_later(vec![position], tensor);
        Ok(())
    }

    /// Adds a number that [`Numbers::fill_later`] fills, and returns its position.
    pub fn reserve(&mut self) -> usize {
        self.values.push(f64::NAN);
        self.values.len() - 1
    }

    /// The numbers at these positions are the elements of `tensor`, which are read later.
    pub fn fill_later(&mut self, positions: Vec<usize>, tensor: Tensor) {
        self.waiting.push((positions, tensor));
    }

    /// Returns all numbers, after one read of each device.
    ///
    /// # Errors
    /// When a device fails.
    pub fn read(mut self) -> Result<Vec<f64>> {
        while let Some((_, first)) = self.waiting.first() {
            let device = first.device().clone();
            let (here, elsewhere): (Vec<_>, Vec<_>) =
                self.waiting.into_iter().partition(|(_, tensor)| tensor.device().same_device(&device));
            self.waiting = elsewhere;
            let (places, tensors): (Vec<_>, Vec<_>) = here.into_iter().unzip();
            for (place, value) in places.into_iter().flatten().zip(read_together(&tensors)?) {
                self.values[place] = value;
            }
        }
        Ok(self.values)
    }
}

/// The elements of tensors on one device, in order: read in f32, or in f64 where one of them has it.
fn read_together(tensors: &[Tensor]) -> Result<Vec<f64>> {
    #[cfg(test)]
    READS.set(READS.get() + 1);
    let dtype = if tensors.iter().any(|tensor| tensor.dtype() == DType::F64) { DType::F64 } else { DType::F32 };
    let flat = tensors.iter().map(|tensor| tensor.to_dtype(dtype)?.flatten_all());
    let flat = flat.collect::<Result<Vec<_>>>()?;
    let all = if let [only] = &flat[..] { only.clone() } else { Tensor::cat(&flat, 0)? };
    Ok(match dtype {
        DType::F64 => all.to_vec1::<f64>()?,
        _ => all.to_vec1::<f32>()?.into_iter().map(f64::from).collect(),
    })
}

#[cfg(test)]
thread_local! {
    /// How often a device was read on this thread.
    pub(super) static READS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
