//! Lookup of table rows by number: embeddings of tokens and positions.

mod cuda;

use candle_core::{DType, Device, Result, Shape, Tensor, WithDType, bail};
use num_traits::Float;

use super::op::{DeviceKernel, Op, apply};
use super::operand::{Gradient, Operand, Reading, whole_numbers};
use crate::cpu::{self, Real};
use crate::cuda::Place;

/// Returns the row of `table` `[rows, width]` for each of `ids` `[…]` (integers of any type), like
/// `torch.nn.Embedding`: `[…, width]`.
///
/// The gradient of a row is the sum over the places where it was read, in their order: the same bits for any number of
/// threads.
///
/// # Errors
/// An id is not below the number of rows, ids are floats, or the device fails.
pub fn embedding(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    apply(Embedding::of(ids)?, &[table])
}

/// Returns [`embedding`] of the tokens `ids` `[batch, context]` plus position embeddings: row `t` of `positions` `[at
/// least context, width]` is added at position `t` of each sequence.
///
/// # Errors
/// As [`embedding`], or there are fewer positions than tokens in a sequence.
pub fn embedding_with_positions(table: &Tensor, positions: &Tensor, ids: &Tensor) -> Result<Tensor> {
    apply(Embedding::of(ids)?, &[table, positions])
}

/// Inputs: a table, and optionally a table of positions.
struct Embedding {
    /// u32, contiguous.
    ids: Tensor,
}

impl Embedding {
    fn of(ids: &Tensor) -> Result<Self> {
        Ok(Self { ids: whole_numbers("embedding: tokens", ids)?.contiguous()? })
    }
}

fn gather<T: WithDType>(table: &[T], width: usize, ids: &[u32]) -> Result<Vec<T>> {
    let rows = table.len() / width.max(1);
    if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
        bail!("embedding: token {id} is not below the number of tokens, {rows}");
    }
    let mut result = Vec::with_capacity(ids.len() * width);
    ids.iter().for_each(|&id| result.extend_from_slice(&table[id as usize * width..][..width]));
    Ok(result)
}

/// Sums, for each of `rows` rows, the gradients of the places where it was read.
fn scatter<T: Float + Send + Sync>(dy: &[T], width: usize, ids: &[u32], rows: usize) -> Vec<T> {
    // Places sorted by the row that they read; those of row i are starts[i]..starts[i + 1].
    let mut starts = vec![0; rows + 1];
    ids.iter().for_each(|&id| starts[id as usize + 1] += 1);
    (0..rows).for_each(|row| starts[row + 1] += starts[row]);
    let (mut places, mut next) = (vec![0; ids.len()], starts.clone());
    for (place, &id) in ids.iter().enumerate() {
        places[next[id as usize]] = place;
        next[id as usize] += 1;
    }
    let mut result = vec![T::zero(); rows * width];
    cpu::for_rows(&mut result, width, |first, results| {
        for (row, result) in (first..).zip(results.chunks_exact_mut(width)) {
            for &place in &places[starts[row]..starts[row + 1]] {
                add(result, &dy[place * width..]);
            }
        }
    });
    result
}

fn add<T: Float>(sum: &mut [T], part: &[T]) {
    for (sum, &part) in sum.iter_mut().zip(part) {
        *sum = *sum + part;
    }
}

/// Sums over the batch for each position; zeros for positions from `context`.
fn sum_over_batch<T: Real>(dy: &[T], width: usize, context: usize, positions: usize) -> Vec<T> {
    let mut result = vec![T::zero(); positions * width];
    cpu::for_rows(&mut result[..context * width], width, |first, sums| {
        for sequence in dy.chunks_exact(context * width) {
            add(sums, &sequence[first * width..]);
        }
    });
    result
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        let (_, width) = inputs[0].dims2()?;
        if let Some(positions) = inputs.get(1) {
            let ((_, context), (count, position_width)) = (self.ids.dims2()?, positions.dims2()?);
            if context > count || position_width != width {
                let (table, positions) = (inputs[0].dims(), positions.dims());
                bail!("embedding: {context} tokens, table {table:?} and positions {positions:?} do not fit together");
            }
        }
        Ok(Shape::from([self.ids.dims(), &[width]].concat()))
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (table, width) = (inputs[0], inputs[0].dims()[1]);
        let mut y = gather(table.elements, width, Reading::of(&self.ids).elements()?)?;
        if let Some(positions) = inputs.get(1) {
            let (_, context) = self.ids.dims2()?;
            let positions = &positions.elements[..context * width];
            y.chunks_exact_mut((context * width).max(1)).for_each(|sequence| add(sequence, positions));
        }
        Ok(y)
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (rows, width) = (inputs[0].dims()[0], inputs[0].dims()[1]);
        let dtable = || Ok(scatter(dy.elements, width, Reading::of(&self.ids).elements()?, rows));
        let mut gradients = vec![Gradient::try_of(inputs[0], dtable)?];
        if let Some(&positions) = inputs.get(1) {
            let (_, context) = self.ids.dims2()?;
            let dpositions = || sum_over_batch(dy.elements, width, context, positions.dims()[0]);
            gradients.push(Gradient::of(positions, dpositions));
        }
        Ok(gradients)
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (_, width) = inputs[0].dims2()?;
        let y = inputs[0].index_select(&self.ids.flatten_all()?, 0)?.reshape([self.ids.dims(), &[width]].concat())?;
        match inputs.get(1) {
            Some(positions) => y.broadcast_add(&positions.narrow(0, 0, self.ids.dims2()?.1)?),
            None => Ok(y),
        }
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::testing::{Reference, assert_gradients, assert_same_numbers, check_on, gradients, numbers};

    fn ids<const N: usize>(ids: &[[u32; 3]; N]) -> Tensor {
        Tensor::new(ids, &Device::Cpu).unwrap()
    }

    #[test]
    fn tables_and_positions_have_their_gradients() {
        let (table, positions, ids) = (numbers(&[5, 4], 1), numbers(&[6, 4], 2), ids(&[[1, 4, 1], [0, 1, 1]]));
        let on = |device: &Device| Arc::new(Embedding::of(&ids.to_device(device).unwrap()).unwrap());
        assert_gradients(&[&table], |x| embedding(&x[0], &ids));
        check_on(on, &[&table], 1e-14);
        assert_gradients(&[&table, &positions], |x| embedding_with_positions(&x[0], &x[1], &ids));
        check_on(on, &[&table, &positions], 1e-14);
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("gpt_reference.safetensors");
        let ids = reference.get("embedding.ids");
        reference.assert("embedding", 1e-12, |x| embedding(&x[0], &ids));
    }

    /// A table large enough for several tasks, compared with a sum in the order of the places.
    #[test]
    fn each_row_sums_its_gradients_in_order() {
        let table = numbers(&[400, 100], 1).to_dtype(DType::F32).unwrap();
        let ids = Tensor::from_iter((0..900u32).map(|i| i * i % 400), &Device::Cpu).unwrap();
        let found = &gradients(&[&table], |x| embedding(&x[0], &ids))[0];
        let weights = numbers(&[900, 100], 99).to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        let mut expected = vec![vec![0f32; 100]; 400];
        for (id, weights) in ids.to_vec1::<u32>().unwrap().into_iter().zip(weights) {
            expected[id as usize].iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
        }
        assert_same_numbers(found, &Tensor::new(expected, &Device::Cpu).unwrap(), 0.0);
    }

    #[test]
    fn a_token_that_there_is_not_is_refused() {
        let message = embedding(&numbers(&[5, 4], 1), &ids(&[[1, 5, 0]])).unwrap_err().to_string();
        assert!(message.contains("token 5 is not below the number of tokens, 5"), "{message}");
        let floats = ids(&[[1, 2, 0]]).to_dtype(DType::F64).unwrap();
        let message = embedding(&numbers(&[5, 4], 1), &floats).unwrap_err().to_string();
        assert!(message.contains("embedding: tokens must be whole numbers, such as u32, and are f64"), "{message}");
        let short = embedding_with_positions(&numbers(&[5, 4], 1), &numbers(&[2, 4], 1), &ids(&[[1, 2, 0]]));
        assert!(short.unwrap_err().to_string().contains("3 tokens"));
    }
}
