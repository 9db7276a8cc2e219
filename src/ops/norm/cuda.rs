//! Norms and softmax on NVIDIA GPUs, a row to a block.

use candle_core::{Result, Shape, Storage, Tensor};

use super::{Norm, Softmax, rows_and_width};
use crate::cuda::{Launch, PART_ROWS, Place, total_of_parts, wide};
use crate::ops::op::DeviceKernel;

impl Norm {
    fn kernel(self, pass: &str) -> String {
        format!("{}_{pass}", if self.centered { "layer_norm" } else { "rms_norm" })
    }
}

impl DeviceKernel for Norm {
    fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage> {
        let (x, place) = (&inputs[0], Place::of_tensor(&inputs[0])?);
        let (rows, width) = rows_and_width("norm", x.dims())?;
        let y = place.output(x.dtype(), shape)?;
        let mut launch = Launch::new(&place, &self.kernel("forward"), x.dtype()).read(x)?.read(&inputs[1])?;
        if self.centered {
            launch = launch.read_if(inputs.get(2))?;
        }
        launch.output(&y)?.count(rows).count(width).double(self.eps).rows(rows)?;
        Ok(y.into_storage())
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, place) = (&inputs[0], Place::of_tensor(&inputs[0])?);
        let (rows, width) = rows_and_width("norm", x.dims())?;
        let (dtype, sums) = (x.dtype(), wide(x.dtype()));
        let (dx, means, inverses) =
            (place.output(dtype, x.shape())?, place.output(sums, rows)?, place.output(sums, rows)?);
        let launch = Launch::new(&place, &self.kernel("backward"), dtype).read(x)?.read(&inputs[1])?.read(dy)?;
        let launch = launch.output(&dx)?.output(&means)?.output(&inverses)?;
        launch.count(rows).count(width).double(self.eps).rows(rows)?;
        let parts = rows.div_ceil(PART_ROWS);
        let of_weight = place.output(sums, (parts, width))?;
        let of_bias = inputs.get(2).map(|_| place.output(sums, (parts, width))).transpose()?;
        let launch = Launch::new(&place, "norm_parts", dtype).read(x)?.read(dy)?.output(&means)?.output(&inverses)?;
        let launch = launch.output(&of_weight)?.output_if(of_bias.as_ref())?;
        launch.count(rows).count(width).elements(parts * width)?;
        let mut gradients = vec![Some(dx.into_tensor())];
        for parts_of_sum in [Some(of_weight), of_bias].into_iter().flatten() {
            gradients.push(Some(total_of_parts(&place, &parts_of_sum, dtype, parts, width)?));
        }
        Ok(gradients)
    }
}

impl DeviceKernel for Softmax {
    fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage> {
        let (x, place) = (&inputs[0], Place::of_tensor(&inputs[0])?);
        let (rows, width) = rows_and_width("softmax", x.dims())?;
        let y = place.output(x.dtype(), shape)?;
        let launch = Launch::new(&place, "softmax_forward", x.dtype());
        launch.read(x)?.output(&y)?.count(rows).count(width).rows(rows)?;
        Ok(y.into_storage())
    }

    fn backward(&self, _: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let place = Place::of_tensor(y)?;
        let (rows, width) = rows_and_width("softmax", y.dims())?;
        let dx = place.output(y.dtype(), y.shape())?;
        let launch = Launch::new(&place, "softmax_backward", y.dtype());
        launch.read(y)?.read(dy)?.output(&dx)?.count(rows).count(width).rows(rows)?;
        Ok(vec![Some(dx.into_tensor())])
    }
}
