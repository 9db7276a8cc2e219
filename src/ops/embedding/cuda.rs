//! Embeddings on NVIDIA GPUs.

use candle_core::{DType, Result, Shape, Storage, Tensor};

use super::Embedding;
use crate::cuda::{Launch, Place};
use crate::ops::op::DeviceKernel;

impl Embedding {
    /// Tokens in a sequence, where there are positions.
    fn context(&self, inputs: &[Tensor]) -> Result<usize> {
        if inputs.len() > 1 { Ok(self.ids.dims2()?.1) } else { Ok(1) }
    }

    /// The gradient of the table: for each row the sum over the places that read it, in their order.
    fn of_table(&self, place: &Place, table: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let ((rows, width), count) = (table.dims2()?, self.ids.elem_count());
        let order = place.output(DType::U32, count)?;
        let launch = Launch::untyped(place, "embedding_order").read(&self.ids)?.output(&order)?;
        launch.count(count).elements(count)?;
        let dtable = Tensor::zeros((rows, width), dy.dtype(), dy.device())?;
        let launch = Launch::new(place, "embedding_backward", dy.dtype()).read(dy)?.read(&self.ids)?;
        let launch = launch.output(&order)?.update(&dtable)?;
        launch.count(count).count(rows).count(width).rows(count)?;
        Ok(dtable)
    }

    fn of_positions(&self, place: &Place, positions: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let ((rows, width), (batch, context)) = (positions.dims2()?, self.ids.dims2()?);
        let dpositions = place.output(dy.dtype(), (rows, width))?;
        let launch = Launch::new(place, "positions_backward", dy.dtype()).read(dy)?.output(&dpositions)?;
        launch.count(batch).count(context).count(rows).count(width).elements(rows * width)?;
        Ok(dpositions.into_tensor())
    }
}

impl DeviceKernel for Embedding {
    fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage> {
        let (table, place) = (&inputs[0], Place::of_tensor(&inputs[0])?);
        let (rows, width) = table.dims2()?;
        let y = place.output(table.dtype(), shape)?;
        let launch = Launch::new(&place, "embedding_forward", table.dtype()).read(table)?.read_if(inputs.get(1))?;
        let launch = launch.read(&self.ids)?.output(&y)?.count(self.ids.elem_count());
        launch.count(self.context(inputs)?).count(rows).count(width).elements(shape.elem_count())?;
        Ok(y.into_storage())
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let place = Place::of_tensor(dy)?;
        let dtable = inputs[0].track_op().then(|| self.of_table(&place, &inputs[0], dy)).transpose()?;
        let mut gradients = vec![dtable];
        if let Some(positions) = inputs.get(1) {
            let dpositions = positions.track_op().then(|| self.of_positions(&place, positions, dy)).transpose()?;
            gradients.push(dpositions);
        }
        Ok(gradients)
    }
}
