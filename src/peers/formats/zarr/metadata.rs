//! Metadata of an array: `.zarray` of zarr 2 and `zarr.json` of zarr 3.

use serde_json::Value;

use super::codec::Codec;
use crate::peers::tensor::{Dtype, dtype_of_numpy, element_bytes};

/// An array's metadata.
#[derive(Clone, Debug)]
pub struct Array {
    /// Lengths of its dimensions.
    pub shape: Vec<usize>,
    /// Lengths of the dimensions of a chunk; no length is 0.
    pub chunk: Vec<usize>,
    /// The dtype.
    pub dtype: Dtype,
    /// Bytes of an element.
    pub size: usize,
    /// The element of chunks that are not stored, in little-endian order.
    pub fill: Vec<u8>,
    /// From the array to the stored bytes.
    pub codecs: Vec<Codec>,
    /// The text before a chunk's indices, without separator, and the one between them.
    prefix: &'static str,
    separator: &'static str,
}

impl Array {
    /// Returns the bytes of the array, and the number of its chunks.
    pub fn sizes(&self) -> Result<(usize, usize), String> {
        let bytes = product(&self.shape).and_then(|elements| elements.checked_mul(self.size));
        let chunks = self.shape.iter().zip(&self.chunk).map(|(length, chunk)| length.div_ceil(*chunk));
        let sizes = bytes.zip(product(&chunks.collect::<Vec<_>>()));
        sizes.ok_or_else(|| format!("the shape {:?} has more elements than can be counted", self.shape))
    }

    /// Returns the bytes of a chunk.
    pub fn chunk_bytes(&self) -> Result<usize, String> {
        let bytes = product(&self.chunk).and_then(|elements| elements.checked_mul(self.size));
        bytes.ok_or_else(|| format!("chunks of shape {:?} have more elements than can be counted", self.chunk))
    }

    /// Returns a chunk of fill values.
    pub fn filled(&self) -> Vec<u8> {
        self.fill.repeat(self.chunk.iter().product())
    }

    /// Returns the place of chunk `index` in the grid.
    pub fn place(&self, mut index: usize) -> Vec<usize> {
        let mut place = vec![0; self.shape.len()];
        for (axis, at) in place.iter_mut().enumerate().rev() {
            let chunks = self.shape[axis].div_ceil(self.chunk[axis]);
            *at = index % chunks;
            index /= chunks;
        }
        place
    }

    /// Returns the key of the chunk at a place in the grid.
    pub fn key(&self, place: &[usize]) -> String {
        let mut parts: Vec<String> = place.iter().map(usize::to_string).collect();
        if !self.prefix.is_empty() {
            parts.insert(0, self.prefix.to_owned());
        }
        match parts.is_empty() {
            // An array without dimensions has one chunk.
            true => "0".to_owned(),
            false => parts.join(self.separator),
        }
    }
}

fn product(lengths: &[usize]) -> Option<usize> {
    lengths.iter().try_fold(1usize, |product, length| product.checked_mul(*length))
}

/// Reads a `.zarray`.
pub fn version_2(text: &[u8]) -> Result<Array, String> {
    let json = parsed(text)?;
    expect_version(&json, 2)?;
    let (dtype, big) = match json["dtype"].as_str() {
        Some(name) => dtype_2(name)?,
        None => return Err(format!("the dtype {} is not read", json["dtype"])),
    };
    if !json["filters"].as_array().is_none_or(Vec::is_empty) {
        return Err(format!("the filters {} are not read", json["filters"]));
    }
    let shape = lengths(&json["shape"], "shape")?;
    let mut codecs = Vec::new();
    match json["order"].as_str() {
        Some("C") => {}
        Some("F") => codecs.push(Codec::Transpose((0..shape.len()).rev().collect())),
        _ => return Err(format!("the order {} of elements is unknown", json["order"])),
    }
    codecs.push(Codec::Bytes { big });
    match json["compressor"]["id"].as_str() {
        Some(name) => codecs.push(compression(name)?),
        None if json["compressor"].is_null() => {}
        None => return Err(format!("the compressor {} is unknown", json["compressor"])),
    }
    let separator = match json["dimension_separator"].as_str() {
        None | Some(".") => ".",
        Some("/") => "/",
        Some(other) => return Err(format!("the separator {other:?} of dimensions is unknown")),
    };
    let chunk = chunk_lengths(&json["chunks"], &shape)?;
    let size = element_bytes(dtype)?;
    let fill = fill(&json["fill_value"], dtype, size)?;
    Ok(Array { shape, chunk, dtype, size, fill, codecs, prefix: "", separator })
}

/// Reads a `zarr.json`.
pub fn version_3(text: &[u8]) -> Result<Array, String> {
    let json = parsed(text)?;
    expect_version(&json, 3)?;
    if json["node_type"] != "array" {
        return Err(format!("it describes no array but {}", json["node_type"]));
    }
    let dtype = json["data_type"].as_str().and_then(dtype_of_numpy);
    let dtype = dtype.ok_or_else(|| format!("the dtype {} is not read", json["data_type"]))?;
    if !json["storage_transformers"].as_array().is_none_or(Vec::is_empty) {
        return Err(format!("the storage transformers {} are not read", json["storage_transformers"]));
    }
    let shape = lengths(&json["shape"], "shape")?;
    let grid = &json["chunk_grid"];
    if grid["name"] != "regular" {
        return Err(format!("the grid {} of chunks is not read", grid["name"]));
    }
    let chunk = chunk_lengths(&grid["configuration"]["chunk_shape"], &shape)?;
    let size = element_bytes(dtype)?;
    let fill = fill(&json["fill_value"], dtype, size)?;
    let codecs = codecs(&json["codecs"], &chunk, 0)?;
    let encoding = &json["chunk_key_encoding"];
    let (prefix, usual) = match encoding["name"].as_str() {
        Some("default") => ("c", "/"),
        Some("v2") => ("", "."),
        _ => return Err(format!("the keys {} of chunks are not read", encoding["name"])),
    };
    let separator = match encoding["configuration"]["separator"].as_str().unwrap_or(usual) {
        "." => ".",
        "/" => "/",
        other => return Err(format!("the separator {other:?} of dimensions is unknown")),
    };
    Ok(Array { shape, chunk, dtype, size, fill, codecs, prefix, separator })
}

/// Reads the list of codecs of chunks of a shape.
fn codecs(json: &Value, chunk: &[usize], depth: usize) -> Result<Vec<Codec>, String> {
    let list = json.as_array().ok_or("the codecs are no list")?;
    let codecs: Vec<Codec> = list.iter().map(|codec| codec_3(codec, chunk, depth)).collect::<Result<_, _>>()?;
    let to_bytes = codecs.iter().filter(|codec| matches!(codec, Codec::Bytes { .. } | Codec::Shards { .. })).count();
    if to_bytes != 1 {
        return Err(format!("the codecs {json} turn the array {to_bytes} times into bytes; once is due"));
    }
    Ok(codecs)
}

fn codec_3(json: &Value, chunk: &[usize], depth: usize) -> Result<Codec, String> {
    let settings = &json["configuration"];
    match json["name"].as_str().or(json.as_str()) {
        Some("bytes") => match settings["endian"].as_str() {
            None | Some("little") => Ok(Codec::Bytes { big: false }),
            Some("big") => Ok(Codec::Bytes { big: true }),
            Some(other) => Err(format!("the order {other:?} of bytes is unknown")),
        },
        Some("transpose") => {
            let order = lengths(&settings["order"], "order")?;
            let mut sorted = order.clone();
            sorted.sort_unstable();
            match sorted.into_iter().eq(0..chunk.len()) {
                true => Ok(Codec::Transpose(order)),
                false => Err(format!("{order:?} is no order of {} dimensions", chunk.len())),
            }
        }
        Some("crc32c") => Ok(Codec::Crc32c),
        Some("sharding_indexed") if depth == 0 => shards(settings, chunk),
        Some("sharding_indexed") => Err("shards within shards are not read".to_owned()),
        Some(name) => compression(name),
        None => Err(format!("the codec {json} is unknown")),
    }
}

fn shards(settings: &Value, shard: &[usize]) -> Result<Codec, String> {
    let chunk = chunk_lengths(&settings["chunk_shape"], shard)?;
    if shard.iter().zip(&chunk).any(|(length, chunk)| length % chunk != 0) {
        return Err(format!("shards of shape {shard:?} do not consist of chunks of shape {chunk:?}"));
    }
    let inner = codecs(&settings["codecs"], &chunk, 1)?;
    let index: Vec<&str> =
        settings["index_codecs"].as_array().into_iter().flatten().filter_map(|codec| codec["name"].as_str()).collect();
    let big = settings["index_codecs"][0]["configuration"]["endian"] == "big";
    let checked = match index[..] {
        ["bytes", "crc32c"] if !big => true,
        ["bytes"] if !big => false,
        _ => return Err(format!("the codecs {} of a shard's index are not read", settings["index_codecs"])),
    };
    let at_end = match settings["index_location"].as_str() {
        None | Some("end") => true,
        Some("start") => false,
        Some(other) => return Err(format!("the place {other:?} of a shard's index is unknown")),
    };
    Ok(Codec::Shards { chunk, codecs: inner, checked, at_end })
}

fn compression(name: &str) -> Result<Codec, String> {
    match name {
        "zstd" => Ok(Codec::Zstd),
        "gzip" => Ok(Codec::Gzip),
        "zlib" => Ok(Codec::Zlib),
        other => Err(format!(
            "the compression {other} is not read; zstd, gzip and zlib are: copy the arrays with one of them"
        )),
    }
}

fn parsed(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text).map_err(|error| format!("the metadata of the array is no JSON: {error}"))
}

fn expect_version(json: &Value, version: u64) -> Result<(), String> {
    match json["zarr_format"].as_u64() {
        Some(found) if found == version => Ok(()),
        _ => Err(format!("zarr_format is {} where {version} is due", json["zarr_format"])),
    }
}

fn lengths(json: &Value, what: &str) -> Result<Vec<usize>, String> {
    let list = json.as_array().filter(|list| list.len() <= 32);
    let lengths = list.and_then(|list| list.iter().map(|length| usize::try_from(length.as_u64()?).ok()).collect());
    lengths.ok_or_else(|| format!("the {what} {json} is no list of up to 32 lengths"))
}

fn chunk_lengths(json: &Value, shape: &[usize]) -> Result<Vec<usize>, String> {
    let chunk = lengths(json, "shape of chunks")?;
    if chunk.len() != shape.len() || chunk.contains(&0) {
        return Err(format!("chunks of shape {chunk:?} do not compose an array of shape {shape:?}"));
    }
    Ok(chunk)
}

/// Returns the dtype that zarr 2 calls so, and whether it is stored in big-endian order.
fn dtype_2(name: &str) -> Result<(Dtype, bool), String> {
    let other = || format!("the dtype {name:?} is not read");
    // TensorStore has names for what NumPy does not have.
    if let Some(dtype) = dtype_of_numpy(name).filter(|_| name.starts_with("bfloat") || name.starts_with("float8")) {
        return Ok((dtype, false));
    }
    let (order, kind) = name.split_at_checked(1).ok_or_else(other)?;
    let dtype = match kind {
        "b1" => Dtype::BOOL,
        "i1" => Dtype::I8,
        "u1" => Dtype::U8,
        "i2" => Dtype::I16,
        "u2" => Dtype::U16,
        "i4" => Dtype::I32,
        "u4" => Dtype::U32,
        "i8" => Dtype::I64,
        "u8" => Dtype::U64,
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "c8" => Dtype::C64,
        _ => return Err(other()),
    };
    match order {
        "<" | "|" => Ok((dtype, false)),
        ">" => Ok((dtype, true)),
        _ => Err(other()),
    }
}

/// Returns the bytes of the fill value.
fn fill(json: &Value, dtype: Dtype, size: usize) -> Result<Vec<u8>, String> {
    let other = || format!("the fill value {json} is no element of {dtype:?}");
    let number = match json {
        Value::Null | Value::Bool(false) => return Ok(vec![0; size]),
        Value::Bool(true) => 1.0,
        Value::Number(number) => number.as_f64().ok_or_else(other)?,
        Value::String(text) => match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => return Err(other()),
        },
        _ => return Err(other()),
    };
    let integer =
        || json.as_i64().map(i64::to_le_bytes).or_else(|| json.as_u64().map(u64::to_le_bytes)).ok_or_else(other);
    Ok(match dtype {
        _ if number == 0.0 => vec![0; size],
        Dtype::F64 => number.to_le_bytes().to_vec(),
        Dtype::F32 => (number as f32).to_le_bytes().to_vec(),
        Dtype::F16 => half::f16::from_f64(number).to_le_bytes().to_vec(),
        Dtype::BF16 => half::bf16::from_f64(number).to_le_bytes().to_vec(),
        Dtype::BOOL => vec![1],
        Dtype::I8 | Dtype::U8 | Dtype::I16 | Dtype::U16 | Dtype::I32 | Dtype::U32 | Dtype::I64 | Dtype::U64 => {
            integer()?[..size].to_vec()
        }
        _ => return Err(other()),
    })
}
