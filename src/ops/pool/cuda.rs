//! Pooling on NVIDIA GPUs.

use std::ops::Range;

use candle_core::{Device, Result, Shape, Storage, Tensor};

use super::{Kind, Windows};
use crate::cuda::{Launch, Place};
use crate::ops::op::DeviceKernel;

/// Starts and ends, `[count, 2]`.
fn upload(ranges: &[Range<usize>], device: &Device) -> Result<Tensor> {
    let ends: Vec<u32> = ranges.iter().flat_map(|range| [range.start as u32, range.end as u32]).collect();
    Tensor::from_vec(ends, (ranges.len(), 2), device)
}

/// For each place along a side, the range of the windows that it is in. Windows begin and end in order.
fn windows_at(windows: &[Range<usize>], side: usize) -> Vec<Range<usize>> {
    let first = |at: usize| windows.partition_point(|window| window.end <= at);
    let end = |at: usize| windows.partition_point(|window| window.start <= at);
    (0..side).map(|at| first(at)..end(at).max(first(at))).collect()
}

impl Windows {
    fn name(&self, pass: &str) -> String {
        format!("{}_{pass}", if matches!(self.kind, Kind::Max) { "max_pool" } else { "avg_pool" })
    }

    /// The divisor of each sum, as kernels have it: 0 stands for the numbers in the window. None for a maximum.
    fn divisor(&self) -> Option<usize> {
        match self.kind {
            Kind::Max => None,
            Kind::Mean { size } => Some(size.unwrap_or(0)),
        }
    }
}

impl DeviceKernel for Windows {
    fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage> {
        let (x, place) = (&inputs[0], Place::of_tensor(&inputs[0])?);
        let (batch, channels, height, width) = x.dims4()?;
        let (rows, columns) = (upload(&self.rows, x.device())?, upload(&self.columns, x.device())?);
        let y = place.output(x.dtype(), shape)?;
        let launch = Launch::new(&place, &self.name("forward"), x.dtype()).read(x)?.output(&y)?;
        let launch = launch.count(batch * channels).count(height).count(width).read(&rows)?.read(&columns)?;
        let launch = launch.count(self.rows.len()).count(self.columns.len());
        launch.counts(self.divisor()).elements(shape.elem_count())?;
        Ok(y.into_storage())
    }

    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, place) = (&inputs[0], Place::of_tensor(&inputs[0])?);
        let (batch, channels, height, width) = x.dims4()?;
        let device = x.device();
        let (rows, columns) = (upload(&self.rows, device)?, upload(&self.columns, device)?);
        let row_windows = upload(&windows_at(&self.rows, height), device)?;
        let column_windows = upload(&windows_at(&self.columns, width), device)?;
        let dx = place.output(x.dtype(), x.shape())?;
        let mut launch = Launch::new(&place, &self.name("backward"), x.dtype());
        if let Kind::Max = self.kind {
            launch = launch.read(x)?.read(y)?;
        }
        let launch = launch.read(dy)?.output(&dx)?.count(batch * channels).count(height).count(width);
        let launch = launch.read(&rows)?.read(&columns)?.count(self.rows.len()).count(self.columns.len());
        let launch = launch.read(&row_windows)?.read(&column_windows)?.counts(self.divisor());
        launch.elements(x.elem_count())?;
        Ok(vec![Some(dx.into_tensor())])
    }
}
