//! Initial weights, computed from the seed and the parameter's name.

use std::cell::{Cell, RefCell};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};

use crate::memory;
use crate::rng::Stream;

thread_local! {
    static PARAMETER_BUDGET: Cell<Option<usize>> = const { Cell::new(None) };
    /// The requested weights, while they are only counted on this thread.
    static COUNTED: RefCell<Option<Vec<(String, Shape)>>> = const { RefCell::new(None) };
}

/// Maximal number of tensors counted or created: a configuration of a few bytes could ask for any number.
const MOST_TENSORS: usize = 1 << 17;

/// Returns the result of `build` with empty weights, and the names and shapes that the weights would have. Takes no
/// memory for weights.
pub(super) fn counted<T>(build: impl FnOnce() -> T) -> (T, Vec<(String, Shape)>) {
    let (outer, room) = (COUNTED.replace(Some(Vec::new())), PARAMETER_BUDGET.get());
    let built = build();
    PARAMETER_BUDGET.set(room);
    (built, COUNTED.replace(outer).unwrap_or_default())
}

/// Counts a weight, if counting is on.
fn count(name: &str, shape: &Shape) -> Option<Result<Var>> {
    COUNTED.with_borrow_mut(|counted| {
        let counted = counted.as_mut()?;
        if counted.len() == MOST_TENSORS {
            return Some(Err(candle_core::Error::Msg(format!(
                "a model of more than {MOST_TENSORS} tensors cannot be trained; give it fewer layers"
            ))));
        }
        counted.push((name.to_owned(), shape.clone()));
        Some(Var::zeros(0, DType::F32, &Device::Cpu))
    })
}

/// Runs `build`; models built inside may allocate at most `numbers` weights on this thread.
///
/// A resume sets this limit from the size of the checkpoint, whose configuration somebody may have changed, and which
/// could ask for any amount.
pub(crate) fn with_parameter_budget<T>(numbers: usize, build: impl FnOnce() -> T) -> T {
    let outer = PARAMETER_BUDGET.replace(Some(numbers));
    let built = build();
    PARAMETER_BUDGET.set(outer);
    built
}

/// Returns the number of elements of a shape; `None` on overflow.
fn numbers(shape: &Shape) -> Option<usize> {
    shape.dims().iter().try_fold(1usize, |count, &dim| count.checked_mul(dim))
}

/// Checks that the weight is within the limit of [`with_parameter_budget`].
fn check_budget(name: &str, shape: &Shape) -> Result<()> {
    if let Some(room) = PARAMETER_BUDGET.get() {
        let Some(left) = numbers(shape).and_then(|count| room.checked_sub(count)) else {
            candle_core::bail!("`{name}` of shape {shape:?} is far more than the checkpoint holds of the model");
        };
        PARAMETER_BUDGET.set(Some(left));
    }
    Ok(())
}

/// Checks that a weight fits in memory before it is allocated. This is the last check for models built without
/// [`outline`](super::ModelConfig::outline), and on systems that do not report their memory.
fn check_memory(name: &str, shape: &Shape) -> Result<()> {
    let has_room = |count| memory::expect_failure(|| Vec::<f32>::new().try_reserve_exact(count).is_ok());
    let fits = numbers(shape).is_some_and(has_room);
    if !fits {
        candle_core::bail!("`{name}` of shape {shape:?} does not fit in memory; make the layer smaller");
    }
    Ok(())
}

/// Uniform in `±1/sqrt(fan_in)`, the initialization of PyTorch's `Linear` and `Conv2d` (Kaiming uniform with `a = √5`).
///
/// # Errors
/// The device fails.
pub fn linear_default(name: &str, shape: impl Into<Shape>, fan_in: usize, seed: u64, device: &Device) -> Result<Var> {
    let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
    drawn(name, shape.into(), device, |count| {
        let uniform = Stream::new(seed, &format!("init/{name}")).uniform(0, count);
        uniform.into_iter().map(|u| (2.0 * u - 1.0) * bound).collect()
    })
}

/// Normal with variance `2 / fan`, for layers followed by a ReLU: He et al., "Delving deep into rectifiers", ICCV 2015,
/// equation 14. torchvision's ResNet uses the fan-out, `out * kernel * kernel`.
///
/// # Errors
/// The device fails.
pub fn kaiming_normal(name: &str, shape: impl Into<Shape>, fan: usize, seed: u64, device: &Device) -> Result<Var> {
    normal(name, shape, (2.0 / fan.max(1) as f32).sqrt(), seed, device)
}

/// Normal with mean 0 and this standard deviation.
///
/// # Errors
/// The device fails.
pub fn normal(name: &str, shape: impl Into<Shape>, deviation: f32, seed: u64, device: &Device) -> Result<Var> {
    drawn(name, shape.into(), device, |count| {
        let normal = Stream::new(seed, &format!("init/{name}")).normal(0, count);
        normal.into_iter().map(|x| x * deviation).collect()
    })
}

/// Creates a variable with the values of `draw`, if it fits in memory.
fn drawn(name: &str, shape: Shape, device: &Device, draw: impl FnOnce(usize) -> Vec<f32>) -> Result<Var> {
    check_budget(name, &shape)?;
    if let Some(empty) = count(name, &shape) {
        return empty;
    }
    check_memory(name, &shape)?;
    Var::from_tensor(&Tensor::from_vec(draw(shape.elem_count()), shape, device)?)
}

/// A constant value.
pub(super) fn constant(name: &str, shape: impl Into<Shape>, value: f32, device: &Device) -> Result<Var> {
    drawn(name, shape.into(), device, |count| vec![value; count])
}
