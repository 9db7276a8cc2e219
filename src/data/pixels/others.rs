//! WebP and GIF. Of an animation, the first picture is read.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image_webp::WebPDecoder;

use super::{PIXELS, Unpacked, reasonable};
use crate::data::picture::Failure;
use crate::data::size::Size;

fn webp(bytes: &[u8]) -> Result<WebPDecoder<Cursor<&[u8]>>, Failure> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes))?;
    decoder.set_memory_limit(PIXELS * 4);
    Ok(decoder)
}

pub(super) fn size_of_webp(bytes: &[u8]) -> Result<Size, Failure> {
    let (width, height) = webp(bytes)?.dimensions();
    reasonable(Size { channels: 3, height: height as usize, width: width as usize })
}

pub(super) fn unpack_webp(bytes: &[u8]) -> Result<Unpacked, Failure> {
    let mut decoder = webp(bytes)?;
    let size = decoder.output_buffer_size().ok_or_else(|| Failure::damaged("it is too large"))?;
    let mut samples = vec![0; size];
    decoder.read_image(&mut samples)?;
    Ok((samples, if decoder.has_alpha() { 4 } else { 3 }))
}

fn gif(bytes: &[u8]) -> Result<gif::Decoder<&[u8]>, Failure> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.check_frame_consistency(true);
    options.set_memory_limit(MemoryLimit::Bytes(std::num::NonZeroU64::MIN.saturating_add(PIXELS as u64 * 4)));
    Ok(options.read_info(bytes)?)
}

pub(super) fn size_of_gif(bytes: &[u8]) -> Result<Size, Failure> {
    let decoder = gif(bytes)?;
    reasonable(Size { channels: 3, height: decoder.height().into(), width: decoder.width().into() })
}

/// The first picture may cover only a part; the rest is black.
pub(super) fn unpack_gif(bytes: &[u8]) -> Result<Unpacked, Failure> {
    let size = size_of_gif(bytes)?;
    let mut decoder = gif(bytes)?;
    let frame = decoder.read_next_frame()?.ok_or_else(|| Failure::damaged("it has no picture"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    if (width, height) == (size.width, size.height) {
        return Ok((frame.buffer.to_vec(), 4));
    }
    let mut samples = vec![0; size.width * size.height * 4];
    for (row, pixels) in frame.buffer.chunks_exact(width.max(1) * 4).take(height).enumerate() {
        let start = ((top + row) * size.width + left) * 4;
        let Some(place) = samples.get_mut(start..start + pixels.len()) else {
            return Err(Failure::damaged("its picture is larger than its header says"));
        };
        place.copy_from_slice(pixels);
    }
    Ok((samples, 4))
}
