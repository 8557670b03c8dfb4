//! MP4 videos: the boxes of the first video track (ISO/IEC 14496-12).

use mp4_atom::{Atom as _, Decode as _, FourCC, Header, Tkhd};

use super::{MediaHeader, MediaType};

/// The handler of video tracks.
const VIDEO: &[u8] = b"vide";

/// Where the handler stands in its box. The crate would log each box that is longer than usual.
const HANDLER: std::ops::Range<usize> = 8..12;

/// Where the number of samples stands in the sample size box, after its version, flags and common size. The box itself
/// may list millions of sizes, which are not read.
const SAMPLE_COUNT: std::ops::Range<usize> = 8..12;

/// Returns the facts of the first video track; `None`: there is none, or the file is cut off or damaged.
pub(super) fn read(file: &[u8]) -> Option<MediaHeader> {
    // Every box is read, so that a file that ends early is noticed wherever the header stands.
    let boxes_of_file = boxes(file)?;
    first(&boxes_of_file, *b"mdat")?;
    let movie = boxes(first(&boxes_of_file, *b"moov")?)?;
    movie.iter().filter(|found| found.kind == FourCC::new(b"trak")).find_map(track)
}

fn track(track: &Found<'_>) -> Option<MediaHeader> {
    let media = child(track.body, *b"mdia")?;
    if child(media, *b"hdlr")?.get(HANDLER)? != VIDEO {
        return None;
    }
    let Tkhd { width, height, .. } = Tkhd::decode_body(&mut child(track.body, *b"tkhd")?).ok()?;
    let sizes = child(child(child(media, *b"minf")?, *b"stbl")?, *b"stsz");
    let count = sizes.and_then(|body| body.get(SAMPLE_COUNT)?.first_chunk());
    Some(MediaHeader {
        format: MediaType::Mp4,
        width: width.integer().into(),
        height: height.integer().into(),
        // A fragmented file has its samples elsewhere.
        frames: count.map_or(0, |count| u32::from_be_bytes(*count)),
    })
}

struct Found<'a> {
    kind: FourCC,
    body: &'a [u8],
}

/// Returns the boxes of a box; `None`: one of them is longer than it.
fn boxes(mut rest: &[u8]) -> Option<Vec<Found<'_>>> {
    /// Far more than any file has; each costs a header of 8 bytes.
    const MAX_BOXES: usize = 4_096;

    let mut found = Vec::new();
    // Some programs add up to 7 bytes after the last box.
    while rest.len() >= 8 {
        let Header { kind, size } = Header::decode(&mut rest).ok()?;
        let body;
        (body, rest) = rest.split_at_checked(size.unwrap_or(rest.len()))?;
        found.push(Found { kind, body });
        if found.len() > MAX_BOXES {
            return None;
        }
    }
    Some(found)
}

/// Returns the body of the first child of a kind.
fn child(parent: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    first(&boxes(parent)?, kind)
}

fn first<'a>(boxes: &[Found<'a>], kind: [u8; 4]) -> Option<&'a [u8]> {
    let found = boxes.iter().find(|found| found.kind == FourCC::new(&kind))?;
    Some(found.body)
}
