//! Nodes of Candle's graph for our operations, so that `Tensor::backward` differentiates them; also puts them on the
//! tape.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Result, Shape, Storage, Tensor,
    bail,
};

use super::tape;

/// The backward pass of an operation.
pub(super) trait Differentiable: Send + Sync {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// Returns the gradient of each input, given the result `y` and its gradient `dy`; `None` for an input that is not
    /// tracked or does not influence the result.
    ///
    /// # Errors
    /// The device fails.
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>>;
}

/// Makes a tensor of `result`, which `operation` computed from `inputs`: one or more, all on one device.
///
/// # Errors
/// The device fails.
pub(super) fn attach(
    operation: Arc<impl Differentiable + 'static>,
    inputs: Vec<Tensor>,
    result: Storage,
    shape: Shape,
) -> Result<Tensor> {
    let operation: Arc<dyn Differentiable> = operation;
    if let Some(x) = inputs.first().filter(|_| !inputs.iter().any(Tensor::track_op)) {
        return x.apply_op1_no_bwd(&Node { operation, result: Mutex::new(Some((result, shape))) });
    }
    let y = in_graph(Arc::clone(&operation), &inputs, result, shape)?;
    tape::record(operation, inputs, &y);
    Ok(y)
}

/// Makes a tensor that only Candle's graph records.
pub(super) fn in_graph(
    operation: Arc<dyn Differentiable>,
    inputs: &[Tensor],
    result: Storage,
    shape: Shape,
) -> Result<Tensor> {
    let node = |operation| Node { operation, result: Mutex::new(Some((result, shape))) };
    match inputs {
        [] => bail!("{}: an operation without inputs", operation.name()),
        [x] => x.apply_op1_arc(Arc::new(Box::new(node(operation)))),
        [x, y] => x.apply_op2_arc(y, Arc::new(Box::new(node(operation)))),
        [x, y, z] => x.apply_op3_arc(y, z, Arc::new(Box::new(node(operation)))),
        [first, others @ ..] => {
            let (chain, slots) = chain(first, others)?;
            let many = Many { operation, others: others.to_vec(), slots };
            first.apply_op2_arc(&chain, Arc::new(Box::new(node(Arc::new(many)))))
        }
    }
}

/// A node of Candle's graph with an already computed result.
struct Node {
    operation: Arc<dyn Differentiable>,
    /// The result, until the graph takes it.
    result: Mutex<Option<(Storage, Shape)>>,
}

impl Node {
    fn take(&self) -> Result<(Storage, Shape)> {
        match self.result.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(result) => Ok(result),
            None => bail!("{}: its result is taken once", self.operation.name()),
        }
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        match self.take()? {
            (Storage::Cpu(storage), shape) => Ok((storage, shape)),
            _ => bail!("{}: a result on the device of its inputs was expected", self.operation.name()),
        }
    }

    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        match self.take()? {
            (Storage::Cuda(storage), shape) => Ok((storage, shape)),
            _ => bail!("{}: a result on the device of its inputs was expected", self.operation.name()),
        }
    }

    fn on_metal(&self) -> Result<(MetalStorage, Shape)> {
        match self.take()? {
            (Storage::Metal(storage), shape) => Ok((storage, shape)),
            _ => bail!("{}: a result on the device of its inputs was expected", self.operation.name()),
        }
    }

    fn gradients<const N: usize>(&self, inputs: [&Tensor; N], y: &Tensor, dy: &Tensor) -> Result<[Option<Tensor>; N]> {
        let gradients = self.operation.backward(&inputs.map(Tensor::clone), y, dy)?;
        gradients.try_into().map_err(|_| {
            candle_core::Error::Msg(format!("{}: a gradient for each input was expected", self.operation.name()))
        })
    }
}

impl CustomOp1 for Node {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let [dx] = self.gradients([x], y, dy)?;
        Ok(dx)
    }
}

impl CustomOp2 for Node {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [da, db] = self.gradients([a, b], y, dy)?;
        Ok((da, db))
    }
}

impl CustomOp3 for Node {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [da, db, dc] = self.gradients([a, b, c], y, dy)?;
        Ok((da, db, dc))
    }
}

/// Candle's graph has no node with more than three inputs. All inputs but the first become a chain of zeros; each link
/// passes the gradient in its slot to its input.
fn chain(first: &Tensor, others: &[Tensor]) -> Result<(Tensor, Vec<Slot>)> {
    let slots: Vec<Slot> = others.iter().map(|_| Slot::default()).collect();
    let mut chain = Tensor::zeros((), first.dtype(), first.device())?;
    for (input, slot) in others.iter().zip(&slots) {
        let zero = copy(&chain)?;
        chain = in_graph(Arc::new(Link(slot.clone())), &[chain, input.clone()], zero, Shape::from(()))?;
    }
    Ok((chain, slots))
}

/// Copies a tensor's elements, in order.
pub(super) fn copy(tensor: &Tensor) -> Result<Storage> {
    // Candle copies a whole storage; the tensor may be a part of it.
    let begins_it = tensor.is_contiguous() && tensor.layout().start_offset() == 0;
    let tensor = if begins_it { tensor.clone() } else { tensor.force_contiguous()? };
    let (storage, layout) = tensor.storage_and_layout();
    storage.try_clone(layout)
}

/// The gradient of an input, passed from the backward pass of [`Many`] to that of its [`Link`].
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Tensor>>>);

impl Slot {
    fn put(&self, gradient: Option<Tensor>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = gradient;
    }

    fn take(&self) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A zero computed from the chain before it and an input.
struct Link(Slot);

impl Differentiable for Link {
    fn name(&self) -> &'static str {
        "chain of inputs"
    }

    fn backward(&self, _: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(dy.clone()), self.0.take()])
    }
}

/// An operation with more than three inputs, as an operation of the first input and a chain of the others.
struct Many {
    operation: Arc<dyn Differentiable>,
    others: Vec<Tensor>,
    slots: Vec<Slot>,
}

impl Differentiable for Many {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let [first, chain] = inputs else { bail!("{}: one input and a chain were expected", self.name()) };
        let all: Vec<Tensor> = std::iter::once(first).chain(&self.others).cloned().collect();
        let mut gradients = self.operation.backward(&all, y, dy)?.into_iter();
        let of_first = gradients.next().flatten();
        self.slots.iter().zip(gradients).for_each(|(slot, gradient)| slot.put(gradient));
        Ok(vec![of_first, Some(chain.zeros_like()?)])
    }
}
