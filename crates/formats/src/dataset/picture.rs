//! PNG and JPEG pictures as numbers.

use super::config::ImageSize;
use crate::FormatError;
use image::{ColorType, DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits};
use image::{imageops, imageops::FilterType};
use std::io::Cursor;

/// The most pixels of a picture: 8192 x 8192.
const MOST_PIXELS: u64 = 1 << 26;

/// The most bytes of pixels that one byte of a file can stand for: deflate makes up to 1032, and
/// a block of 64 pixels of a JPEG takes at least two bits for each of its channels.
const EXPANSION: u64 = 1032;

/// What the first bytes of a picture say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub size: ImageSize,
    /// Whether it is stored in colour.
    pub colour: bool,
    /// Whether it has a channel of transparency.
    pub alpha: bool,
}

fn refused(what: String) -> FormatError {
    FormatError::Unsupported { format: "image", what }
}

fn wrong(error: impl std::fmt::Display) -> FormatError {
    FormatError::Invalid { format: "image", reason: error.to_string() }
}

fn decoder(bytes: &[u8]) -> Result<(impl ImageDecoder + '_, ImageFormat), FormatError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(wrong)?;
    let format = match reader.format() {
        Some(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => format,
        _ => return Err(refused("its contents are neither PNG nor JPEG".into())),
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some((EXPANSION * bytes.len() as u64 + (1 << 16)).min(1 << 30));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(wrong)?;
    Ok((decoder, format))
}

/// Reads the size and checks that pixels of it can be there, before any is decoded.
pub(super) fn header(bytes: &[u8]) -> Result<Header, FormatError> {
    let (decoder, _) = decoder(bytes)?;
    check(&decoder, bytes.len())
}

fn check(decoder: &impl ImageDecoder, length: usize) -> Result<Header, FormatError> {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(refused("it has no pixels".into()));
    }
    if pixels > MOST_PIXELS {
        return Err(refused(format!(
            "it is {height}x{width} pixels large, expected at most {MOST_PIXELS} pixels"
        )));
    }
    if decoder.total_bytes() > EXPANSION * length as u64 + (1 << 12) {
        return Err(refused(format!(
            "it claims {height}x{width} pixels, more than its {length} bytes can hold"
        )));
    }
    let colour = decoder.color_type();
    let size = ImageSize { height: height as usize, width: width as usize };
    Ok(Header { size, colour: colour.has_color(), alpha: colour.has_alpha() })
}

/// The pixels from 0 to 1, `[height, width, channels]`, brought to a size if one is given.
///
/// Grey of colours is `0.299 red + 0.587 green + 0.114 blue`, colours of grey are three times the
/// grey. Transparency is left aside, orientation in the picture's notes is not followed. Sizes are
/// changed linearly between pixels, over all pixels that a new one covers where they get fewer: as
/// Pillow's `BILINEAR`.
pub(super) fn pixels(
    bytes: &[u8],
    channels: usize,
    size: Option<ImageSize>,
) -> Result<(Vec<f32>, ImageSize), FormatError> {
    let (decoder, format) = decoder(bytes)?;
    let header = check(&decoder, bytes.len())?;
    let picture = DynamicImage::from_decoder(decoder).map_err(wrong)?;
    // The decoder fills up with grey what is cut off.
    if format == ImageFormat::Jpeg && !ends(bytes) {
        return Err(wrong("it is cut off: the mark of its end is missing"));
    }
    let values = match (picture.color(), channels) {
        (ColorType::L16 | ColorType::La16, 1) => scaled(&picture.into_luma16(), 65535.0),
        (ColorType::L8 | ColorType::La8, 1) => scaled(&picture.into_luma8(), 255.0),
        (ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16, _) => {
            scaled(&picture.into_rgb16(), 65535.0)
        }
        _ => scaled(&picture.into_rgb8(), 255.0),
    };
    let values = match (channels, header.colour) {
        (1, true) => {
            let (rows, _) = values.as_chunks::<3>();
            rows.iter().map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b).collect()
        }
        _ => values,
    };
    match size.filter(|size| *size != header.size) {
        Some(size) => Ok((resized(values, header.size, size, channels)?, size)),
        None => Ok((values, header.size)),
    }
}

fn scaled<P>(picture: &ImageBuffer<P, Vec<P::Subpixel>>, most: f32) -> Vec<f32>
where
    P: image::Pixel,
    f32: From<P::Subpixel>,
{
    picture.as_raw().iter().map(|&value| f32::from(value) / most).collect()
}

fn resized(
    values: Vec<f32>,
    from: ImageSize,
    to: ImageSize,
    channels: usize,
) -> Result<Vec<f32>, FormatError> {
    let lost = || wrong("its pixels do not fill its size");
    let (width, height) = (from.width as u32, from.height as u32);
    let (new_width, new_height) = (to.width as u32, to.height as u32);
    let filter = FilterType::Triangle;
    if channels == 1 {
        let picture: ImageBuffer<image::Luma<f32>, _> =
            ImageBuffer::from_raw(width, height, values).ok_or_else(lost)?;
        return Ok(imageops::resize(&picture, new_width, new_height, filter).into_raw());
    }
    let picture: ImageBuffer<image::Rgb<f32>, _> =
        ImageBuffer::from_raw(width, height, values).ok_or_else(lost)?;
    Ok(imageops::resize(&picture, new_width, new_height, filter).into_raw())
}

/// Whether the mark of a JPEG's end stands behind the start of its last scan.
fn ends(bytes: &[u8]) -> bool {
    let scan = bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]);
    scan.is_some_and(|scan| bytes[scan..].windows(2).any(|pair| pair == [0xff, 0xd9]))
}
