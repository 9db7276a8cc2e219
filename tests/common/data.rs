//! Data files for tests, and helpers to open them.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rekindle::data::{Data, DataConfig};

/// The data that `options` describe, of the file or folder at `path`.
pub fn open(path: &Path, options: &str) -> Result<Data, String> {
    open_with_seed(path, options, 0)
}

pub fn open_with_seed(path: &Path, options: &str, seed: u64) -> Result<Data, String> {
    let config: DataConfig = toml::from_str(&format!("path = {path:?}\n{options}")).unwrap();
    Data::open(&config, seed, &Device::Cpu).map_err(|error| error.to_string())
}

/// Returns the message of opening a folder of these files, without the folder's path.
pub fn refusal(files: &[(&str, Vec<u8>)], name: &str, options: &str) -> String {
    let folder = folder(files);
    let message = open(&folder.path().join(name), options).map(drop).unwrap_err();
    message.replace(&format!("{}/", folder.path().display()), "")
}

/// Creates a temporary folder with these files, in subfolders if their names say so.
pub fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    folder
}

pub fn write(folder: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// An IDX file of unsigned bytes.
pub fn idx(dims: &[u32], content: &[u8]) -> Vec<u8> {
    let dims_bytes = dims.iter().flat_map(|dim| dim.to_be_bytes());
    [0, 0, 8, dims.len() as u8].into_iter().chain(dims_bytes).chain(content.iter().copied()).collect()
}

/// `count` images of 2×3 pixels, of which pixel `j` of image `i` is `6 i + j`, times 7, modulo 256.
pub fn images(count: u32) -> Vec<u8> {
    let pixels: Vec<u8> = (0..count * 6).map(|pixel| (pixel * 7) as u8).collect();
    idx(&[count, 2, 3], &pixels)
}

/// Labels from 0 to 2.
pub fn labels(count: u32) -> Vec<u8> {
    let labels: Vec<u8> = (0..count).map(|image| ((image * 7 + image * image) % 3) as u8).collect();
    idx(&[count], &labels)
}

/// Creates a folder in MNIST's form: 40 training images, in gzip files, and 10 for validation.
pub fn mnist() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("train-images-idx3-ubyte.gz", gzip(&images(40))),
        ("train-labels-idx1-ubyte.gz", gzip(&labels(40))),
        ("t10k-images-idx3-ubyte", images(10)),
        ("t10k-labels-idx1-ubyte", labels(10)),
    ]
}

pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name)
}

pub fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

pub fn bits(tensor: &Tensor) -> Vec<u32> {
    floats(tensor).iter().map(|x| x.to_bits()).collect()
}
