//! The trait of all differentiable operations, and [`apply`], which computes an operation on the device of its inputs.
//!
//! To add an operation, write a type that implements [`Op`] and a public function that calls [`apply`]. To add a kernel
//! for another device, implement [`DeviceKernel`] in a file beside the operation and return it from
//! [`Op::device_kernel`].

use std::sync::Arc;

use candle_core::{DType, Device, Result, Shape, Storage, Tensor};

use super::graph::{Differentiable, attach};
use super::operand::{Gradient, Operand, Reading, with_operands};
use super::widened::{self, is_half, is_half_by_f32};
use crate::cpu::{self, Half, Real};
use crate::memory::Computing;

/// A differentiable operation on tensors of one float type. Integer operands, such as class numbers, are its fields.
pub(super) trait Op: Send + Sync + 'static {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// Returns the shape of the result. All checks of the input shapes are here.
    ///
    /// # Errors
    /// The inputs do not fit together.
    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape>;

    /// Computes the result's elements on the CPU.
    ///
    /// # Errors
    /// A value, such as a class number, is out of range.
    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>>;

    /// Computes the gradient of each input on the CPU, given the result `y` and its gradient `dy`. The value for an
    /// input that is not tracked is ignored.
    ///
    /// # Errors
    /// The kernel fails.
    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        y: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>>;

    /// [`Op::forward`] of a half type in one pass, with the bits of that of f32 for widened elements, rounded. `None`:
    /// it is computed from copies in f32.
    fn forward_in_half<H: Half>(&self, _inputs: &[Operand<'_, H>]) -> Option<Vec<H>> {
        None
    }

    /// [`Op::backward`] of a half type in one pass, like [`Op::forward_in_half`].
    fn backward_in_half<H: Half>(
        &self,
        _inputs: &[Operand<'_, H>],
        _y: Operand<'_, H>,
        _dy: Operand<'_, H>,
    ) -> Option<Vec<Gradient<H>>> {
        None
    }

    /// Computes the same function with Candle operations that have gradients. Devices and types without a kernel use
    /// it, and the tests compare every kernel with it.
    ///
    /// # Errors
    /// The device fails.
    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor>;

    /// Whether inputs after the first are weights that may be of f32 where the first is of a half type, on a CPU.
    fn takes_wide_weights(&self) -> bool {
        false
    }

    /// Returns the kernel for tensors of this type on this device, if there is one. Not called for f32 and f64 on the
    /// CPU, which also has a kernel for half types without this one.
    fn device_kernel(&self, _device: &Device, _dtype: DType) -> Option<&dyn DeviceKernel> {
        None
    }
}

/// An operation's kernel for a device or type other than those of [`Op::forward`] and [`Op::backward`]. On the CPU it
/// takes the place of the kernel of f32 that half types have otherwise.
pub(super) trait DeviceKernel {
    /// Computes the result of contiguous `inputs`, contiguous and of `shape`.
    ///
    /// # Errors
    /// The device fails.
    fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage>;

    /// Computes the gradients of the tracked inputs (`Tensor::track_op`), given the result `y` and its gradient `dy`.
    /// All are contiguous.
    ///
    /// # Errors
    /// The device fails.
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>>;
}

/// The implementation that computes an operation.
enum Kernel<'a> {
    F32,
    F64,
    /// That of f32, for half types.
    Widened,
    Device(&'a dyn DeviceKernel),
}

impl<'a> Kernel<'a> {
    /// Returns the kernel for these inputs; `None` if the reference must be used.
    fn of<X: AsRef<Tensor>>(operation: &'a impl Op, inputs: &[X]) -> Option<Self> {
        let mut inputs = inputs.iter().map(AsRef::as_ref);
        let first = inputs.next()?;
        let (device, dtype) = (first.device(), first.dtype());
        if !inputs.all(|x| x.dtype() == dtype || (x.dtype() == DType::F32 && mixes(operation, first))) {
            return None;
        }
        #[cfg(test)]
        if crate::cuda::host::is_on() {
            return operation.device_kernel(device, dtype).map(Self::Device);
        }
        match (device, dtype) {
            (Device::Cpu, _) if !cpu::has_kernels() => None,
            (Device::Cpu, DType::F32) => Some(Self::F32),
            (Device::Cpu, DType::F64) => Some(Self::F64),
            _ => operation.device_kernel(device, dtype).map(Self::Device).or_else(|| Self::widened(device, dtype)),
        }
    }

    fn widened(device: &Device, dtype: DType) -> Option<Self> {
        (device.is_cpu() && is_half(dtype)).then_some(Self::Widened)
    }
}

/// Whether `operation` of `x` takes weights of f32.
fn mixes(operation: &impl Op, x: &Tensor) -> bool {
    operation.takes_wide_weights() && is_half_by_f32(x, &[])
}

/// Returns `weight` in a type that `operation` of `x` takes.
pub(super) fn fitting(operation: &impl Op, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    match weight.dtype() {
        DType::F32 if mixes(operation, x) => Ok(weight.clone()),
        _ => super::cast(weight, x.dtype()),
    }
}

/// Applies `operation` to `inputs`, with its kernel for their device and type, otherwise with its reference. The result
/// is on the tape, if one is recording, and in Candle's graph.
///
/// # Errors
/// The inputs do not fit together or the device fails.
pub(super) fn apply(operation: impl Op, inputs: &[&Tensor]) -> Result<Tensor> {
    apply_shared(Arc::new(operation), inputs)
}

/// [`apply`] for an operation that is used more than once.
pub(super) fn apply_shared<O: Op>(operation: Arc<O>, inputs: &[&Tensor]) -> Result<Tensor> {
    let shape = operation.shape(inputs)?;
    let _computing = Computing::of(Op::name(&*operation), false, inputs);
    let Some(kernel) = Kernel::of(&*operation, inputs) else { return reference(&*operation, inputs) };
    let mut contiguous = Vec::with_capacity(inputs.len());
    for x in inputs {
        contiguous.push(x.contiguous()?);
    }
    let result = match kernel {
        Kernel::F32 => forward::<f32>(&*operation, &contiguous)?,
        Kernel::F64 => forward::<f64>(&*operation, &contiguous)?,
        Kernel::Widened => widened::forward(&*operation, &contiguous)?,
        Kernel::Device(kernel) => kernel.forward(&contiguous, &shape)?,
    };
    attach(operation, contiguous, result, shape)
}

/// Computes the reference. Candle multiplies no matrices of bf16 on the CPU, so half types are widened there.
fn reference(operation: &impl Op, inputs: &[&Tensor]) -> Result<Tensor> {
    let Some(half) = inputs.first().map(|x| x.dtype()).filter(|dtype| is_half(*dtype)) else {
        return operation.reference(inputs);
    };
    if !inputs.iter().all(|x| x.device().is_cpu()) {
        return operation.reference(inputs);
    }
    let widened = inputs.iter().map(|x| x.to_dtype(DType::F32)).collect::<Result<Vec<_>>>()?;
    operation.reference(&widened.iter().collect::<Vec<_>>())?.to_dtype(half)
}

/// Whether there is a kernel for these inputs.
#[cfg(test)]
pub(super) fn has_kernel(operation: &impl Op, inputs: &[Tensor]) -> bool {
    Kernel::of(operation, inputs).is_some()
}

fn forward<T: Real>(operation: &impl Op, inputs: &[Tensor]) -> Result<Storage> {
    let elements = with_operands(inputs, &|inputs| operation.forward::<T>(inputs))?;
    Ok(Storage::Cpu(T::to_cpu_storage_owned(elements)))
}

impl<O: Op> Differentiable for O {
    fn name(&self) -> &'static str {
        Op::name(self)
    }

    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let _computing = Computing::of(Op::name(self), true, inputs);
        let dy = dy.contiguous()?;
        match Kernel::of(self, inputs) {
            Some(Kernel::F32) => backward::<f32>(self, inputs, y, &dy),
            Some(Kernel::F64) => backward::<f64>(self, inputs, y, &dy),
            Some(Kernel::Widened) => widened::backward(self, inputs, y, &dy),
            Some(Kernel::Device(kernel)) => kernel.backward(inputs, y, &dy),
            None => candle_core::bail!("{}: its kernel is gone", Op::name(self)),
        }
    }
}

fn backward<T: Real>(operation: &impl Op, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
    let (read_y, read_dy) = (Reading::of(y), Reading::of(dy));
    let (on_y, on_dy) = (read_y.operand()?, read_dy.operand()?);
    let gradients = with_operands(inputs, &|inputs| operation.backward::<T>(inputs, on_y, on_dy))?;
    let mut tensors = Vec::with_capacity(inputs.len());
    for (x, gradient) in inputs.iter().zip(gradients) {
        tensors.push(gradient.into_tensor(x, dy)?);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use candle_core::Var;
    use half::f16;

    use super::*;
    use crate::ops::Tape;
    use crate::ops::testing::{check, numbers, to_vec};

    /// `3 x`, with a kernel for f16 on the CPU in the place of another device's.
    struct Triple;

    static FORWARD: AtomicUsize = AtomicUsize::new(0);
    static BACKWARD: AtomicUsize = AtomicUsize::new(0);

    impl Op for Triple {
        fn name(&self) -> &'static str {
            "triple"
        }

        fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
            Ok(inputs[0].shape().clone())
        }

        fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
            Ok(inputs[0].elements.iter().map(|&x| x * T::of(3.0)).collect())
        }

        fn backward<T: Real>(
            &self,
            inputs: &[Operand<'_, T>],
            _: Operand<'_, T>,
            dy: Operand<'_, T>,
        ) -> Result<Vec<Gradient<T>>> {
            Ok(vec![Gradient::of(inputs[0], || dy.elements.iter().map(|&dy| dy * T::of(3.0)).collect())])
        }

        fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
            inputs[0] * 3.0
        }

        fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
            (device.is_cpu() && dtype == DType::F16).then_some(self)
        }
    }

    impl DeviceKernel for Triple {
        fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage> {
            FORWARD.fetch_add(1, Ordering::Relaxed);
            assert_eq!(inputs[0].shape(), shape);
            let reading = Reading::of(&inputs[0]);
            let tripled = reading.elements::<f16>()?.iter().map(|x| *x * f16::from_f32(3.0)).collect();
            Ok(Storage::Cpu(candle_core::CpuStorage::F16(tripled)))
        }

        fn backward(&self, _: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
            BACKWARD.fetch_add(1, Ordering::Relaxed);
            Ok(vec![Some((dy * 3.0)?)])
        }
    }

    #[test]
    fn the_kernel_of_a_device_computes_what_is_on_it_along_the_tape_and_in_candles_graph() {
        let x = Var::from_tensor(&numbers(&[2, 3], 1).to_dtype(DType::F16).unwrap()).unwrap();
        let (y, tape) = Tape::record(|| apply(Triple, &[&x]).unwrap());
        assert_eq!(to_vec(&y), to_vec(&(x.as_tensor() * 3.0).unwrap()));
        let found = tape.gradients(&y, y.ones_like().unwrap()).unwrap().unwrap();
        assert_eq!(to_vec(&found[&x.id()]), [3.0; 6]);
        // The kernel gets a contiguous copy of a transposed input.
        let store = apply(Triple, &[&x.t().unwrap()]).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(to_vec(store.get(&x).unwrap()), [3.0; 6]);
        let calls = [&FORWARD, &BACKWARD].map(|calls| calls.load(Ordering::Relaxed));
        assert!(calls[0] >= 2 && calls[1] >= 2, "{calls:?}");
        // The check that all operations share works as well.
        check(Triple, &[&numbers(&[2, 3], 1)], 1e-15);
        assert!(FORWARD.load(Ordering::Relaxed) > calls[0]);
    }

    #[test]
    fn types_without_a_kernel_take_the_reference() {
        let x = Var::from_tensor(&numbers(&[2, 3], 1).to_dtype(DType::F32).unwrap()).unwrap();
        let other = numbers(&[2, 3], 2);
        assert!(!has_kernel(&Triple, &[x.as_tensor().clone(), other.clone()]));
        let (y, tape) = Tape::record(|| apply(Triple, &[&x, &other]).unwrap());
        assert_eq!(to_vec(&y), to_vec(&(x.as_tensor() * 3.0).unwrap()));
        assert!(tape.gradients(&y, y.ones_like().unwrap()).unwrap().is_none());
        assert_eq!(to_vec(y.sum_all().unwrap().backward().unwrap().get(&x).unwrap()), [3.0; 6]);
    }

    #[test]
    fn a_half_type_without_a_kernel_takes_that_of_f32_and_is_rounded_once() {
        let half = |seed| numbers(&[2, 3], seed).to_dtype(DType::BF16).unwrap();
        let x = Var::from_tensor(&half(1)).unwrap();
        let (y, tape) = Tape::record(|| apply(Triple, &[&x]).unwrap());
        let triple = |x: &Tensor| (x.to_dtype(DType::F32).unwrap() * 3.0).unwrap().to_dtype(DType::BF16).unwrap();
        assert_eq!((y.dtype(), to_vec(&y)), (DType::BF16, to_vec(&triple(&x))));
        let found = tape.gradients(&y, half(2)).unwrap().expect("the operation is on the tape");
        assert_eq!(to_vec(&found[&x.id()]), to_vec(&triple(&half(2))));
        assert_eq!(to_vec(&apply(Triple, &[&x.t().unwrap()]).unwrap()), to_vec(&triple(&x.t().unwrap())));
    }
}
