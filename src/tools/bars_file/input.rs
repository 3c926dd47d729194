//! The bytes of a file as text: opened, counted for a progress bar, unpacked, and in UTF-8.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::zip;

/// Bytes at the beginning that tell what the rest is.
const TELLING: usize = 512;

/// The format found in the first bytes of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Parquet,
    Text,
    /// Nothing, or only white space.
    Blank,
}

pub(super) type Input = Box<dyn Read + Send>;

/// An input that is ready to be read.
pub(super) struct Opened {
    pub input: Input,
    pub content: Content,
    /// Bytes read so far of what may be packed.
    pub read: Arc<AtomicU64>,
    /// The size of the file.
    pub size: Option<u64>,
}

/// Opens `path`, or standard input for `-`.
pub(super) fn open(path: &Path) -> io::Result<Opened> {
    if path == Path::new("-") {
        return unpack(Box::new(io::stdin()), None);
    }
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let size = about.is_file().then_some(about.len());
    if size.is_some() {
        let mut magic = Vec::new();
        file.by_ref()
            .take(zip::MAGIC.len() as u64)
            .read_to_end(&mut magic)?;
        file.rewind()?;
        if magic == zip::MAGIC {
            return unpack(zip::open(file)?, None);
        }
    }
    unpack(Box::new(file), size)
}

/// Takes the packing off, which the first bytes tell, and brings text into UTF-8.
pub(super) fn unpack(input: Input, size: Option<u64>) -> io::Result<Opened> {
    let read = Arc::new(AtomicU64::new(0));
    let counted = Counted {
        inner: input,
        read: Arc::clone(&read),
    };
    let (start, input) = peek(Box::new(counted))?;
    if start.starts_with(b"PAR1") {
        return Ok(Opened {
            input,
            content: Content::Parquet,
            read,
            size,
        });
    }
    let (start, input) = if start.starts_with(&[0x1f, 0x8b]) {
        peek(Box::new(MultiGzDecoder::new(BufReader::new(input))))?
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        peek(Box::new(zstd::Decoder::new(input)?))?
    } else {
        (start, input)
    };
    refuse_binary(&start)?;
    let (start, input) = match start[..] {
        [0xff, 0xfe, ..] => peek(Box::new(Utf16::new(input, u16::from_le_bytes)))?,
        [0xfe, 0xff, ..] => peek(Box::new(Utf16::new(input, u16::from_be_bytes)))?,
        _ => (start, input),
    };
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    let content = match text.trim_ascii_start().first() {
        None => Content::Blank,
        Some(b'{' | b'[') => Content::Json,
        Some(_) => Content::Text,
    };
    Ok(Opened {
        input,
        content,
        read,
        size,
    })
}

/// Says what to do with files that are known and are no text.
fn refuse_binary(start: &[u8]) -> io::Result<()> {
    let reason = if start.starts_with(b"PK\x03\x04") {
        "is a ZIP archive or a spreadsheet, of which only an archive of one file on disk is read: \
             unpack it (unzip -p FILE | … -), or save it as CSV"
    } else if start.starts_with(b"BZh") {
        "is packed with bzip2: unpack it first (bzcat FILE | … -)"
    } else if start.starts_with(b"\xfd7zXZ") {
        "is packed with xz: unpack it first (xzcat FILE | … -)"
    } else if start.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        "is a spreadsheet: save it as CSV"
    } else if start
        .trim_ascii_start()
        .get(..5)
        .is_some_and(|tag| tag.eq_ignore_ascii_case(b"<html") || tag.eq_ignore_ascii_case(b"<!doc"))
    {
        "is a web page, as some sites send it in place of a download: look at it in a browser"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// The first bytes of an input, and the input with them.
fn peek(mut input: Input) -> io::Result<(Vec<u8>, Input)> {
    let mut start = vec![0; TELLING];
    let mut have = 0;
    // one read is all that a pipe may have for now, and mostly enough
    while have < 8 {
        match input.read(&mut start[have..]) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    start.truncate(have);
    let whole = Cursor::new(start.clone()).chain(input);
    Ok((start, Box::new(whole)))
}

/// Counts the bytes that go through it.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// UTF-16, as spreadsheets save text, in UTF-8.
struct Utf16 {
    inner: BufReader<Input>,
    unit: fn([u8; 2]) -> u16,
    /// A unit that was read ahead.
    ahead: Option<u16>,
    /// A character that was not given out whole.
    left: Vec<u8>,
    first: bool,
}

impl Utf16 {
    fn new(inner: Input, unit: fn([u8; 2]) -> u16) -> Self {
        Self {
            inner: BufReader::new(inner),
            unit,
            ahead: None,
            left: Vec::new(),
            first: true,
        }
    }

    fn next_unit(&mut self) -> io::Result<Option<u16>> {
        if let Some(unit) = self.ahead.take() {
            return Ok(Some(unit));
        }
        let mut pair = [0; 2];
        match self.inner.read_exact(&mut pair) {
            Ok(()) => Ok(Some((self.unit)(pair))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn next_char(&mut self) -> io::Result<Option<char>> {
        let Some(unit) = self.next_unit()? else {
            return Ok(None);
        };
        if self.first {
            self.first = false;
            if unit == 0xfeff {
                return self.next_char();
            }
        }
        if !(0xd800..0xdc00).contains(&unit) {
            return Ok(Some(
                char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER),
            ));
        }
        let second = self.next_unit()?;
        let units = [unit, second.unwrap_or_default()];
        match char::decode_utf16(units).next() {
            Some(Ok(c)) => Ok(Some(c)),
            _ => {
                self.ahead = second;
                Ok(Some(char::REPLACEMENT_CHARACTER))
            }
        }
    }
}

impl Read for Utf16 {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.left.len() < to.len() {
            let Some(c) = self.next_char()? else {
                break;
            };
            self.left
                .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        let count = self.left.len().min(to.len());
        to[..count].copy_from_slice(&self.left[..count]);
        self.left.drain(..count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Write as _;

    fn text(bytes: Vec<u8>) -> (String, Content, u64) {
        let mut opened = unpack(Box::new(Cursor::new(bytes)), None).unwrap();
        let mut text = String::new();
        opened.input.read_to_string(&mut text).unwrap();
        (text, opened.content, opened.read.load(Ordering::Relaxed))
    }

    #[test]
    fn packed_files_are_known_by_their_content() {
        let plain = "time,close\n".repeat(1_000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(plain.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let packed = gzip.len() as u64;
        assert_eq!(text(gzip.clone()), (plain.clone(), Content::Text, packed));
        // as `cat a.gz b.gz` makes them
        let two = [gzip.clone(), gzip].concat();
        assert_eq!(text(two).0, plain.repeat(2));
        let zstd = zstd::encode_all(plain.as_bytes(), 0).unwrap();
        assert_eq!(text(zstd.clone()).0, plain);
        assert_eq!(text([zstd.clone(), zstd].concat()).0, plain.repeat(2));
    }

    #[test]
    fn text_comes_out_in_utf_8() {
        let plain = "tíme\tclose €😀\r\n1\t2\r\n";
        let units: Vec<u16> = std::iter::once(0xfeff)
            .chain(plain.encode_utf16())
            .collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        assert_eq!(text(little).0, plain);
        assert_eq!(text(big).0, plain);
        assert_eq!(text(b"\xff\xfe\x00\xd8a\x00".to_vec()).0, "\u{fffd}a");
        assert_eq!(text(b"\xff\xfea\x00b".to_vec()).0, "a");
    }

    #[test]
    fn the_first_sign_tells_json_from_text() {
        for (bytes, content) in [
            (&b"\xef\xbb\xbf {\"a\":1}"[..], Content::Json),
            (b"\n\n[1]", Content::Json),
            (b"time,close", Content::Text),
            (b" \n", Content::Blank),
            (b"", Content::Blank),
        ] {
            assert_eq!(text(bytes.to_vec()).1, content);
        }
        for bytes in [
            &b"PK\x03\x04rest of it"[..],
            b"BZh91AY&SY",
            b"\xfd7zXZ\x00\x00\x00",
            b"<!DOCTYPE html>",
        ] {
            assert!(unpack(Box::new(Cursor::new(bytes.to_vec())), None).is_err());
        }
    }
}
