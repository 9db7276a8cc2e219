//! Order of dimensions: libraries that keep `[in, out]` where the models here keep `[out, in]`, and the other way.

use crate::peers::tensor::Tensor;
use crate::state::{Dtype, HostTensor};

/// Returns the order of the dimensions that turns a tensor of `rank` dimensions from one convention to the other, if
/// they differ there: matrices, and kernels of convolutions, whose places come first where `[in, out]` come last.
pub(super) fn turn(rank: usize) -> Option<&'static [usize]> {
    match rank {
        2 => Some(&[1, 0]),
        3 => Some(&[2, 1, 0]),
        4 => Some(&[3, 2, 0, 1]),
        _ => None,
    }
}

/// Returns the view of `tensor` in the other convention if it is `turned`.
pub(super) fn turned(tensor: &Tensor, is_turned: bool) -> Result<Tensor, String> {
    match turn(tensor.shape().len()).filter(|_| is_turned) {
        Some(axes) => tensor.permuted(axes),
        None => Ok(tensor.clone()),
    }
}

/// Returns the shape of [`turned`].
pub(super) fn turned_shape(shape: &[usize], is_turned: bool) -> Vec<usize> {
    match turn(shape.len()).filter(|_| is_turned) {
        Some(axes) => axes.iter().filter_map(|axis| shape.get(*axis).copied()).collect(),
        None => shape.to_vec(),
    }
}

/// Copies a tensor into host memory in the dtype of the model.
pub(super) fn to_host(tensor: &Tensor, dtype: Dtype) -> Result<HostTensor, String> {
    let bytes = match dtype {
        same if same == tensor.dtype() => tensor.to_bytes()?.into_owned(),
        Dtype::F32 => tensor.to_f32()?.iter().flat_map(|number| number.to_le_bytes()).collect(),
        Dtype::F64 => tensor.to_f64()?.iter().flat_map(|number| number.to_le_bytes()).collect(),
        other => return Err(format!("{:?} cannot be made {other:?}", tensor.dtype())),
    };
    Ok(HostTensor { dtype, shape: tensor.shape().to_vec(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_of_keras_becomes_one_of_pytorch() {
        let shape = [3, 5, 2, 7];
        let numbers: Vec<f32> = (0..210).map(|number| number as f32).collect();
        let kernel = Tensor::from_f32(&shape, &numbers).unwrap();
        let ours = turned(&kernel, true).unwrap();
        assert_eq!((ours.shape(), turned_shape(&shape, true)), (&[7, 2, 3, 5][..], vec![7, 2, 3, 5]));
        // Row 1, column 2 of the kernel, from input 1 to output 6.
        let at = |row: usize, column: usize, input: usize, output: usize| ((row * 5 + column) * 2 + input) * 7 + output;
        let there = ((6 * 2 + 1) * 3 + 1) * 5 + 2;
        assert_eq!(ours.to_f32().unwrap()[there], at(1, 2, 1, 6) as f32);
    }

    #[test]
    fn half_precision_is_widened() {
        let halves: Vec<u8> =
            [half::bf16::from_f32(1.5), half::bf16::from_f32(-2.0)].iter().flat_map(|h| h.to_le_bytes()).collect();
        let tensor = Tensor::contiguous(Dtype::BF16, vec![2], crate::peers::tensor::Storage::owned(halves)).unwrap();
        let host = to_host(&tensor, Dtype::F32).unwrap();
        assert_eq!(host.bytes, [1.5f32, -2.0].iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>());
    }
}
