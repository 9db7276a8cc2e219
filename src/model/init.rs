//! Initial weights, computed from the seed and the parameter's name.

use std::cell::{Cell, RefCell};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};

use crate::memory;
use crate::rng::Stream;

thread_local! {
    static ROOM: Cell<Option<usize>> = const { Cell::new(None) };
    /// The weights that were asked for, where they are only counted on this thread.
    static COUNTED: RefCell<Option<Vec<(String, Shape)>>> = const { RefCell::new(None) };
}

/// More weights than this are not counted, or made: a configuration of a few bytes could ask for any number.
const MOST_TENSORS: usize = 1 << 17;

/// The result of `build` with empty weights, and the names and shapes that the weights would have. It takes no
/// memory for weights.
pub(super) fn counted<T>(build: impl FnOnce() -> T) -> (T, Vec<(String, Shape)>) {
    let (outer, room) = (COUNTED.replace(Some(Vec::new())), ROOM.get());
    let built = build();
    ROOM.set(room);
    (built, COUNTED.replace(outer).unwrap_or_default())
}

/// Counts a weight, where they are counted.
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

/// What `build` makes, where models may have so many `numbers` for weights, on this thread, and take no more memory.
///
/// On a resume that follows from what the checkpoint has: its configuration may be one that somebody has changed, and
/// could ask for any amount.
pub(crate) fn with_room_for<T>(numbers: usize, build: impl FnOnce() -> T) -> T {
    let outer = ROOM.replace(Some(numbers));
    let built = build();
    ROOM.set(outer);
    built
}

/// How many numbers a shape has; `None` where they are beyond all numbers.
fn numbers(shape: &Shape) -> Option<usize> {
    shape.dims().iter().try_fold(1usize, |count, &dim| count.checked_mul(dim))
}

/// Makes sure that a checkpoint has as many weights as are asked for.
fn within_room(name: &str, shape: &Shape) -> Result<()> {
    if let Some(room) = ROOM.get() {
        let Some(left) = numbers(shape).and_then(|count| room.checked_sub(count)) else {
            candle_core::bail!("`{name}` of shape {shape:?} is far more than the checkpoint holds of the model");
        };
        ROOM.set(Some(left));
    }
    Ok(())
}

/// Makes sure that there is room for a weight before any memory is taken for it. It is the last resort of a model that
/// is made without [`outline`](super::ModelConfig::outline), or where the system does not say what memory it has.
fn make_room(name: &str, shape: &Shape) -> Result<()> {
    let has_room = |count| memory::expect_failure(|| Vec::<f32>::new().try_reserve_exact(count).is_ok());
    let fits = numbers(shape).is_some_and(has_room);
    if !fits {
        candle_core::bail!("`{name}` of shape {shape:?} does not fit in memory; make the layer smaller");
    }
    Ok(())
}

/// Uniform in `±1/sqrt(fan_in)`: what PyTorch's `Linear` and `Conv2d` start from (Kaiming uniform with `a = √5`).
///
/// # Errors
/// When the device fails.
pub fn linear_default(name: &str, shape: impl Into<Shape>, fan_in: usize, seed: u64, device: &Device) -> Result<Var> {
    let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
    drawn(name, shape.into(), device, |count| {
        let uniform = Stream::new(seed, &format!("init/{name}")).uniform(0, count);
        uniform.into_iter().map(|u| (2.0 * u - 1.0) * bound).collect()
    })
}

/// Normal with variance `2 / fan`, for layers that a ReLU follows: He et al., "Delving deep into rectifiers", ICCV
/// 2015, equation 14. torchvision's ResNet takes for `fan` that of the outputs, `out * kernel * kernel`.
///
/// # Errors
/// When the device fails.
pub fn kaiming_normal(name: &str, shape: impl Into<Shape>, fan: usize, seed: u64, device: &Device) -> Result<Var> {
    normal(name, shape, (2.0 / fan.max(1) as f32).sqrt(), seed, device)
}

/// Normal with mean 0 and this standard deviation.
///
/// # Errors
/// When the device fails.
pub fn normal(name: &str, shape: impl Into<Shape>, deviation: f32, seed: u64, device: &Device) -> Result<Var> {
    drawn(name, shape.into(), device, |count| {
        let normal = Stream::new(seed, &format!("init/{name}")).normal(0, count);
        normal.into_iter().map(|x| x * deviation).collect()
    })
}

/// What `draw` makes, where there is room for it.
fn drawn(name: &str, shape: Shape, device: &Device, draw: impl FnOnce(usize) -> Vec<f32>) -> Result<Var> {
    within_room(name, &shape)?;
    if let Some(empty) = count(name, &shape) {
        return empty;
    }
    make_room(name, &shape)?;
    Var::from_tensor(&Tensor::from_vec(draw(shape.elem_count()), shape, device)?)
}

/// The same number everywhere.
pub(super) fn constant(name: &str, shape: impl Into<Shape>, value: f32, device: &Device) -> Result<Var> {
    drawn(name, shape.into(), device, |count| vec![value; count])
}
