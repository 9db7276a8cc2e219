//! Many tensors in one launch: tables with a pointer and a length of each, as in `kernels/tensors.h`.

use std::marker::PhantomData;

use candle_core::{Device, Result, Tensor};

use super::launch::Launch;
use super::place::Place;

/// Elements that a block takes, as `CHUNK` in `kernels/tensors.h`.
const CHUNK: usize = 4096;

/// Tables of as many rows as there are tensors, which are uploaded together.
pub(crate) struct Tables<'a> {
    lengths: Vec<usize>,
    columns: Vec<i64>,
    /// The tensors whose memory the addresses point to.
    memory: PhantomData<&'a Tensor>,
}

impl<'a> Tables<'a> {
    /// Tables of tensors with these numbers of elements.
    pub fn of_lengths(lengths: Vec<usize>) -> Self {
        Self { lengths, columns: Vec::new(), memory: PhantomData }
    }

    /// Adds a table with the address of each of these contiguous tensors.
    ///
    /// # Errors
    /// When one is elsewhere or not contiguous.
    pub fn addresses(mut self, place: &Place, tensors: impl Iterator<Item = &'a Tensor>) -> Result<Self> {
        for tensor in tensors {
            self.columns.push(place.address(tensor)?.cast_signed());
        }
        Ok(self)
    }

    /// Adds a table with 1 for yes and 0 for no.
    pub fn flags(mut self, flags: impl Iterator<Item = bool>) -> Self {
        self.columns.extend(flags.map(i64::from));
        self
    }

    /// Uploads the tables, with the lengths and the chunks before each tensor at the end.
    ///
    /// # Errors
    /// When the device fails.
    pub fn upload(mut self, device: &Device) -> Result<Uploaded<'a>> {
        let count = self.lengths.len();
        self.columns.extend(self.lengths.iter().map(|&length| length as i64));
        let mut chunks = 0;
        for length in &self.lengths {
            self.columns.push(chunks as i64);
            chunks += length.div_ceil(CHUNK);
        }
        let tables = self.columns.len() / count.max(1);
        let all = Tensor::from_vec(self.columns, (tables, count), device)?;
        let columns = (0..tables).map(|table| all.narrow(0, table, 1)).collect::<Result<_>>()?;
        Ok(Uploaded { columns, count, chunks, memory: PhantomData })
    }
}

/// Tables on the device.
pub(crate) struct Uploaded<'a> {
    columns: Vec<Tensor>,
    count: usize,
    /// Chunks of all tensors.
    pub chunks: usize,
    memory: PhantomData<&'a Tensor>,
}

impl<'a> Uploaded<'a> {
    /// Adds the tables, the number of tensors and that of chunks to the arguments of a launch.
    ///
    /// # Errors
    /// When the device fails.
    pub fn add_all<'b>(&'b self, launch: Launch<'b>) -> Result<Launch<'b>> {
        self.add(launch, &self.columns)
    }

    /// Adds the lengths, the chunks before each tensor, the number of tensors and that of chunks.
    ///
    /// # Errors
    /// When the device fails.
    pub fn add_lengths<'b>(&'b self, launch: Launch<'b>) -> Result<Launch<'b>> {
        self.add(launch, &self.columns[self.columns.len() - 2..])
    }

    fn add<'b>(&'b self, launch: Launch<'b>, columns: &'b [Tensor]) -> Result<Launch<'b>> {
        let launch = columns.iter().try_fold(launch, Launch::read)?;
        Ok(launch.count(self.count).count(self.chunks))
    }
}
