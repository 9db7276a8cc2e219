//! The arguments of a kernel: numbers, and arrays of each type between guards that no kernel may write to.

use std::fmt::{self, Display};

use half::{bf16, f16};

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    F32,
    F64,
    Bf16,
    F16,
    U32,
    U64,
}

impl Type {
    /// The types of tensors. One is enough for the search for races, which is slow.
    pub fn of_tensors() -> &'static [Self] {
        let all = &[Self::F32, Self::F64, Self::Bf16, Self::F16];
        if crate::emulator::searches_races() { &all[..1] } else { all }
    }

    /// The type that a kernel for tensors of this type computes in.
    pub fn wide(self) -> Self {
        if self == Self::F64 { Self::F64 } else { Self::F32 }
    }

    /// The distance from 1 to the next number.
    pub fn epsilon(self) -> f64 {
        match self {
            Self::F32 => f64::from(f32::EPSILON),
            Self::F64 => f64::EPSILON,
            Self::Bf16 => bf16::EPSILON.to_f64(),
            Self::F16 => f16::EPSILON.to_f64(),
            Self::U32 | Self::U64 => 0.0,
        }
    }

    /// The numbers of this type that are nearest to `values`.
    pub fn rounded(self, values: Vec<f64>) -> Vec<f64> {
        values.into_iter().map(|value| self.decode(&self.encode(value))).collect()
    }

    /// Half the distance between the numbers nearest to zero; for f32, whose numbers
    /// below the normal ones some functions leave out, the smallest of those.
    pub fn half_of_smallest(self) -> f64 {
        match self {
            Self::F64 => f64::from_bits(1),
            Self::F32 | Self::Bf16 => f64::from(f32::MIN_POSITIVE),
            _ => 2f64.powi(-25),
        }
    }

    /// The number of half precision that has these bits.
    pub fn of_bits(self, bits: u16) -> f64 {
        self.decode(&bits.to_ne_bytes())
    }

    pub fn size(self) -> usize {
        self.encode(0.0).len()
    }

    fn encode(self, value: f64) -> Vec<u8> {
        match self {
            Self::F32 => (value as f32).to_ne_bytes().to_vec(),
            Self::F64 => value.to_ne_bytes().to_vec(),
            Self::Bf16 => bf16::from_f64(value).to_ne_bytes().to_vec(),
            Self::F16 => f16::from_f64(value).to_ne_bytes().to_vec(),
            Self::U32 => (value as u32).to_ne_bytes().to_vec(),
            Self::U64 => (value as u64).to_ne_bytes().to_vec(),
        }
    }

    fn decode(self, bytes: &[u8]) -> f64 {
        fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
            bytes.try_into().unwrap()
        }
        match self {
            Self::F32 => f64::from(f32::from_ne_bytes(array(bytes))),
            Self::F64 => f64::from_ne_bytes(array(bytes)),
            Self::Bf16 => bf16::from_ne_bytes(array(bytes)).to_f64(),
            Self::F16 => f16::from_ne_bytes(array(bytes)).to_f64(),
            Self::U32 => f64::from(u32::from_ne_bytes(array(bytes))),
            Self::U64 => u64::from_ne_bytes(array(bytes)) as f64,
        }
    }
}

/// The suffix of a kernel's name.
impl Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::U32 => "u32",
            Self::U64 => "u64",
        })
    }
}

/// An argument of a kernel.
#[derive(Clone, Debug)]
pub enum Argument {
    /// `const T*`.
    In(Type, Vec<f64>),
    /// `T*` to this number of elements, all of which the kernel writes.
    Out(Type, usize),
    /// `T*` that the kernel reads and writes.
    InOut(Type, Vec<f64>),
    /// `const T* const*`, a table of arrays.
    InTable(Type, Vec<Vec<f64>>),
    /// `T* const*`, whose arrays the kernel reads and writes; their elements are one result.
    InOutTable(Type, Vec<Vec<f64>>),
    /// A pointer to nothing.
    Null,
    /// `u64`.
    Count(usize),
    /// `u32`.
    Word(u32),
    /// `double`.
    Real(f64),
}

/// An array of `u32`, such as class numbers.
pub fn words(words: &[u32]) -> Argument {
    Argument::In(Type::U32, words.iter().copied().map(f64::from).collect())
}

/// Elements on either side of an array that must stay as they are.
const GUARD: usize = 64;
const GUARD_BYTE: u8 = 0xA5;
/// Makes a NaN of every float.
const UNWRITTEN_BYTE: u8 = 0xFF;

/// The elements of an argument in memory.
struct Array {
    of: Type,
    /// Aligned to 16 bytes.
    memory: Vec<u128>,
    start: usize,
    bytes: usize,
    before: Option<Vec<u8>>,
}

impl Array {
    /// `shift` elements away from an address that is a multiple of 16.
    fn new(of: Type, values: &[f64], shift: usize, writable: bool) -> Self {
        let mut array = Self::unwritten(of, values.len(), shift);
        let bytes: Vec<u8> = values.iter().flat_map(|&value| of.encode(value)).collect();
        let range = array.range();
        array.memory_mut()[range].copy_from_slice(&bytes);
        array.before = (!writable).then_some(bytes);
        array
    }

    fn unwritten(of: Type, count: usize, shift: usize) -> Self {
        let (start, bytes) = (GUARD + shift * of.size(), count * of.size());
        let memory = vec![u128::from_ne_bytes([GUARD_BYTE; 16]); (start + bytes + GUARD).div_ceil(16)];
        let mut array = Self { of, memory, start, bytes, before: None };
        let range = array.range();
        array.memory_mut()[range].fill(UNWRITTEN_BYTE);
        array
    }

    fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.bytes
    }

    fn memory(&self) -> &[u8] {
        bytemuck::cast_slice(&self.memory)
    }

    fn memory_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.memory)
    }

    fn address(&self) -> u64 {
        self.memory()[self.start..].as_ptr() as u64
    }

    /// The elements; no byte beside them, and none that is only read, was written.
    fn values(&self) -> Vec<f64> {
        let memory = self.memory();
        let guards = memory[..self.start].iter().chain(&memory[self.start + self.bytes..]);
        assert!(guards.copied().all(|byte| byte == GUARD_BYTE), "the kernel wrote beside an array of {}", self.of);
        let elements = &memory[self.range()];
        if let Some(before) = &self.before {
            assert!(elements == before, "the kernel wrote to an array of {} that it only reads", self.of);
        }
        elements.chunks_exact(self.of.size()).map(|bytes| self.of.decode(bytes)).collect()
    }
}

/// Arguments in memory, for one launch.
pub struct Laid {
    arrays: Vec<Array>,
    /// For each result the arrays whose elements it has.
    results: Vec<std::ops::Range<usize>>,
    /// The values of the arguments: addresses and numbers.
    values: Vec<u64>,
    /// Tables of addresses.
    tables: Vec<Vec<u64>>,
}

impl Laid {
    /// Arrays begin `shift` elements away from a multiple of 16.
    pub fn out(arguments: &[Argument], shift: usize) -> Self {
        let mut laid = Self { arrays: Vec::new(), results: Vec::new(), values: Vec::new(), tables: Vec::new() };
        for argument in arguments {
            let value = match argument {
                Argument::In(of, values) => laid.push([Array::new(*of, values, shift, false)], false),
                Argument::Out(of, count) => laid.push([Array::unwritten(*of, *count, shift)], true),
                Argument::InOut(of, values) => laid.push([Array::new(*of, values, shift, true)], true),
                Argument::InTable(of, all) => {
                    laid.push_table(all.iter().map(|values| Array::new(*of, values, shift, false)), false)
                }
                Argument::InOutTable(of, all) => {
                    laid.push_table(all.iter().map(|values| Array::new(*of, values, shift, true)), true)
                }
                Argument::Null => 0,
                Argument::Count(count) => *count as u64,
                Argument::Word(word) => u64::from(*word),
                Argument::Real(real) => real.to_bits(),
            };
            laid.values.push(value);
        }
        laid
    }

    /// The address of the first.
    fn push(&mut self, arrays: impl IntoIterator<Item = Array>, is_result: bool) -> u64 {
        let first = self.arrays.len();
        self.arrays.extend(arrays);
        if is_result {
            self.results.push(first..self.arrays.len());
        }
        self.arrays.get(first).map_or(0, Array::address)
    }

    fn push_table(&mut self, arrays: impl Iterator<Item = Array>, is_result: bool) -> u64 {
        let first = self.arrays.len();
        self.push(arrays, is_result);
        let table: Vec<u64> = self.arrays[first..].iter().map(Array::address).collect();
        let address = table.as_ptr() as u64;
        self.tables.push(table);
        address
    }

    /// Where the value of each argument is, as an address. A number of 4 bytes is in the first of its 8.
    pub fn addresses(&self) -> Vec<usize> {
        const { assert!(cfg!(target_endian = "little"), "numbers of 4 bytes are laid out for little-endian machines") };
        self.values.iter().map(|value| std::ptr::from_ref(value) as usize).collect()
    }

    /// The results that the kernel wrote.
    pub fn results(&self) -> Vec<Vec<f64>> {
        let values: Vec<Vec<f64>> = self.arrays.iter().map(Array::values).collect();
        self.results.iter().map(|range| values[range.clone()].concat()).collect()
    }
}
