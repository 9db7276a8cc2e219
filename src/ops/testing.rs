//! Helpers of the operations' tests: random numbers, finite differences, and PyTorch's results.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Result, Storage, Tensor, Var};

use super::op::{Op, apply_shared, has_kernel};
use super::tape::Tape;
use super::widened;
use crate::cuda::host;
use crate::device::{self, DeviceError};
use crate::rng::Stream;

/// Checks an operation on small `inputs` in f64: gradients against finite differences, and [`check_kernels`].
#[track_caller]
pub(super) fn check(operation: impl Op, inputs: &[&Tensor], tolerance: f64) {
    let operation = Arc::new(operation);
    assert_gradients(inputs, |x| apply_shared(Arc::clone(&operation), &refs(x)));
    check_on(|_| Arc::clone(&operation), inputs, tolerance);
}

/// Checks an operation on `inputs` in f64: the kernel of each device and type agrees with the reference in values and
/// gradients, within `tolerance` in f64, and the tape has the gradients of Candle's graph.
#[track_caller]
pub(super) fn check_kernels(operation: impl Op, inputs: &[&Tensor], tolerance: f64) {
    let operation = Arc::new(operation);
    check_on(|_| Arc::clone(&operation), inputs, tolerance);
}

/// [`check_kernels`] for an operation with tensors in its fields, which `on` makes for a device.
#[track_caller]
pub(super) fn check_on<O: Op>(on: impl Fn(&Device) -> Arc<O>, inputs: &[&Tensor], tolerance: f64) {
    let on_cpu = on(&Device::Cpu);
    let kernel = |x: &[Tensor]| apply_shared(Arc::clone(&on_cpu), &refs(x));
    assert_same_function(inputs, tolerance, kernel, |x| on_cpu.reference(&refs(x)));
    assert_tape_and_graph_agree(inputs, kernel);
    for device in devices() {
        let operation = on(&device);
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            check_rounded(&operation, &on_cpu, inputs, dtype, &device, tolerance);
        }
    }
    for dtype in [DType::F16, DType::BF16] {
        assert_one_pass_has_the_bits_of_copies(&*on_cpu, inputs, dtype);
    }
    // A GPU's kernels on the processor. Every operation has one, but that of a test.
    let has_one = |x: &&Tensor| on_cpu.device_kernel(&Device::Cpu, x.dtype()).is_some();
    assert!(host::with_kernels(1, || inputs.iter().all(has_one)) || on_cpu.name() == "triple", "{}", on_cpu.name());
    for dtype in [DType::F64, DType::F32, DType::BF16] {
        host::with_kernels(1, || check_rounded(&on_cpu, &on_cpu, inputs, dtype, &Device::Cpu, tolerance));
    }
}

/// An operation of a half type has the bits of that of f32 on copies, rounded.
#[track_caller]
fn assert_one_pass_has_the_bits_of_copies(operation: &impl Op, inputs: &[&Tensor], dtype: DType) {
    let rounded = |x: &Tensor| x.to_dtype(dtype).unwrap();
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(&rounded(x)).unwrap()).collect();
    let inputs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().contiguous().unwrap()).collect();
    let shape = operation.shape(&refs(&inputs)).unwrap();
    let tensor = |storage: Storage| match storage {
        Storage::Cpu(elements) => widened::tensor(elements, &shape).unwrap(),
        _ => panic!("a result on the CPU was expected"),
    };
    let y = tensor(widened::forward_by_copies(operation, &inputs).unwrap());
    assert_eq!(to_bits(&tensor(widened::forward(operation, &inputs).unwrap())), to_bits(&y));
    let dy = rounded(&numbers(y.dims(), 98));
    let by_copies = widened::backward_by_copies(operation, &inputs, &y, &dy).unwrap();
    let found = widened::backward(operation, &inputs, &y, &dy).unwrap();
    let bits = |gradients: &[Option<Tensor>]| gradients.iter().map(|x| x.as_ref().map(to_bits)).collect::<Vec<_>>();
    assert_eq!(bits(&found), bits(&by_copies));
}

/// The bits of numbers, whose NaN are one.
fn to_bits(x: &Tensor) -> Vec<u64> {
    to_vec(x).into_iter().map(f64::to_bits).collect()
}

/// The kernel for inputs of this type, where there is one, has the values and gradients of the reference in f64, within
/// `tolerance` if it computes in f64 too.
#[track_caller]
fn check_rounded<O: Op>(
    operation: &Arc<O>,
    on_cpu: &Arc<O>,
    inputs: &[&Tensor],
    dtype: DType,
    device: &Device,
    tolerance: f64,
) {
    let tolerance = match dtype {
        DType::F64 => tolerance.max(1e-7),
        DType::F32 => 1e-4,
        DType::F16 => 2e-2,
        _ => 1e-1,
    };
    let moved = |x: &&Tensor| x.to_dtype(dtype)?.to_device(device);
    let rounded = inputs.iter().map(moved).collect::<Result<Vec<Tensor>>>().unwrap();
    if !has_kernel(&**operation, &rounded) {
        return;
    }
    let exact: Vec<Tensor> = rounded.iter().map(to_f64).collect();
    let reference = |x: &[Tensor]| on_cpu.reference(&refs(x));
    let kernel = |x: &[Tensor]| apply_shared(Arc::clone(operation), &refs(x));
    let y = kernel(&rounded).unwrap();
    assert_close(&y, &reference(&exact).unwrap(), tolerance);
    let found = gradients(&refs(&rounded), kernel);
    for (found, expected) in found.iter().zip(&gradients(&refs(&exact), reference)) {
        assert_close(found, expected, tolerance);
    }
}

/// [`check`] for an operation that is composed of Candle's on a GPU.
#[track_caller]
pub(super) fn check_without_gpu(operation: impl Op, inputs: &[&Tensor]) {
    let operation = Arc::new(operation);
    assert_gradients(inputs, |x| apply_shared(Arc::clone(&operation), &refs(x)));
    check_shared_on_cpu(&operation, inputs);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        check_rounded(&operation, &operation, inputs, dtype, &Device::Cpu, 1e-13);
    }
    for dtype in [DType::F16, DType::BF16] {
        assert_one_pass_has_the_bits_of_copies(&*operation, inputs, dtype);
    }
}

/// The kernel of f64 has the values and gradients of the reference, and the tape has those of Candle's graph.
#[track_caller]
pub(super) fn check_on_cpu(operation: impl Op, inputs: &[&Tensor]) {
    check_shared_on_cpu(&Arc::new(operation), inputs);
}

#[track_caller]
fn check_shared_on_cpu<O: Op>(operation: &Arc<O>, inputs: &[&Tensor]) {
    let kernel = |x: &[Tensor]| apply_shared(Arc::clone(operation), &refs(x));
    assert_same_function(inputs, 1e-12, kernel, |x| operation.reference(&refs(x)));
    assert_tape_and_graph_agree(inputs, kernel);
}

/// The gradient of a bias is that of the result where ReLU got a NaN, whose place nobody would find otherwise.
#[track_caller]
pub(super) fn check_nan_before_relu(shape: &[usize], f: impl Fn(&[Tensor]) -> Result<Tensor> + Copy) {
    for dtype in [DType::F32, DType::BF16] {
        let ones = |shape: &[usize]| Tensor::ones(shape, dtype, &Device::Cpu).unwrap();
        let nan = (ones(shape) * f64::NAN).unwrap();
        let found = gradients(&[&nan, &ones(shape), &ones(&[1])], f);
        assert_eq!(to_vec(&found[2]), to_vec(&weights(&ones(shape))));
    }
}

/// Checks an operation whose first input is of a half type and whose weights are of f32: gradients have the types of
/// their inputs and the values of f64, within what rounding the weights changes.
#[track_caller]
pub(super) fn check_wide_weights(inputs: &[&Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor> + Copy) {
    for half in [DType::BF16, DType::F16] {
        let dtype = |at: usize| if at == 0 { half } else { DType::F32 };
        let mixed: Vec<Tensor> = inputs.iter().enumerate().map(|(at, x)| x.to_dtype(dtype(at)).unwrap()).collect();
        let exact: Vec<Tensor> = mixed.iter().map(to_f64).collect();
        let y = f(&mixed).unwrap();
        assert_eq!(y.dtype(), half);
        assert_close(&y, &f(&exact).unwrap(), 2e-2);
        let found = gradients(&refs(&mixed), f);
        for (at, (found, expected)) in found.iter().zip(&gradients(&refs(&exact), f)).enumerate() {
            assert_eq!(found.dtype(), dtype(at));
            assert_close(found, expected, 2e-2);
        }
        assert_tape_and_graph_agree(&refs(&mixed), f);
    }
}

/// Returns the devices of this machine that this build can use. If it is made for GPUs and there is none, stderr says so.
fn devices() -> Vec<Device> {
    static GPU: OnceLock<Option<Device>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| match device::open("cuda") {
        Ok(opened) => Some(opened.device),
        Err(DeviceError::NotBuilt { .. }) => None,
        Err(error) => {
            // Unlike `eprintln!`, this is seen when the test passes.
            let _ = writeln!(io::stderr(), "NOT RUN on a GPU: operations: {error}");
            None
        }
    });
    [Device::Cpu].into_iter().chain(gpu.clone()).collect()
}

fn refs(tensors: &[Tensor]) -> Vec<&Tensor> {
    tensors.iter().collect()
}

fn to_f64(x: &Tensor) -> Tensor {
    x.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
}

/// Asserts that two tensors have one shape, and differ by at most `tolerance` relative to the largest number, or to 1.
#[track_caller]
fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    let largest = to_vec(expected).into_iter().fold(1.0, |largest, x| x.abs().max(largest));
    assert_same_numbers(found, expected, tolerance * largest);
}

/// Asserts that the tape and Candle's graph give the same gradients.
#[track_caller]
fn assert_tape_and_graph_agree(inputs: &[&Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let (y, tape) = Tape::record(|| f(&tensors).unwrap());
    let on_tape = tape.gradients(&y, weights(&y)).unwrap().expect("the operation is on the tape");
    for (var, in_graph) in vars.iter().zip(gradients(inputs, f)) {
        assert_same_numbers(&on_tape[&var.id()], &in_graph, 0.0);
    }
}

/// Returns normal random numbers of this shape, in f64.
pub(super) fn numbers(shape: &[usize], seed: u64) -> Tensor {
    let normal = Stream::new(seed, "test").normal(0, shape.iter().product());
    Tensor::from_vec(normal, shape, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
}

pub(super) fn to_vec(x: &Tensor) -> Vec<f64> {
    to_f64(x).flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts that two tensors have one shape, and numbers that differ by at most `tolerance`.
#[track_caller]
pub(super) fn assert_same_numbers(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims());
    for (i, (found, expected)) in to_vec(found).into_iter().zip(to_vec(expected)).enumerate() {
        assert!((found - expected).abs() <= tolerance, "at {i}: {found} instead of {expected}");
    }
}

/// Returns the gradients of `inputs` from the weighted sum of `f`'s result, with a different weight for each element.
pub(super) fn gradients(inputs: &[&Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Tensor> {
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let store = weighted(&f(&tensors).unwrap()).backward().unwrap();
    vars.iter().map(|var| store.get(var).expect("a gradient for every input").clone()).collect()
}

fn weighted(y: &Tensor) -> Tensor {
    (y * weights(y)).unwrap().sum_all().unwrap()
}

fn weights(y: &Tensor) -> Tensor {
    numbers(y.dims(), 99).to_dtype(y.dtype()).unwrap().to_device(y.device()).unwrap()
}

/// Central differences in f64 with a step of 1e-6 are accurate to about 1e-9 for values of size 1; 1e-7 leaves a
/// margin.
#[track_caller]
pub(super) fn assert_gradients(inputs: &[&Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let found = gradients(inputs, &f);
    for (number, (input, gradient)) in inputs.iter().zip(&found).enumerate() {
        assert_eq!(gradient.dims(), input.dims());
        let (values, gradient) = (to_vec(input), to_vec(gradient));
        for i in 0..values.len() {
            let at = |delta: f64| {
                let mut values = values.clone();
                values[i] += delta;
                let mut inputs: Vec<Tensor> = inputs.iter().map(|&x| x.clone()).collect();
                inputs[number] = Tensor::from_vec(values, input.dims(), &Device::Cpu).unwrap();
                weighted(&f(&inputs).unwrap()).to_scalar::<f64>().unwrap()
            };
            let expected = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!(
                (gradient[i] - expected).abs() < 1e-7,
                "input {number} at {i}: {} instead of {expected}",
                gradient[i]
            );
        }
    }
}

/// Asserts that two functions agree in value and gradients, within `tolerance` in f64.
#[track_caller]
pub(super) fn assert_same_function(
    inputs: &[&Tensor],
    tolerance: f64,
    one: impl Fn(&[Tensor]) -> Result<Tensor>,
    other: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let tensors: Vec<Tensor> = inputs.iter().map(|&x| x.clone()).collect();
    assert_same_numbers(&one(&tensors).unwrap(), &other(&tensors).unwrap(), tolerance);
    for (one, other) in gradients(inputs, one).iter().zip(gradients(inputs, other)) {
        assert_same_numbers(one, &other, tolerance);
    }
}

/// PyTorch's results, written by a script in the same folder.
pub(super) struct Reference(HashMap<String, Tensor>);

impl Reference {
    /// Reads the file of that name.
    pub fn open(file: &str) -> Self {
        let path = format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    /// Asserts that `f` of the inputs `case.x0`, `case.x1`, … has PyTorch's result `case.y` and gradients `case.g0`, …
    /// of its weighted sum: within `tolerance` in f64, and within 1e-4 in f32, for sums of up to a hundred numbers of
    /// size one.
    #[track_caller]
    pub fn assert(&self, case: &str, tolerance: f64, f: impl Fn(&[Tensor]) -> Result<Tensor>) {
        let inputs: Vec<Tensor> = (0..).map_while(|i| self.0.get(&format!("{case}.x{i}")).cloned()).collect();
        let weights = &self.0[&format!("{case}.w")];
        for (dtype, tolerance) in [(DType::F64, tolerance), (DType::F32, 1e-4)] {
            let vars: Vec<Var> =
                inputs.iter().map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap()).collect();
            let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let y = f(&tensors).unwrap();
            assert_same_numbers(&y, &self.0[&format!("{case}.y")], tolerance);
            let store = (y * weights.to_dtype(dtype).unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
            for (i, var) in vars.iter().enumerate() {
                let expected = &self.0[&format!("{case}.g{i}")];
                assert_same_numbers(store.get(var).unwrap(), expected, tolerance);
            }
        }
    }

    /// Returns the tensor `name`.
    pub fn get(&self, name: &str) -> Tensor {
        self.0[name].clone()
    }
}
