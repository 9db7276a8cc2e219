//! Initial weights, computed from the seed and the parameter's name.

use std::cell::Cell;

use candle_core::{Device, Result, Shape, Tensor, Var};

use crate::rng::Stream;

thread_local!(static ROOM: Cell<Option<usize>> = const { Cell::new(None) });

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

/// Makes sure that there is room for a weight before any memory is taken for it. Whatever draws weights asks here.
pub(super) fn make_room(name: &str, shape: &Shape) -> Result<()> {
    let count = shape.dims().iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    if let Some(room) = ROOM.get() {
        let Some(left) = count.and_then(|count| room.checked_sub(count)) else {
            candle_core::bail!("`{name}` of shape {shape:?} is far more than the checkpoint holds of the model");
        };
        ROOM.set(Some(left));
    }
    let fits = count.is_some_and(|count| Vec::<f32>::new().try_reserve_exact(count).is_ok());
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

/// Normal with variance `2 / fan`, for layers that a ReLU follows: He et al., "Delving deep into rectifiers", ICCV 2015,
/// equation 14. torchvision's ResNet takes for `fan` that of the outputs, `out * kernel * kernel`.
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
    make_room(name, &shape)?;
    Var::from_tensor(&Tensor::from_vec(draw(shape.elem_count()), shape, device)?)
}

/// The same number everywhere.
pub(super) fn constant(name: &str, shape: impl Into<Shape>, value: f32, device: &Device) -> Result<Var> {
    drawn(name, shape.into(), device, |count| vec![value; count])
}
