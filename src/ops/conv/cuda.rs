//! Convolutions on NVIDIA GPUs: images are unrolled, and Candle's products do the rest.

use candle_core::{Result, Shape, Storage, Tensor};

use super::Conv2d;
use super::geometry::Geometry;
use crate::cuda::{Launch, Output, Place, column_sums};
use crate::ops::op::DeviceKernel;
use crate::ops::pointwise::through_relu;

/// Elements of unrolled images, or of the weight gradients of single images, that are there at once: 256 MiB in f32.
/// They decide how many images are in a part, and so the order of sums, which no device changes.
/// In tests a few, so that there are several parts.
const MOST_ELEMENTS: usize = if cfg!(test) { 1 << 10 } else { 1 << 26 };

impl DeviceKernel for Conv2d {
    fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage> {
        let pass = Pass::new(*self, inputs)?;
        if pass.geometry.batch == 0 {
            return Ok(pass.place.output(inputs[0].dtype(), shape)?.into_storage());
        }
        let mut parts = Vec::new();
        for (start, images) in pass.parts() {
            let unrolled = pass.unroll(start, images)?;
            parts.push(pass.place.product(&pass.kernels(images)?, &unrolled)?);
        }
        let y = Output::joined(parts)?;
        let (dtype, count) = (inputs[0].dtype(), shape.elem_count());
        match (inputs.get(2), self.relu) {
            (Some(bias), relu) => {
                let name = if relu { "bias_relu" } else { "bias" };
                let launch = Launch::new(&pass.place, name, dtype).output(&y)?.read(bias)?.count(count);
                let (channels, plane) = (pass.geometry.output[0], pass.geometry.positions());
                launch.small(channels)?.small(plane)?.elements(count)?;
            }
            (None, true) => {
                let launch = Launch::new(&pass.place, "relu_forward", dtype).output(&y)?.output(&y)?;
                launch.count(count).elements(count)?;
            }
            (None, false) => {}
        }
        Ok(y.into_storage())
    }

    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let pass = Pass::new(*self, inputs)?;
        let dy = if self.relu { through_relu(y, dy)? } else { dy.detach() };
        let (mut dx, mut dweight) = (Vec::new(), None::<Tensor>);
        for (start, images) in pass.parts() {
            let dy = pass.matrices_of_groups(&dy.narrow(0, start, images)?, pass.geometry.output[0])?;
            if inputs[1].track_op() {
                let part = pass.weight_gradient(start, images, &dy)?;
                dweight = Some(match dweight {
                    Some(sum) => (sum + part)?,
                    None => part,
                });
            }
            if inputs[0].track_op() {
                dx.push(pass.input_gradient(images, &dy)?);
            }
        }
        let dx = if dx.is_empty() { None } else { Some(Tensor::cat(&dx, 0)?) };
        let mut gradients = vec![dx, dweight];
        if let Some(bias) = inputs.get(2) {
            gradients.push(bias.track_op().then(|| pass.bias_gradient(&dy)).transpose()?);
        }
        Ok(gradients)
    }
}

/// A pass over a batch, in parts of some images each.
struct Pass<'a> {
    place: Place,
    geometry: Geometry,
    x: Tensor,
    weight: &'a Tensor,
}

impl<'a> Pass<'a> {
    fn new(options: Conv2d, inputs: &'a [Tensor]) -> Result<Self> {
        let geometry = options.geometry(inputs.iter().map(Tensor::dims))?;
        Ok(Self { place: Place::of_tensor(&inputs[0])?, geometry, x: inputs[0].detach(), weight: &inputs[1] })
    }

    /// The first image and the number of images of each part.
    fn parts(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Geometry { options, batch, .. } = self.geometry;
        let unrolled = options.groups * self.geometry.weights() * self.geometry.positions();
        let most = (MOST_ELEMENTS / unrolled.max(self.weight.elem_count())).clamp(1, batch.max(1));
        (0..batch).step_by(most).map(move |start| (start, most.min(batch - start)))
    }

    /// The weights as a matrix for each image and group: `[images * groups, out / groups, weights]`.
    fn kernels(&self, images: usize) -> Result<Tensor> {
        let (groups, out, weights) = (self.geometry.options.groups, self.geometry.output[0], self.geometry.weights());
        let matrices = self.weight.detach().reshape((1, groups, out / groups, weights))?;
        match groups {
            // The same matrix for every image, without a copy.
            1 => matrices.squeeze(0)?.broadcast_as((images, out, weights)),
            _ => matrices.repeat((images, 1, 1, 1))?.reshape((images * groups, out / groups, weights)),
        }
    }

    /// `[images, channels, …]` as `[images * groups, channels / groups, positions]`.
    fn matrices_of_groups(&self, y: &Tensor, channels: usize) -> Result<Tensor> {
        let groups = self.geometry.options.groups;
        y.reshape((y.dim(0)? * groups, channels / groups, self.geometry.positions()))
    }

    /// Some images, unrolled: `[images * groups, weights, positions]`.
    fn unroll(&self, start: usize, images: usize) -> Result<Tensor> {
        let (groups, weights) = (self.geometry.options.groups, self.geometry.weights());
        let shape = (images * groups, weights, self.geometry.positions());
        let (x, unrolled) = (self.x.narrow(0, start, images)?, self.place.output(self.x.dtype(), shape)?);
        let launch = Launch::new(&self.place, "im2col", self.x.dtype()).read(&x)?.output(&unrolled)?;
        self.add_sizes(launch, images).elements(images * groups * weights * self.geometry.positions())?;
        Ok(unrolled.into_tensor())
    }

    fn add_sizes<'b>(&self, launch: Launch<'b>, images: usize) -> Launch<'b> {
        let Geometry { options, input: [channels, height, width], output, kernel, .. } = self.geometry;
        let sizes = [images, channels, height, width, kernel[0], kernel[1], output[1], output[2]];
        [&sizes[..], &[options.stride, options.padding]].concat().into_iter().fold(launch, Launch::count)
    }

    /// The sum over some images of the gradients of the weights, in the order of the images.
    fn weight_gradient(&self, start: usize, images: usize, dy: &Tensor) -> Result<Tensor> {
        let unrolled = self.unroll(start, images)?;
        let of_images = self.place.product(dy, &unrolled.t()?)?.into_tensor();
        column_sums(&self.place, &of_images, images, self.weight.elem_count())?.reshape(self.weight.shape())
    }

    /// The gradient of some images.
    fn input_gradient(&self, images: usize, dy: &Tensor) -> Result<Tensor> {
        let unrolled = self.place.product(&self.kernels(images)?.t()?, dy)?;
        let shape = Shape::from([&[images], &self.x.dims()[1..]].concat());
        let elements = shape.elem_count();
        let dx = self.place.output(dy.dtype(), shape)?;
        let launch = Launch::new(&self.place, "col2im", dy.dtype()).output(&unrolled)?.output(&dx)?;
        self.add_sizes(launch, images).elements(elements)?;
        Ok(dx.into_tensor())
    }

    /// The sum over images and positions, for each channel.
    fn bias_gradient(&self, dy: &Tensor) -> Result<Tensor> {
        let (channels, positions) = (self.geometry.output[0], self.geometry.positions());
        let rows = self.geometry.batch * positions;
        let by_position = dy.reshape((self.geometry.batch, channels, positions))?.transpose(1, 2)?.contiguous()?;
        column_sums(&self.place, &by_position, rows, channels)
    }
}
