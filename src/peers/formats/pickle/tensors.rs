//! Tensors in pickles: the functions of PyTorch that rebuild them from a storage.

use super::super::super::tensor::{self, Dtype, Tensor};
use super::super::super::tree::{Place, Ref, Value};
use super::Refusal;
use super::machine::Machine;

/// Most dimensions of a tensor, in PyTorch as here.
const MOST_DIMENSIONS: usize = 64;

impl Machine<'_> {
    /// Returns the tensor that a call of PyTorch rebuilds, or `None` where the function is another.
    pub(super) fn tensor_of(&mut self, name: &str, arguments: &[Place]) -> Result<Option<Place>, Refusal> {
        let made = match name {
            "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => {
                let view = arguments.get(6).copied();
                self.view(arguments, None, view)?
            }
            "torch._utils._rebuild_tensor_v3" => {
                let dtype = arguments.get(6).and_then(|dtype| self.global_name(*dtype)).unwrap_or_default();
                let dtype = named_dtype(dtype)?;
                self.view(arguments, Some(dtype), arguments.get(7).copied())?
            }
            // The first argument is the tensor itself.
            "torch._utils._rebuild_parameter"
            | "torch._utils._rebuild_parameter_with_state"
            | "torch._utils._rebuild_xla_tensor"
            | "torch._utils._rebuild_device_tensor_from_numpy"
            | "torch._utils._rebuild_device_tensor_from_cpu_tensor" => {
                arguments.first().copied().ok_or_else(|| malformed(name))?
            }
            // The module had another name before PyTorch 1.9.
            "torch.tensor._rebuild_from_type"
            | "torch._tensor._rebuild_from_type"
            | "torch._tensor._rebuild_from_type_v2" => {
                let [function, _, inner, ref state @ ..] = arguments[..] else { return Err(malformed(name)) };
                self.of_type(function, inner, state.first().copied())?
            }
            _ => return Ok(None),
        };
        Ok(Some(made))
    }

    /// A view of a storage: storage, first element, shape, strides, …
    fn view(&mut self, arguments: &[Place], dtype: Option<Dtype>, flags: Option<Place>) -> Result<Place, Refusal> {
        let name = "a tensor";
        let [storage, offset, shape, strides, ..] = arguments[..] else { return Err(malformed(name)) };
        let held = self.held.get(&storage).cloned().ok_or_else(|| malformed(name))?;
        let offset = length(self.at(offset)).and_then(|offset| offset.checked_add(held.start));
        let offset = offset.ok_or_else(|| malformed(name))?;
        let shape = lengths(self.at(shape)).ok_or_else(|| malformed(name))?;
        let strides = lengths(self.at(strides)).ok_or_else(|| malformed(name))?;
        self.spend(size_of::<Tensor>() + (shape.len() + strides.len()) * size_of::<usize>())?;
        let Some(storage) = held.storage else { return Ok(self.null()) };
        let dtype = dtype.or(held.dtype).unwrap_or(Dtype::U8);
        let tensor = Tensor::new(dtype, shape, strides, offset, storage)?;
        let flag = |name: &str| flags.and_then(|flags| self.at(flags).get(name)).and_then(Ref::bool) == Some(true);
        if flag("conj") {
            return Err(Refusal::Unsupported(
                "a conjugated view of complex numbers; save it after `resolve_conj()`".to_owned(),
            ));
        }
        let tensor = if flag("neg") { tensor.negated() } else { tensor };
        self.add(tensor)
    }

    /// A tensor of a subclass: the tensor below it. Of a distributed one that must be the whole.
    fn of_type(&mut self, function: Place, inner: Place, state: Option<Place>) -> Result<Place, Refusal> {
        let name = self.global_name(function).map(str::to_owned).ok_or_else(|| malformed("a tensor of a subclass"))?;
        let arguments = self.tuple(inner)?;
        if name != "torch._utils._rebuild_wrapper_subclass" {
            let tensor = self.tensor_of(&name, &arguments)?;
            return tensor.ok_or_else(|| {
                Refusal::Unsupported(format!("a tensor that {name} rebuilds; save it as a plain tensor"))
            });
        }
        let class = arguments.first().and_then(|class| self.global_name(*class)).unwrap_or("a subclass").to_owned();
        let state = state.map(|state| self.merged_slots(state)).transpose()?;
        let local = state.and_then(|state| self.at(state).get("_local_tensor"));
        let Some(local) = local.filter(|_| class.ends_with(".DTensor")) else {
            return Err(Refusal::Unsupported(format!("a tensor of {class}, which wraps others; save plain tensors")));
        };
        // In a pass for the structure there are no tensors yet.
        let Some(tensor) = local.tensor() else { return Ok(self.null()) };
        let whole = arguments.get(2).and_then(|shape| lengths(self.at(*shape)));
        let partial = (state.and_then(|state| self.at(state).at(&["_spec", "placements"])))
            .and_then(Ref::items)
            .is_some_and(|mut all| all.any(|kind| kind.object().is_some_and(|kind| kind.class.ends_with("Partial"))));
        if whole.as_deref() != Some(tensor.shape()) || partial {
            return Err(Refusal::Unsupported(format!(
                "a DTensor of shape {:?} of which this file has only one process' part, of shape {:?}; save with \
                 `torch.distributed.checkpoint`, or with `full_state_dict=True`",
                whole.unwrap_or_default(),
                tensor.shape()
            )));
        }
        Ok(local.place())
    }
}

fn malformed(what: &str) -> Refusal {
    Refusal::Damaged(format!("{what} is made with other arguments than expected"))
}

/// Returns a count that is not negative.
pub(super) fn length(value: Ref<'_>) -> Option<usize> {
    match value.value() {
        Value::Int(length) => usize::try_from(*length).ok(),
        _ => None,
    }
}

/// Returns the lengths of a shape, or strides.
pub(super) fn lengths(value: Ref<'_>) -> Option<Vec<usize>> {
    value.items().filter(|items| items.len() <= MOST_DIMENSIONS)?.map(length).collect()
}

/// Returns the bytes of an element.
pub(super) fn bytes_of(dtype: Dtype) -> Result<usize, Refusal> {
    tensor::element_bytes(dtype).map_err(Refusal::Unsupported)
}

/// Returns the dtype of a class of storages; `None` for bytes without one.
pub(super) fn storage_dtype(class: &str) -> Result<Option<Dtype>, Refusal> {
    let name = class.rsplit('.').next().unwrap_or(class);
    Ok(Some(match name.strip_suffix("Storage") {
        Some("Double") => Dtype::F64,
        Some("Float") => Dtype::F32,
        Some("Half") => Dtype::F16,
        Some("BFloat16") => Dtype::BF16,
        Some("Long") => Dtype::I64,
        Some("Int") => Dtype::I32,
        Some("Short") => Dtype::I16,
        Some("Char") => Dtype::I8,
        Some("Byte") => Dtype::U8,
        Some("Bool") => Dtype::BOOL,
        Some("ComplexFloat") => Dtype::C64,
        Some("Untyped" | "_Untyped") => return Ok(None),
        _ => return Err(Refusal::Unsupported(format!("numbers of {class}, a kind that is not read"))),
    }))
}

/// Returns a dtype by its name in PyTorch.
fn named_dtype(name: &str) -> Result<Dtype, Refusal> {
    Ok(match name.strip_prefix("torch.").unwrap_or_default() {
        "float64" | "double" => Dtype::F64,
        "float32" | "float" => Dtype::F32,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "float8_e8m0fnu" => Dtype::F8_E8M0,
        "float8_e4m3fnuz" => Dtype::F8_E4M3FNUZ,
        "float8_e5m2fnuz" => Dtype::F8_E5M2FNUZ,
        "int64" | "long" => Dtype::I64,
        "int32" | "int" => Dtype::I32,
        "int16" | "short" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint64" => Dtype::U64,
        "uint32" => Dtype::U32,
        "uint16" => Dtype::U16,
        "uint8" => Dtype::U8,
        "bool" => Dtype::BOOL,
        "complex64" | "cfloat" => Dtype::C64,
        _ => return Err(Refusal::Unsupported(format!("a tensor of dtype {name:?}, which is not read"))),
    })
}
