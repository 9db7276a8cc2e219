//! In the place of `pixels.rs` where the feature `images` is off: `picture::require_decoders` refuses images before.

use super::picture::{Failure, Kind};
use super::size::Size;

/// Samples row after row, and the number of samples per pixel.
pub(super) type Unpacked = (Vec<u8>, usize);

const ABSENT: &str = "this program was built without the feature `images`";

pub(super) fn size(_: Kind, _: &[u8]) -> Result<Size, Failure> {
    Err(Failure::damaged(ABSENT))
}

pub(super) fn unpack(_: Kind, _: &[u8], _: usize) -> Result<Unpacked, Failure> {
    Err(Failure::damaged(ABSENT))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use candle_core::Device;

    use super::super::survey::survey;
    use super::super::{Data, DataConfig, Format};

    #[test]
    fn a_program_without_images_says_how_to_build_it_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        for class in ["a", "b"] {
            fs::create_dir_all(path.join(class)).unwrap();
            fs::write(path.join(class).join("0.png"), b"\x89PNG").unwrap();
        }
        let expected = format!(
            "{} holds images, which this program was built without; build it with `--features images`",
            path.display()
        );
        let config = DataConfig { format: Some(Format::Images), skip_bad: Some(true), ..DataConfig::new(&path) };
        let opened = Data::open(&config, 1, &Device::Cpu).map(drop);
        assert_eq!(opened.unwrap_err().to_string(), expected);
        assert_eq!(survey(&path, 0).map(drop).unwrap_err().to_string(), expected);
    }
}
