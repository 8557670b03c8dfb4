use super::*;

const PNG: &[u8] = include_bytes!("../../../tests/fixtures/media/picture.png");
const JPEG: &[u8] = include_bytes!("../../../tests/fixtures/media/picture.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("../../../tests/fixtures/media/progressive.jpg");
const WEBP: &[u8] = include_bytes!("../../../tests/fixtures/media/picture.webp");
const LOSSLESS: &[u8] = include_bytes!("../../../tests/fixtures/media/lossless.webp");
const GIF: &[u8] = include_bytes!("../../../tests/fixtures/media/picture.gif");
const CLIP: &[u8] = include_bytes!("../../../tests/fixtures/media/clip.mp4");
const FRAGMENTED: &[u8] = include_bytes!("../../../tests/fixtures/media/fragmented.mp4");

const FILES: [(MediaType, &[u8]); 8] = [
    (MediaType::Png, PNG),
    (MediaType::Jpeg, JPEG),
    (MediaType::Jpeg, PROGRESSIVE),
    (MediaType::Webp, WEBP),
    (MediaType::Webp, LOSSLESS),
    (MediaType::Gif, GIF),
    (MediaType::Mp4, CLIP),
    (MediaType::Mp4, FRAGMENTED),
];

fn image(width: u32, height: u32) -> MediaHeader {
    MediaHeader { format: MediaType::Png, width, height, frames: 1 }
}

/// A GIF of one pixel, with frames of a size.
fn gif(frames: usize, width: u16, height: u16) -> Vec<u8> {
    let mut file = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff".to_vec();
    for _ in 0..frames {
        file.extend_from_slice(b"\x2c\x00\x00\x00\x00");
        file.extend_from_slice(&width.to_le_bytes());
        file.extend_from_slice(&height.to_le_bytes());
        file.extend_from_slice(b"\x00\x02\x02\x44\x01\x00");
    }
    file.push(0x3b);
    file
}

#[test]
fn headers_of_real_files() {
    for (format, file) in FILES {
        let header = MediaHeader::read(file).unwrap();
        let (width, height, frames) = match format {
            MediaType::Mp4 => (128, 72, header.frames),
            _ => (48, 32, 1),
        };
        assert_eq!(header, MediaHeader { format, width, height, frames });
    }
    assert_eq!(MediaHeader::read(CLIP).unwrap().frames, 16);
    assert_eq!(MediaHeader::read(FRAGMENTED).unwrap().frames, 0);
}

#[test]
fn a_cut_file_is_damaged_wherever_it_ends() {
    // A fragmented video may end after any fragment.
    for (format, file) in FILES.into_iter().filter(|(_, file)| *file != FRAGMENTED) {
        for length in 0..file.len() {
            let read = MediaHeader::read(&file[..length]);
            let is_short = length < 12 && read == Err(HeaderError::Unknown);
            let is_damaged = read == Err(HeaderError::Damaged(format));
            assert!(is_short || is_damaged, "{format:?} of {length} bytes: {read:?}");
        }
    }
}

#[test]
fn bytes_after_the_end_are_no_damage() {
    for (format, file) in FILES.into_iter().filter(|(format, _)| !format.is_video()) {
        let longer = [file, b"camera notes"].concat();
        assert!(MediaHeader::read(&longer).is_ok(), "{format:?}");
    }
}

#[test]
fn what_is_no_picture_is_unknown() {
    for file in [b"".as_slice(), b"hello", b"%PDF-1.7 ...", b"<svg/>", b"BM\0\0\0\0\0\0\0\0\0\0"] {
        assert_eq!(MediaHeader::read(file), Err(HeaderError::Unknown));
    }
    // Begins as a video does, and is text.
    let text = b"....ftyp and then some words that are no boxes at all";
    assert_eq!(MediaHeader::read(text), Err(HeaderError::Damaged(MediaType::Mp4)));
}

#[test]
fn a_gif_with_absurd_frames_is_refused() {
    assert!(MediaHeader::read(&gif(1, 1, 1)).is_ok());
    assert!(MediaHeader::read(&gif(image::MAX_FRAMES, 1, 1)).is_ok());
    let many = gif(image::MAX_FRAMES + 1, 1, 1);
    assert_eq!(MediaHeader::read(&many), Err(HeaderError::TooManyFrames));
    let damaged = Err(HeaderError::Damaged(MediaType::Gif));
    assert_eq!(MediaHeader::read(&gif(1, u16::MAX, u16::MAX)), damaged);
    assert_eq!(MediaHeader::read(&gif(0, 1, 1)), damaged);
}

#[test]
fn a_picture_without_pixels_is_damaged() {
    let mut file = PNG.to_vec();
    file[16..20].fill(0);
    assert_eq!(MediaHeader::read(&file), Err(HeaderError::Damaged(MediaType::Png)));
}

#[test]
fn tokens_are_those_that_voyage_bills() {
    let billed = |width, height| {
        let media = image(width, height).media();
        (media.image_pixels, media.tokens)
    };
    assert_eq!(billed(256, 256), (65_536, 117));
    assert_eq!(billed(400, 400), (160_000, 285));
    assert_eq!(billed(10, 10), (50_000, 89));
    assert_eq!(billed(4_000, 4_000), (2_000_000, 3_571));
    let video = |frames| {
        let header = MediaHeader { format: MediaType::Mp4, width: 1_280, height: 720, frames };
        (header.media().video_pixels, header.media().tokens)
    };
    assert_eq!(video(16), (14_745_600, 13_165));
    assert_eq!(video(17), video(16));
    // No more than the context of the model.
    assert_eq!(video(u32::MAX).1, 32_000);
    assert_eq!(video(0).1, 32_000);
    assert_eq!(Media::UNKNOWN_IMAGE.tokens, 3_571);
}

#[test]
fn mime_types_in_any_case() {
    assert_eq!(MediaType::of_mime("IMAGE/PNG"), Some(MediaType::Png));
    assert_eq!(MediaType::of_mime("image/jpg"), Some(MediaType::Jpeg));
    assert_eq!(MediaType::of_mime("video/mp4"), Some(MediaType::Mp4));
    assert_eq!(MediaType::of_mime("image/svg+xml"), None);
}
