//! Decodes an image file: PNG or JPEG, recognized by its first bytes, as bytes of grey or of red, green and blue.

use std::fmt;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use png::{ColorType, Transformations};
use thiserror::Error;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::remedy;

/// Size of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.width, self.height)
    }
}

/// Errors of a folder of images, or of an image.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}; {}", remedy::of(source).unwrap_or(FOLDERS))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A name is not valid UTF-8.
    #[error("the name of {path} is not UTF-8 text; rename it")]
    Name {
        /// The file or folder.
        path: PathBuf,
    },
    /// The folder has no subfolders.
    #[error("{path} has no folders in it; images of a class are in a folder with the name of the class")]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// A class has only validation images.
    #[error("{path} has no training images in its class{hint}")]
    UnknownClass {
        /// The folder of the class.
        path: PathBuf,
        /// The nearest class, and all classes.
        hint: String,
    },
    /// Some class folders have no images.
    #[error(
        "{path} has folders without an image in them: {}; a class needs images to be learned: add images, or remove \
         the folder",
        empty.join(", ")
    )]
    EmptyClasses {
        /// The folder that they are in.
        path: PathBuf,
        /// Their names.
        empty: Vec<String>,
    },
    /// There is only one class.
    #[error("{path} has one class, {class}, and at least two are needed; each is a subfolder")]
    OneClass {
        /// The folder that it is in.
        path: PathBuf,
        /// Its name.
        class: String,
    },
    /// There are images in subfolders of class folders.
    #[error(
        "{path}: {count} images would be skipped, because they are in subfolders of the class folders, such as \
         {example}; {}",
        deeper_remedy(meant.as_deref())
    )]
    Deeper {
        /// The folder of the classes.
        path: PathBuf,
        /// Number of images.
        count: usize,
        /// One of them.
        example: PathBuf,
        /// The folder that probably contains the classes.
        meant: Option<PathBuf>,
    },
    /// The file is not an image.
    #[error("{path} is neither PNG nor JPEG; {remedy}")]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// The remedy.
        remedy: &'static str,
    },
    /// The file is damaged, truncated, or of an unsupported kind.
    #[error("the image {path} cannot be read: {reason}; {remedy}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// Several files cannot be used.
    #[error("{} of {all} images cannot be read:{}\n{}", bad.len(), list(bad), remedy_of_all(bad))]
    Several {
        /// Number of files.
        all: usize,
        /// The fault of each.
        bad: Vec<ImageError>,
    },
    /// The images have changed since the run began.
    #[error("{path}: the images are not those that the run began with: {changes}; {remedies}")]
    OtherImages {
        /// The folder.
        path: PathBuf,
        /// The new, changed or missing images.
        changes: String,
        /// The remedies.
        remedies: String,
    },
    /// The number of images has changed since the run began.
    #[error("{path} has {found} images, and had {were} when the run began; restore its content from then")]
    OtherCount {
        /// The folder.
        path: PathBuf,
        /// The earlier number.
        were: usize,
        /// The present number.
        found: usize,
    },
    /// The image has another size than the first one.
    #[error("{path} is {found} pixels and {first} {expected}; all images must have one size")]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// The first image.
        first: PathBuf,
        /// Its size.
        expected: Size,
    },
    /// Some images are grey and some are not.
    #[error(
        "{path} is {} and {first} {}; set `data.channels` to 1 or 3 to convert them all",
        colour(*found),
        colour(*expected)
    )]
    Channels {
        /// The file.
        path: PathBuf,
        /// Number of its channels.
        found: usize,
        /// The first image.
        first: PathBuf,
        /// The number of its channels.
        expected: usize,
    },
    /// The image has another size than the data set's.
    #[error("{path} is {found} pixels, and the images of the data set are {expected}")]
    OtherSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// The expected size.
        expected: Size,
    },
    /// The image has changed since the run began.
    #[error("{path} has changed since the data was opened; restore the file and resume, or start a new run")]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// The expected form of images.
const FOLDERS: &str = "give a folder with one subfolder of images for each class";

/// Returns the remedy for several images, the same as for one of them.
fn remedy_of_all(bad: &[ImageError]) -> &'static str {
    match bad.first() {
        Some(ImageError::NotAnImage { remedy, .. } | ImageError::Damaged { remedy, .. })
            if [ImageError::AS_BEGUN, ImageError::BRING].contains(remedy) =>
        {
            remedy
        }
        _ => "replace them with valid ones, or skip them with `--set data.skip_bad=true`",
    }
}

impl ImageError {
    /// Returns the same error for a training image. Removing it is not a remedy once the run has begun.
    pub(super) fn in_training(self) -> Self {
        match self {
            Self::NotAnImage { path, .. } => {
                Self::NotAnImage { path, remedy: "convert it, or skip it with `--set data.skip_bad=true`" }
            }
            Self::Damaged { path, reason, .. } => {
                let remedy = "replace it with a valid one, or skip it with `--set data.skip_bad=true`";
                Self::Damaged { path, reason, remedy }
            }
            other => other,
        }
    }

    /// The remedy in a run that skips bad images but has no record of this one.
    pub(super) const AS_BEGUN: &str = "restore the file from when the run began";

    /// The remedy if bad images are skipped, and no image is left.
    pub(super) const BRING: &str = "add valid images";

    /// Returns the same error with another remedy, for cases in which skipping the image does not help.
    pub(super) fn with_remedy(self, remedy: &'static str) -> Self {
        match self {
            Self::NotAnImage { path, .. } => Self::NotAnImage { path, remedy },
            Self::Damaged { path, reason, .. } => Self::Damaged { path, reason, remedy },
            other => other,
        }
    }
}

/// Lists the errors, one per line, without remedies.
fn list(bad: &[ImageError]) -> String {
    const SHOWN: usize = 100;
    let line = |error: &ImageError| match error {
        ImageError::NotAnImage { path, .. } => format!("\n  {}: neither PNG nor JPEG", path.display()),
        ImageError::Damaged { path, reason, .. } => format!("\n  {}: {reason}", path.display()),
        other => format!("\n  {other}"),
    };
    let lines: String = bad.iter().take(SHOWN).map(line).collect();
    match bad.len().saturating_sub(SHOWN) {
        0 => lines,
        more => format!("{lines}\n  and {more} more"),
    }
}

fn deeper_remedy(meant: Option<&Path>) -> String {
    match meant {
        Some(folder) => format!("`data.path` is the folder of the classes: perhaps {}", folder.display()),
        None => "move them up into the folder of their class, or elsewhere".to_owned(),
    }
}

fn colour(channels: usize) -> &'static str {
    if channels == 1 { "grey" } else { "coloured" }
}

/// Reads the bytes of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    crate::regular::read(path).map_err(|source| ImageError::Read { path: path.into(), source })
}

/// Returns the size of the image in `bytes`, from its header only.
pub(super) fn size(path: &Path, bytes: &[u8]) -> Result<Size, ImageError> {
    match Kind::of(path, bytes)? {
        Kind::Png => size_of_png(bytes),
        Kind::Jpeg => size_of_jpeg(bytes),
    }
    .map_err(damaged(path))
}

/// Decodes the image in `bytes`, row after row, to the channels of `size`; its height and width must be those of
/// `size`, which is checked before decoding. Grey is computed from colours with the weights of ITU-R BT.601, and
/// transparency is dropped.
pub(super) fn pixels(path: &Path, bytes: &[u8], size: Size) -> Result<Vec<u8>, ImageError> {
    let found = self::size(path, bytes)?;
    if (found.width, found.height) != (size.width, size.height) {
        return Err(ImageError::OtherSize { path: path.into(), found, expected: size });
    }
    let (pixels, samples) = unpack(path, bytes, found.channels)?;
    let pixels = pixels.chunks_exact(samples);
    let luma = |pixel: &[u8]| {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
        ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
    };
    Ok(match (samples < 3, size.channels) {
        (true, 1) => pixels.map(|pixel| pixel[0]).collect(),
        (true, _) => pixels.flat_map(|pixel| [pixel[0]; 3]).collect(),
        (false, 1) => pixels.map(luma).collect(),
        (false, _) => pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
    })
}

/// Refuses an image of this size with any damage.
pub(super) fn check(path: &Path, bytes: &[u8], size: Size) -> Result<(), ImageError> {
    unpack(path, bytes, size.channels).map(drop)
}

fn unpack(path: &Path, bytes: &[u8], channels: usize) -> Result<Unpacked, ImageError> {
    match Kind::of(path, bytes)? {
        Kind::Png => unpack_png(bytes),
        Kind::Jpeg => unpack_jpeg(bytes, channels),
    }
    .map_err(damaged(path))
}

enum Kind {
    Png,
    Jpeg,
}

impl Kind {
    fn of(path: &Path, bytes: &[u8]) -> Result<Self, ImageError> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            _ => Err(ImageError::NotAnImage { path: path.into(), remedy: "remove it, or convert it" }),
        }
    }
}

fn damaged<E: fmt::Display>(path: &Path) -> impl Fn(E) -> ImageError {
    let path = path.to_owned();
    let remedy = "remove it, or replace it with a valid one";
    move |error| ImageError::Damaged { path: path.clone(), reason: error.to_string(), remedy }
}

/// The reason why an image cannot be read.
type Failure = Box<dyn std::error::Error>;

/// Palettes are resolved, and 16 bits are reduced to 8.
fn png_reader(bytes: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, png::DecodingError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.read_info()
}

fn size_of_png(bytes: &[u8]) -> Result<Size, Failure> {
    let reader = png_reader(bytes)?;
    let (info, channels) = (reader.info(), if reader.output_color_type().0.samples() < 3 { 1 } else { 3 });
    let size = Size { channels, height: info.height as usize, width: info.width as usize };
    // Deflate makes at most 1032 bytes from one: a run of 258 in two bits.
    believable(size, info.raw_bytes() / 1032, bytes)
}

fn size_of_jpeg(bytes: &[u8]) -> Result<Size, Failure> {
    let mut decoder = jpeg(bytes, DecoderOptions::default());
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let channels = if decoder.input_colorspace() == Some(ColorSpace::Luma) { 1 } else { 3 };
    // The first scan has at least one bit for each block of 8 by 8.
    believable(Size { channels, height, width }, width.saturating_mul(height) / (64 * 8), bytes)
}

/// Returns the size in the header, if the file has the `least` number of bytes that such an image needs.
fn believable(size: Size, least: usize, bytes: &[u8]) -> Result<Size, Failure> {
    if bytes.len() < least {
        return Err(format!("its header says {size} pixels, which {} bytes cannot hold", bytes.len()).into());
    }
    Ok(size)
}

/// Samples row after row, and the number of samples per pixel.
type Unpacked = (Vec<u8>, usize);

fn unpack_png(bytes: &[u8]) -> Result<Unpacked, Failure> {
    let mut reader = png_reader(bytes)?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or(png::DecodingError::LimitsExceeded)?];
    let frame = reader.next_frame(&mut samples)?;
    if (frame.width, frame.height) != reader.info().size() {
        return Err("its first picture has another size than its header says".into());
    }
    samples.truncate(frame.buffer_size());
    let per_pixel = match frame.color_type {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb | ColorType::Indexed => 3,
        ColorType::Rgba => 4,
    };
    Ok((samples, per_pixel))
}

/// Whether the image has an end marker. The decoder fills the missing part of a truncated file with grey. Segments give
/// their lengths, so their content, such as a preview, is skipped; any data may follow the end, such as a video.
fn ends(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff)) {
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            0xd9 => return true,
            // Markers without a length: the start, and restart points of a scan. The content of a scan is skipped by
            // the search for the next marker.
            0x01 | 0xd0..=0xd8 => {}
            _ => {
                let Some(length) = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))) else {
                    return false;
                };
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
    false
}

fn jpeg(bytes: &[u8], options: DecoderOptions) -> JpegDecoder<ZCursor<&[u8]>> {
    JpegDecoder::new_with_options(ZCursor::new(bytes), options.set_strict_mode(true))
}

fn unpack_jpeg(bytes: &[u8], channels: usize) -> Result<Unpacked, Failure> {
    if !ends(bytes) {
        return Err("the file is truncated".into());
    }
    let colours = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let mut decoder = jpeg(bytes, DecoderOptions::default().jpeg_set_out_colorspace(colours));
    Ok((decoder.decode()?, channels))
}
