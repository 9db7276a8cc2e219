//! Tensors `[rows, channels, plane]`, whose channels are computed by different tasks.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::cpu::{LARGE_CHUNK, map_tasks};

/// Sizes: `rows` of `channels` of `plane` elements.
#[derive(Clone, Copy)]
pub(super) struct Dims {
    pub rows: usize,
    pub channels: usize,
    pub plane: usize,
}

impl Dims {
    /// Returns the sizes of an input with two or more dimensions.
    pub fn of(dims: &[usize]) -> Self {
        Self { rows: dims[0], channels: dims[1], plane: dims[2..].iter().product() }
    }

    /// Returns the number of values per channel.
    pub fn count(&self) -> usize {
        self.rows * self.plane
    }

    fn len(&self) -> usize {
        self.count() * self.channels
    }

    /// Returns the elements of a channel of `x` in a row.
    #[inline(always)]
    pub fn plane<'a, T>(&self, x: &'a [T], row: usize, channel: usize) -> &'a [T] {
        &x[(row * self.channels + channel) * self.plane..][..self.plane]
    }

    /// [`Dims::plane`] of three tensors.
    #[inline(always)]
    pub fn planes<'a, T>(&self, [x, y, z]: [&'a [T]; 3], row: usize, channel: usize) -> [&'a [T]; 3] {
        [self.plane(x, row, channel), self.plane(y, row, channel), self.plane(z, row, channel)]
    }

    /// Calls `work` with the number of each channel and its elements of both targets, and returns the results in order.
    /// A target has the elements of a whole tensor or none.
    ///
    /// All passes over a channel are in one task, so that those after the first find its elements in the cache.
    pub fn for_channels<X: Send, R: Send>(
        &self,
        targets: [&mut [MaybeUninit<X>]; 2],
        work: impl Fn(usize, [Channel<'_, X>; 2]) -> R + Sync,
    ) -> Vec<R> {
        /// Neighbouring channels of small planes are in one line of the cache, which one thread should write.
        const ELEMENTS_OF_A_ROW: usize = 64;
        let together = (ELEMENTS_OF_A_ROW / self.plane.max(1)).max(1);
        let targets = targets.map(|target| Target::new(target, self));
        let results = map_tasks(self.channels.div_ceil(together), self.len() > LARGE_CHUNK, |task| {
            let channels = task * together..((task + 1) * together).min(self.channels);
            let of_channel = |channel: usize| {
                // SAFETY: this task has these channels alone, and it has one of them at a time.
                let elements = targets.each_ref().map(|target| unsafe { target.channel(channel) });
                work(channel, elements)
            };
            channels.map(of_channel).collect::<Vec<R>>()
        });
        results.into_iter().flatten().collect()
    }
}

/// The memory of a tensor.
struct Target<'a, X> {
    /// `None` for no tensor.
    start: Option<*mut MaybeUninit<X>>,
    dims: Dims,
    memory: PhantomData<&'a mut [MaybeUninit<X>]>,
}

// SAFETY: tasks use different elements, which may be sent to their threads.
unsafe impl<X: Send> Sync for Target<'_, X> {}

impl<'a, X> Target<'a, X> {
    fn new(memory: &'a mut [MaybeUninit<X>], dims: &Dims) -> Self {
        assert!(memory.is_empty() || memory.len() == dims.len(), "the size of a result");
        let start = (!memory.is_empty()).then_some(memory.as_mut_ptr());
        Self { start, dims: *dims, memory: PhantomData }
    }

    /// # Safety
    /// While the result exists, there is no other of this channel.
    unsafe fn channel(&self, channel: usize) -> Channel<'_, X> {
        assert!(channel < self.dims.channels, "the number of a channel");
        Channel { start: self.start, channel, dims: self.dims, memory: PhantomData }
    }
}

/// The elements of one channel, which are written.
pub(super) struct Channel<'a, X> {
    start: Option<*mut MaybeUninit<X>>,
    channel: usize,
    dims: Dims,
    memory: PhantomData<&'a mut [MaybeUninit<X>]>,
}

impl<X: Copy> Channel<'_, X> {
    /// Whether there are elements to write.
    pub fn is_needed(&self) -> bool {
        self.start.is_some()
    }

    /// Writes `f` of the elements at one place of three planes to the same place of the plane of a row.
    #[inline(always)]
    pub fn write(&mut self, row: usize, [x, y, z]: [&[X]; 3], f: impl Fn(X, X, X) -> X) {
        let Dims { rows, channels, plane } = self.dims;
        let Some(start) = self.start else { return };
        assert!(row < rows && x.len() == plane && y.len() == plane && z.len() == plane, "the sizes of planes");
        let start = start.wrapping_add((row * channels + self.channel) * plane);
        // SAFETY: row and channel are below their numbers, so these elements are within the memory, which is borrowed
        // mutably; only this `Channel` has those of its channel, and it is borrowed mutably too.
        let target = unsafe { std::slice::from_raw_parts_mut(start, plane) };
        for (((target, &x), &y), &z) in target.iter_mut().zip(x).zip(y).zip(z) {
            target.write(f(x, y, z));
        }
    }
}
