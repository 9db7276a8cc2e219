//! A kernel with its arguments.

use std::cell::Cell;
use std::marker::PhantomData;

use candle_core::{DType, Result, Tensor};

use super::place::{Output, Place};

/// Threads of a block, as in `kernels/common.h`.
pub(super) const THREADS: u32 = 256;

/// More blocks than this fill no GPU better. Kernels take any number: their loops advance by the whole grid.
const MOST_BLOCKS: usize = 1 << 16;

thread_local! {
    static LAUNCHED: Cell<u64> = const { Cell::new(0) };
}

/// Returns how many of our kernels this thread has launched. Those of Candle and cuBLAS are not counted.
pub fn kernel_launches() -> u64 {
    LAUNCHED.get()
}

/// A kernel and its arguments, in the order of its parameters.
pub(crate) struct Launch<'a> {
    kernel: String,
    place: &'a Place,
    arguments: Vec<Argument>,
    /// The tensors whose memory the arguments point to.
    memory: PhantomData<&'a Tensor>,
}

/// A parameter's value. A pointer is its address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    U64(u64),
    U32(u32),
    F64(f64),
}

impl<'a> Launch<'a> {
    /// The kernel `name` for elements of type `dtype`: `name_f32`, for example.
    pub fn new(place: &'a Place, name: &str, dtype: DType) -> Self {
        Self::untyped(place, &format!("{name}_{}", dtype.as_str()))
    }

    /// The kernel `name`.
    pub fn untyped(place: &'a Place, name: &str) -> Self {
        Self { kernel: name.to_owned(), place, arguments: Vec::new(), memory: PhantomData }
    }

    /// Adds the address of a contiguous tensor, which is read.
    ///
    /// # Errors
    /// When the tensor is elsewhere or not contiguous.
    pub fn read(mut self, tensor: &'a Tensor) -> Result<Self> {
        self.arguments.push(Argument::U64(self.place.address(tensor)?));
        Ok(self)
    }

    /// Adds the address of a tensor, or a null pointer where there is none.
    ///
    /// # Errors
    /// As [`Launch::read`].
    pub fn read_if(self, tensor: Option<&'a Tensor>) -> Result<Self> {
        match tensor {
            Some(tensor) => self.read(tensor),
            None => Ok(self.count(0)),
        }
    }

    /// Adds the address of a contiguous tensor that the kernel changes. No other tensor may share its memory.
    ///
    /// # Errors
    /// As [`Launch::read`].
    pub fn update(self, tensor: &'a Tensor) -> Result<Self> {
        self.read(tensor)
    }

    /// Adds the address of an output, which is written or, after an earlier kernel has written it, read.
    ///
    /// # Errors
    /// When the device fails.
    pub fn output(mut self, output: &'a Output) -> Result<Self> {
        self.arguments.push(Argument::U64(self.place.address_of_output(output)?));
        Ok(self)
    }

    /// Adds the address of an output, or a null pointer where there is none.
    ///
    /// # Errors
    /// As [`Launch::output`].
    pub fn output_if(self, output: Option<&'a Output>) -> Result<Self> {
        match output {
            Some(output) => self.output(output),
            None => Ok(self.count(0)),
        }
    }

    /// Adds a count of 64 bits.
    pub fn count(mut self, count: usize) -> Self {
        self.arguments.push(Argument::U64(count as u64));
        self
    }

    /// Adds a count of 64 bits where there is one.
    pub fn counts(self, count: Option<usize>) -> Self {
        count.into_iter().fold(self, Self::count)
    }

    /// Adds a count of 32 bits.
    ///
    /// # Errors
    /// When it is larger.
    pub fn small(self, count: usize) -> Result<Self> {
        match u32::try_from(count) {
            Ok(count) => Ok(self.word(count)),
            Err(_) => candle_core::bail!("{}: {count} is too large for a GPU", self.kernel),
        }
    }

    /// Adds a word of 32 bits.
    pub fn word(mut self, word: u32) -> Self {
        self.arguments.push(Argument::U32(word));
        self
    }

    /// Adds a number of double precision.
    pub fn double(mut self, number: f64) -> Self {
        self.arguments.push(Argument::F64(number));
        self
    }

    /// Adds a number of double precision where there is one.
    pub fn doubles(self, number: Option<f64>) -> Self {
        number.into_iter().fold(self, Self::double)
    }

    /// Runs a block for each of `rows`, or fewer that take several rows each.
    ///
    /// # Errors
    /// When the kernel is missing or the device fails.
    pub fn rows(self, rows: usize) -> Result<()> {
        match rows.min(MOST_BLOCKS) {
            0 => Ok(()),
            blocks => {
                LAUNCHED.set(LAUNCHED.get() + 1);
                self.place.launch(&self.kernel, blocks as u32, &self.arguments)
            }
        }
    }

    /// Runs a thread for each of `elements`, or fewer that take several elements each.
    ///
    /// # Errors
    /// As [`Launch::rows`].
    pub fn elements(self, elements: usize) -> Result<()> {
        self.rows(elements.div_ceil(THREADS as usize))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::cuda::host;

    #[test]
    fn every_launch_is_counted() {
        let x = Tensor::zeros((3, 4), DType::F32, &Device::Cpu).unwrap();
        let before = kernel_launches();
        host::with_kernels(0, || {
            let place = Place::of(x.device(), x.dtype()).unwrap();
            crate::cuda::column_sums(&place, &x, 3, 4).unwrap();
        });
        // Sums of parts, and the sum of these.
        assert_eq!(kernel_launches() - before, 2);
    }

    #[cfg(not(feature = "metal"))]
    #[test]
    fn a_tensor_of_another_device_is_refused() {
        let x = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
        host::with_kernels(0, || {
            let place = Place::of(x.device(), x.dtype()).unwrap();
            let launch = || Launch::new(&place, "add", DType::F32).read(&x).unwrap();
            let refused = launch().output(&Output::elsewhere(3)).err().unwrap().to_string();
            assert_eq!(refused.lines().next(), Some("all tensors of an operation must be on one device"));
            launch().output(&place.output(DType::F32, 3).unwrap()).unwrap();
        });
    }
}
