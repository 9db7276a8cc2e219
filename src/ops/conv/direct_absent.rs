//! Stands in for `direct` on processors of other kinds: no convolution has its form.

use std::mem::MaybeUninit;

use candle_core::DType;

use super::cpu::Needed;
use super::geometry::Geometry;
use crate::ops::bf16::Stored;

impl Geometry {
    pub fn is_direct(&self, _: DType) -> bool {
        false
    }
}

pub(super) fn convolve<T: Stored>(_: &Geometry, _: &[T], _: &[T], _: Option<&[T::Sum]>) -> Vec<T> {
    unreachable!("no convolution is direct")
}

/// There is never one.
pub(super) enum Gradients {}

impl Gradients {
    pub fn new<T: Stored>(_: &Geometry, _: &[T], _: &[T], _: Needed) -> Option<Self> {
        None
    }

    pub fn sums(&self) -> usize {
        match *self {}
    }

    pub fn of_image<T: Stored>(&self, _: &[T], _: &[T], _: &mut [T::Sum], _: &mut [MaybeUninit<T>]) {
        match *self {}
    }

    pub fn weights<T: Stored>(&self, _: &[T::Sum]) -> Vec<T::Sum> {
        match *self {}
    }
}
