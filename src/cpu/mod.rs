//! Computing on slices of numbers on the CPU: tensors as slices, fixed chunks, sums in a fixed order, and functions
//! without branches.
//!
//! The bits do not depend on the number of threads, because the chunks are always the same, nor on the width of the
//! processor's registers, because sums use a fixed number of lanes. Lanes and chunk sizes are part of the bits that a
//! run promises: they must not change.

mod chunks;
mod half;
mod lanes;
mod prefetch;
pub(crate) mod product;
mod real;
mod scratch;
mod slices;
mod switch;
pub(crate) mod workers;

pub(crate) use chunks::{
    LARGE_CHUNK, column_sums, column_sums_by, filled, for_chunks, for_rows, map, map_rows, map_tasks, total,
    vectorized, zip, zip3,
};
pub(crate) use half::{Half, Loads, round, round_to, widen, widen_to};
pub(crate) use lanes::{TwoSums, max, sum, sum2};
pub(crate) use prefetch::prefetch_after;
pub(crate) use real::Real;
pub(crate) use scratch::with_scratch;
pub(crate) use slices::{
    Element, is_sliceable, read, sum_of_squares, update_and_sum, update_in_place, update_rows_and_sum,
};
pub(crate) use switch::{VARIABLE as REFERENCE_VARIABLE, has_kernels};
