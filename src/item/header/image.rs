//! Images: dimensions from the header, and the mark of the end, without which the file is cut off.

use memchr::memmem;

use super::{HeaderError, MediaHeader, MediaType};

/// The most frames of a GIF: more are made to keep a decoder busy.
pub(super) const MAX_FRAMES: usize = 10_000;

/// The last chunk of a PNG: `IEND`, which is empty, and its checksum.
const PNG_END: &[u8] = b"IEND\xAE\x42\x60\x82";

/// The marker before the data of a JPEG, and the one after it.
const JPEG_SCAN: u8 = 0xDA;
const JPEG_END: [u8; 2] = [0xFF, 0xD9];

pub(super) fn read(format: MediaType, file: &[u8]) -> Result<MediaHeader, HeaderError> {
    let damaged = HeaderError::Damaged(format);
    if format == MediaType::Gif {
        check_frames(file)?;
    } else if !is_whole(format, file).unwrap_or(false) {
        return Err(damaged);
    }
    let size = imagesize::blob_size(file).map_err(|_| damaged)?;
    let pixels = |length: usize| u32::try_from(length).map_err(|_| damaged);
    Ok(MediaHeader { format, width: pixels(size.width)?, height: pixels(size.height)?, frames: 1 })
}

/// Returns whether a file has its end. Bytes may follow: cameras append more.
fn is_whole(format: MediaType, file: &[u8]) -> Option<bool> {
    match format {
        MediaType::Png => memmem::rfind(file, PNG_END).map(|_| true),
        MediaType::Jpeg => memmem::find(jpeg_data(file)?, &JPEG_END).map(|_| true),
        MediaType::Webp => {
            let length = file.get(4..8)?.first_chunk()?;
            Some(file.len() as u64 >= 8 + u64::from(u32::from_le_bytes(*length)))
        }
        MediaType::Gif | MediaType::Mp4 => None,
    }
}

/// Returns a JPEG from its data on, without the header, which may have a whole preview.
fn jpeg_data(file: &[u8]) -> Option<&[u8]> {
    let mut rest = file.get(2..)?;
    loop {
        match *rest {
            [0xFF, JPEG_SCAN, ..] => return Some(rest),
            // A marker may follow any number of these.
            [0xFF, 0xFF, ..] => rest = &rest[1..],
            [0xFF, _, high, low, ..] => {
                rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..)?;
            }
            _ => return None,
        }
    }
}

/// Checks that the frames are whole, inside the picture, and not too many.
fn check_frames(file: &[u8]) -> Result<(), HeaderError> {
    let damaged = |_| HeaderError::Damaged(MediaType::Gif);
    let mut options = gif::DecodeOptions::new();
    options.skip_frame_decoding(true);
    options.check_frame_consistency(true);
    let mut frames = options.read_info(file).map_err(damaged)?;
    let mut count = 0;
    while frames.next_frame_info().map_err(damaged)?.is_some() {
        count += 1;
        if count > MAX_FRAMES {
            return Err(HeaderError::TooManyFrames);
        }
    }
    if count == 0 { Err(HeaderError::Damaged(MediaType::Gif)) } else { Ok(()) }
}
