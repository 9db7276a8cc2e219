//! Sums that several operations take, in a fixed order.

use candle_core::{DType, Result, Tensor};

use super::launch::Launch;
use super::place::{Output, Place};

/// Rows whose sum is one part, as `PART_ROWS` in `kernels/sums.h`.
pub(crate) const PART_ROWS: usize = 64;

/// Columns that a block adds up, as `COLUMNS` in `kernels/sums.cu`.
const COLUMNS: usize = 32;

/// The type that numbers of type `dtype` are added up in.
pub(crate) fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The sum of each column of `x`, a contiguous tensor of `rows` rows: `[width]`.
pub(crate) fn column_sums(place: &Place, x: &Tensor, rows: usize, width: usize) -> Result<Tensor> {
    let parts = place.output(wide(x.dtype()), (rows.div_ceil(PART_ROWS), width))?;
    let launch = Launch::new(place, "row_parts", x.dtype()).read(x)?.output(&parts)?.count(rows).count(width);
    launch.elements(rows.div_ceil(PART_ROWS) * width)?;
    total_of_parts(place, &parts, x.dtype(), rows.div_ceil(PART_ROWS), width)
}

/// The sum of `count` parts for each of `width` columns, of type `dtype`: `[width]`.
pub(crate) fn total_of_parts(
    place: &Place,
    parts: &Output,
    dtype: DType,
    count: usize,
    width: usize,
) -> Result<Tensor> {
    let sums = place.output(dtype, width)?;
    let launch = Launch::new(place, "total_of_parts", dtype).output(parts)?.output(&sums)?.count(count).count(width);
    launch.rows(width.div_ceil(COLUMNS))?;
    Ok(sums.into_tensor())
}

/// The sum of `count` parts, which are f64, over `divisor`, as a scalar of type `dtype`.
pub(crate) fn mean_of_parts(
    place: &Place,
    parts: &Output,
    dtype: DType,
    count: usize,
    divisor: usize,
) -> Result<Output> {
    let mean = place.output(dtype, ())?;
    let launch = Launch::new(place, "mean_of_parts", dtype).output(parts)?.output(&mean)?;
    launch.count(count).double(divisor as f64).rows(1)?;
    Ok(mean)
}
