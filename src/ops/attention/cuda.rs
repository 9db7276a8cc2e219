//! Causal self-attention on NVIDIA GPUs: Candle's products, and kernels between them. The probabilities are computed
//! again in the backward pass, as on the CPU, but all of a batch at once: `[batch * heads, context, context]`.

use candle_core::{Result, Shape, Storage, Tensor};

use super::{Attention, Heads};
use crate::cuda::{Launch, Output, Place};
use crate::ops::op::DeviceKernel;

/// Heads in a row of the model: `count` of them, in tensors whose rows are `stride` long, from `offset` on; each is
/// shared by `group` heads of queries.
#[derive(Clone, Copy)]
struct Part {
    count: usize,
    stride: usize,
    offset: usize,
    group: usize,
}

impl Attention {
    /// Queries, keys and values: the tensor that holds each, and where in it. Or of the gradients that are like them.
    fn parts(&self, packed: bool) -> [(usize, Part); 3] {
        let (Heads { queries, keys }, group) = (self.heads, self.heads.group());
        let part = |count: usize, offset: usize, group: usize| {
            let stride = if packed { queries + 2 * keys } else { count } * self.size;
            Part { count, stride, offset: if packed { offset * self.size } else { 0 }, group }
        };
        let tensor = |number: usize| if packed { 0 } else { number };
        [
            (tensor(0), part(queries, 0, 1)),
            (tensor(1), part(keys, queries, group)),
            (tensor(2), part(keys, queries + keys, group)),
        ]
    }

    fn launch<'a>(&self, launch: Launch<'a>, batch: usize, context: usize, part: Part) -> Result<()> {
        let heads = part.count * part.group;
        let launch = launch.count(batch).count(context).count(heads).count(self.size).count(part.stride);
        launch.count(part.offset).count(part.group).elements(batch * context * heads * self.size)
    }

    /// `[batch * heads, context, size]`, each head of keys and values for every head of queries that uses it.
    fn split(&self, place: &Place, rows: &Tensor, part: Part) -> Result<Tensor> {
        let (batch, context, _) = rows.dims3()?;
        let split = place.output(rows.dtype(), (batch * part.count * part.group, context, self.size))?;
        let launch = Launch::new(place, "split_heads", rows.dtype()).read(rows)?.output(&split)?;
        self.launch(launch, batch, context, part)?;
        Ok(split.into_tensor())
    }

    /// The other way, adding up over a group: into a part of `rows`.
    fn merge(&self, place: &Place, split: &Tensor, rows: &Output, batch: usize, part: Part) -> Result<()> {
        let (_, context, _) = split.dims3()?;
        let launch = Launch::new(place, "merge_heads", split.dtype()).read(split)?.output(rows)?;
        self.launch(launch, batch, context, part)
    }

    fn split_all(&self, place: &Place, inputs: &[Tensor]) -> Result<[Tensor; 3]> {
        let [q, k, v] = self.parts(inputs.len() == 1);
        let split = |(tensor, part): (usize, Part)| self.split(place, &inputs[tensor], part);
        Ok([split(q)?, split(k)?, split(v)?])
    }

    fn add_mask<'a>(&self, launch: Launch<'a>) -> Result<Launch<'a>> {
        match self.dropout {
            Some(mask) => mask.add_to(launch),
            None => Ok(launch.word(0).word(0).count(0).word(0).double(1.0)),
        }
    }

    /// The first key that each query sees, on the device of `like`; `None` if each sequence is one document.
    fn first_keys(&self, like: &Tensor) -> Result<Option<Tensor>> {
        self.documents.as_ref().map(|documents| documents.on(like.device())).transpose()
    }

    /// The probabilities, and those that dropout leaves.
    fn all_probabilities(&self, place: &Place, q: &Tensor, k: &Tensor) -> Result<(Tensor, Tensor)> {
        let (heads, context, _) = q.dims3()?;
        let scores = place.product(q, &k.t()?)?;
        let dropped = self.dropout.map(|_| place.output(q.dtype(), (heads, context, context))).transpose()?;
        let launch = Launch::new(place, "causal_softmax_forward", q.dtype()).output(&scores)?.output(&scores)?;
        let first = self.first_keys(q)?;
        let launch = launch.output_if(dropped.as_ref())?.read_if(first.as_ref())?.count(self.heads.queries);
        self.add_mask(launch.count(heads).count(context).double(self.scale::<f64>()))?.rows(heads * context)?;
        let probabilities = scores.into_tensor();
        let dropped = dropped.map_or_else(|| probabilities.clone(), Output::into_tensor);
        Ok((probabilities, dropped))
    }
}

impl DeviceKernel for Attention {
    fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage> {
        let place = Place::of_tensor(&inputs[0])?;
        let (batch, ..) = inputs[0].dims3()?;
        let [q, k, v] = self.split_all(&place, inputs)?;
        let (_, dropped) = self.all_probabilities(&place, &q, &k)?;
        let values = place.product(&dropped, &v)?.into_tensor();
        let y = place.output(inputs[0].dtype(), shape)?;
        let [(_, queries), ..] = self.parts(false);
        self.merge(&place, &values, &y, batch, queries)?;
        Ok(y.into_storage())
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (place, packed) = (Place::of_tensor(dy)?, inputs.len() == 1);
        let (batch, ..) = dy.dims3()?;
        let [q, k, v] = self.split_all(&place, inputs)?;
        let [(_, queries), ..] = self.parts(false);
        let dy = self.split(&place, dy, queries)?;
        let (probabilities, dropped) = self.all_probabilities(&place, &q, &k)?;
        let dv = place.product(&dropped.t()?, &dy)?.into_tensor();
        drop(dropped);
        let (heads, context, _) = q.dims3()?;
        let dscores = place.product(&dy, &v.t()?)?;
        let launch = Launch::new(&place, "causal_softmax_backward", q.dtype()).read(&probabilities)?;
        let first = self.first_keys(&q)?;
        let launch = launch.output(&dscores)?.output(&dscores)?.read_if(first.as_ref())?.count(self.heads.queries);
        self.add_mask(launch.count(heads).count(context).double(self.scale::<f64>()))?.rows(heads * context)?;
        let dscores = dscores.into_tensor();
        let (dq, dk) = (place.product(&dscores, &k)?.into_tensor(), place.product(&dscores.t()?, &q)?.into_tensor());
        let gradients: Vec<Output> =
            inputs.iter().map(|x| place.output(x.dtype(), x.shape())).collect::<Result<_>>()?;
        for ((tensor, part), gradient) in self.parts(packed).into_iter().zip([dq, dk, dv]) {
            self.merge(&place, &gradient, &gradients[tensor], batch, part)?;
        }
        Ok(gradients.into_iter().map(|gradient| Some(gradient.into_tensor())).collect())
    }
}
