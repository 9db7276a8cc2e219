//! Rows of a table by number: embeddings of tokens, and of positions.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use num_traits::Float;

use super::cpu::{self, Reading, with_float};
use super::tape::{apply2, apply3};

/// The row of `table` `[rows, width]` for each of `ids` `[…]` (whole numbers of any type), as `torch.nn.Embedding`:
/// `[…, width]`.
///
/// The gradient of a row is the sum over the places where it was read, in their order: the same bits for any number of
/// threads.
///
/// # Errors
/// An id is not below the number of rows, ids are floats, or the device fails.
pub fn embedding(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let width = table.dim(1)?;
    if !cpu::is_fused(table) {
        let shape = [ids.dims(), &[width]].concat();
        return table.index_select(&tokens(ids)?.flatten_all()?, 0)?.reshape(shape);
    }
    apply2(&table.contiguous()?, &tokens(ids)?.contiguous()?, Embedding)
}

/// [`embedding`] of the tokens `ids` `[batch, context]` plus that of their positions: row `t` of `positions` `[at least
/// context, width]` is added at place `t` of each sequence.
///
/// # Errors
/// As [`embedding`], or when there are fewer positions than tokens in a sequence.
pub fn embedding_with_positions(table: &Tensor, positions: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let ((_, context), (count, width)) = (ids.dims2()?, positions.dims2()?);
    if context > count || table.dim(1)? != width {
        let (table, positions) = (table.dims(), positions.dims());
        bail!("embedding: {context} tokens, table {table:?} and positions {positions:?} do not fit together");
    }
    if !cpu::is_fused(table) {
        return embedding(table, ids)?.broadcast_add(&positions.narrow(0, 0, context)?);
    }
    apply3(&table.contiguous()?, &positions.contiguous()?, &tokens(ids)?.contiguous()?, Embedding)
}

fn tokens(ids: &Tensor) -> Result<Tensor> {
    cpu::whole_numbers("embedding: tokens", ids)
}

struct Embedding;

fn gather<T: WithDType>(table: &[T], width: usize, ids: &[u32]) -> Result<Vec<T>> {
    let rows = table.len() / width.max(1);
    if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
        bail!("embedding: token {id} is not below the number of tokens, {rows}");
    }
    let mut result = Vec::with_capacity(ids.len() * width);
    ids.iter().for_each(|&id| result.extend_from_slice(&table[id as usize * width..][..width]));
    Ok(result)
}

/// For each of `rows` rows the sum of the gradients at the places where it was read.
fn scatter<T: Float + Send + Sync>(gradient: &[T], width: usize, ids: &[u32], rows: usize) -> Vec<T> {
    // Places sorted by the row that they read; those of row i stand from starts[i] to starts[i + 1].
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
                add(result, &gradient[place * width..]);
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

fn table_gradient(table: &Tensor, ids: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (rows, width) = table.dims2()?;
    with_float!("embedding", gradient.dtype(), T => {
        let (read_ids, read_g) = (Reading::of(ids), Reading::of(gradient));
        cpu::tensor(scatter::<T>(read_g.elements()?, width, read_ids.elements()?, rows), table)
    })
}

/// The sum over the batch for each place, and zeros for positions that were not reached.
fn positions_gradient(positions: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (_, context, width) = gradient.dims3()?;
    with_float!("embedding", gradient.dtype(), T => {
        let read = Reading::of(gradient);
        let gradient = read.elements::<T>()?;
        let mut result = vec![0.0; positions.elem_count()];
        cpu::for_rows(&mut result[..context * width], width, |first, sums| {
            for sequence in gradient.chunks_exact(context * width) {
                add(sums, &sequence[first * width..]);
            }
        });
        cpu::tensor(result, positions)
    })
}

impl CustomOp2 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, tl: &Layout, ids: &CpuStorage, il: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = tl.shape().dims2()?;
        with_float!("embedding", cpu::dtype(table), T => {
            let y = gather::<T>(cpu::elements(table, tl)?, width, cpu::elements(ids, il)?)?;
            Ok((cpu::storage(y), Shape::from([il.dims(), &[width]].concat())))
        })
    }

    fn bwd(&self, table: &Tensor, ids: &Tensor, _: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(table_gradient(table, ids, &g.contiguous()?)?), None))
    }
}

impl CustomOp3 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        tl: &Layout,
        positions: &CpuStorage,
        pl: &Layout,
        ids: &CpuStorage,
        il: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((batch, context), (_, width)) = (il.shape().dims2()?, tl.shape().dims2()?);
        with_float!("embedding", cpu::dtype(table), T => {
            let mut y = gather::<T>(cpu::elements(table, tl)?, width, cpu::elements(ids, il)?)?;
            let positions = &cpu::elements(positions, pl)?[..context * width];
            y.chunks_exact_mut((context * width).max(1)).for_each(|sequence| add(sequence, positions));
            Ok((cpu::storage(y), Shape::from((batch, context, width))))
        })
    }

    fn bwd(
        &self,
        table: &Tensor,
        positions: &Tensor,
        ids: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let of_table = table_gradient(table, ids, &gradient)?;
        Ok((Some(of_table), Some(positions_gradient(positions, &gradient)?), None))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::testing::{Reference, assert_gradients, assert_same_numbers, gradients, numbers};

    fn ids<const N: usize>(ids: &[[u32; 3]; N]) -> Tensor {
        Tensor::new(ids, &Device::Cpu).unwrap()
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (table, positions, ids) = (numbers(&[5, 4], 1), numbers(&[6, 4], 2), ids(&[[1, 4, 1], [0, 1, 1]]));
        assert_gradients(&[&table], |x| embedding(&x[0], &ids));
        assert_gradients(&[&table, &positions], |x| embedding_with_positions(&x[0], &x[1], &ids));
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("gpt_reference.safetensors");
        let ids = reference.get("embedding.ids");
        reference.assert("embedding", 1e-12, |x| embedding(&x[0], &ids));
    }

    /// A table large enough to be worked on in several tasks, against a sum in the order of the places.
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
