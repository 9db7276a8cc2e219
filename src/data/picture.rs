//! A picture in a file: PNG or JPEG, told by its first bytes, as bytes of grey or of red, green and blue.

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

/// How large a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.width, self.height)
    }
}

/// What is wrong with a folder of images, or an image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}; {}", remedy::of(source).unwrap_or(FOLDERS))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A name is not text.
    #[error("the name of {path} is not UTF-8 text; rename it")]
    Name {
        /// The file or folder.
        path: PathBuf,
    },
    /// There is no folder in the folder.
    #[error("{path} has no folders in it; images of a class are in a folder with the name of the class")]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// A class is for validation alone.
    #[error("{path} is of a class that there is no training image of{hint}")]
    UnknownClass {
        /// The folder of the class.
        path: PathBuf,
        /// The nearest, and all there are.
        hint: String,
    },
    /// There are folders of classes without any image.
    #[error(
        "{path} has folders without an image in them: {}; what has no image cannot be learned: bring images, or remove \
         the folder",
        empty.join(", ")
    )]
    EmptyClasses {
        /// The folder that they are in.
        path: PathBuf,
        /// Their names.
        empty: Vec<String>,
    },
    /// There is one class, of which everything is.
    #[error("{path} has one class, {class}, and to tell classes apart takes two; each has a folder in it")]
    OneClass {
        /// The folder that it is in.
        path: PathBuf,
        /// Its name.
        class: String,
    },
    /// There are images in folders within those of the classes.
    #[error(
        "{path}: {count} images would be left out, for they are in folders within those of the classes, such as {example}; \
         {}",
        deeper_remedy(meant.as_deref())
    )]
    Deeper {
        /// The folder of the classes.
        path: PathBuf,
        /// How many images.
        count: usize,
        /// One of them.
        example: PathBuf,
        /// The folder that is probably the one of the classes.
        meant: Option<PathBuf>,
    },
    /// The file is no image.
    #[error("{path} is neither PNG nor JPEG; {remedy}")]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// The remedy.
        remedy: &'static str,
    },
    /// The file is damaged, cut short, or of a kind that is not read.
    #[error("the image {path} cannot be read: {reason}; {remedy}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// Several files cannot be used.
    #[error("{} of {all} images cannot be read:{}\n{}", bad.len(), list(bad), remedy_of_all(bad))]
    Several {
        /// How many files there are.
        all: usize,
        /// The fault of each.
        bad: Vec<ImageError>,
    },
    /// The images are not those that a run began with.
    #[error("{path}: the images are not those that the run began with: {changes}; {remedies}")]
    OtherImages {
        /// The folder.
        path: PathBuf,
        /// Which images are new, changed or gone.
        changes: String,
        /// What to do about them.
        remedies: String,
    },
    /// There are more or fewer images than a run began with.
    #[error("{path} has {found} images, and had {were} when the run began; bring back what was in it then")]
    OtherCount {
        /// The folder.
        path: PathBuf,
        /// How many there were.
        were: usize,
        /// How many there are.
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
        /// The size of that.
        expected: Size,
    },
    /// Some images are grey and some are not.
    #[error(
        "{path} is {} and {first} {}; set `data.channels` to 1 or 3 to have all of them alike",
        colour(*found),
        colour(*expected)
    )]
    Channels {
        /// The file.
        path: PathBuf,
        /// Its channels.
        found: usize,
        /// The first image.
        first: PathBuf,
        /// The channels of that.
        expected: usize,
    },
    /// The image has another size than those of the data set.
    #[error("{path} is {found} pixels, and the images of the data set are {expected}")]
    OtherSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// What it should be.
        expected: Size,
    },
    /// The image is not as it was when the run began.
    #[error(
        "{path} is not what it was when the data was opened; bring back what it was and resume, or start a new run"
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// How images are given.
const FOLDERS: &str = "images are given as a folder that has a folder of images for each class";

/// The remedy for several images, as that for one of them.
fn remedy_of_all(bad: &[ImageError]) -> &'static str {
    match bad.first() {
        Some(ImageError::NotAnImage { remedy, .. } | ImageError::Damaged { remedy, .. })
            if [ImageError::AS_BEGUN, ImageError::BRING].contains(remedy) =>
        {
            remedy
        }
        _ => "bring whole ones, or leave them out with `--set data.skip_bad=true`",
    }
}

impl ImageError {
    /// The same, of an image that a run learns from. To take it away is no remedy once the run has begun.
    pub(super) fn in_training(self) -> Self {
        match self {
            Self::NotAnImage { path, .. } => {
                Self::NotAnImage { path, remedy: "convert it, or leave it out with `--set data.skip_bad=true`" }
            }
            Self::Damaged { path, reason, .. } => {
                let remedy = "bring a whole one, or leave it out with `--set data.skip_bad=true`";
                Self::Damaged { path, reason, remedy }
            }
            other => other,
        }
    }

    /// The remedy in a run that leaves bad images out and does not know what this one was.
    pub(super) const AS_BEGUN: &str = "bring back what was there when the run began";

    /// The remedy where bad images are left out, and nothing is left.
    pub(super) const BRING: &str = "bring images that are whole";

    /// The same with another remedy, where leaving the image out is none.
    pub(super) fn with_remedy(self, remedy: &'static str) -> Self {
        match self {
            Self::NotAnImage { path, .. } => Self::NotAnImage { path, remedy },
            Self::Damaged { path, reason, .. } => Self::Damaged { path, reason, remedy },
            other => other,
        }
    }
}

/// Each in a line, without a remedy.
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

/// The bytes of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    crate::regular::read(path).map_err(|source| ImageError::Read { path: path.into(), source })
}

/// The size of the image that `bytes` are, of which only the head is looked at.
pub(super) fn size(path: &Path, bytes: &[u8]) -> Result<Size, ImageError> {
    match Kind::of(path, bytes)? {
        Kind::Png => size_of_png(bytes),
        Kind::Jpeg => size_of_jpeg(bytes),
    }
    .map_err(damaged(path))
}

/// The pixels of the image that `bytes` are, row after row, with the channels of `size`, which is otherwise the size
/// that it must have: nothing is unpacked before its head says so. Grey is made of colours as ITU-R BT.601 weighs them,
/// and transparency is left out.
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

/// Refuses an image of this size that is damaged anywhere.
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
    let remedy = "remove it, or bring a whole one";
    move |error| ImageError::Damaged { path: path.clone(), reason: error.to_string(), remedy }
}

/// Why an image cannot be read.
type Failure = Box<dyn std::error::Error>;

/// Palettes are looked up, and 16 bits become 8.
fn png_reader(bytes: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, png::DecodingError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.read_info()
}

fn size_of_png(bytes: &[u8]) -> Result<Size, Failure> {
    let reader = png_reader(bytes)?;
    let (info, channels) = (reader.info(), if reader.output_color_type().0.samples() < 3 { 1 } else { 3 });
    let size = Size { channels, height: info.height as usize, width: info.width as usize };
    // Deflate makes at most 1032 bytes of one: a run of 258 in two bits.
    believable(size, info.raw_bytes() / 1032, bytes)
}

fn size_of_jpeg(bytes: &[u8]) -> Result<Size, Failure> {
    let mut decoder = jpeg(bytes, DecoderOptions::default());
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let channels = if decoder.input_colorspace() == Some(ColorSpace::Luma) { 1 } else { 3 };
    // Of each block of 8 by 8 the first scan tells something in at least one bit.
    believable(Size { channels, height, width }, width.saturating_mul(height) / (64 * 8), bytes)
}

/// The size that a head speaks of, where the file has the `least` bytes that such an image takes.
fn believable(size: Size, least: usize, bytes: &[u8]) -> Result<Size, Failure> {
    if bytes.len() < least {
        return Err(format!("its head speaks of {size} pixels, which {} bytes cannot hold", bytes.len()).into());
    }
    Ok(size)
}

/// Samples row after row, and how many a pixel has.
type Unpacked = (Vec<u8>, usize);

fn unpack_png(bytes: &[u8]) -> Result<Unpacked, Failure> {
    let mut reader = png_reader(bytes)?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or(png::DecodingError::LimitsExceeded)?];
    let frame = reader.next_frame(&mut samples)?;
    if (frame.width, frame.height) != reader.info().size() {
        return Err("its first picture has another size than its head speaks of".into());
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

/// Whether the picture has its end. The decoder fills up with grey what a file that is cut short lacks. Segments say
/// how long they are, and what is in one, such as a preview, is passed over; behind the end anything may follow, such
/// as a film.
fn ends(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff)) {
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            0xd9 => return true,
            // These stand alone: the start, and places to take up a damaged scan. What is in a scan is passed over by
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
        return Err("the file is cut short".into());
    }
    let colours = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let mut decoder = jpeg(bytes, DecoderOptions::default().jpeg_set_out_colorspace(colours));
    Ok((decoder.decode()?, channels))
}
