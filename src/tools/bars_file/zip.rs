//! ZIP archives that hold one file, as exchanges and vendors offer their downloads.
//!
//! The directory at the end of the archive says what it holds, so an archive is refused before
//! anything of it is read. Needs a file on disk; what comes through a pipe has no end to look at.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Take};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::input::Input;

/// The first bytes of an archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
/// The entry of a file in the directory, without its name.
const ENTRY: usize = 46;
/// The header of a file in front of its bytes, without its name.
const HEADER: usize = 30;
/// The end of the directory, without its comment, which is no longer than a `u16` says.
const END: usize = 22;
/// The longest directory that is looked at.
const DIRECTORY: u64 = 1 << 20;
/// Names that an error shows.
const SHOWN: usize = 3;
/// A size or place that stands elsewhere, in archives of 4 GiB and more.
const ELSEWHERE: u32 = u32::MAX;

/// A file in the archive.
#[derive(Debug)]
struct Member {
    name: String,
    encrypted: bool,
    method: u16,
    crc: u32,
    packed: u32,
    header: u32,
}

impl Member {
    /// True for folders, and for what macOS adds to every file.
    fn is_beside(&self) -> bool {
        self.name.ends_with('/') || self.name.starts_with("__MACOSX/")
    }
}

/// Opens the one file in an archive.
pub(super) fn open(mut file: File) -> io::Result<Input> {
    let mut members = directory(&mut file)?;
    if members
        .iter()
        .any(|member| member.name == "[Content_Types].xml")
    {
        return Err(invalid("is a spreadsheet: save it as CSV".to_owned()));
    }
    members.retain(|member| !member.is_beside());
    let (Some(member), true) = (members.pop(), members.is_empty()) else {
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        return Err(invalid(match names.first() {
            None => "is a ZIP archive without a file".to_owned(),
            Some(first) => format!(
                "is a ZIP archive of {} files ({}, …), and one is read: unpack it (unzip -p FILE '{first}' | … -)",
                names.len() + 1,
                names[..names.len().min(SHOWN)].join(", ")
            ),
        }));
    };
    if member.encrypted {
        let reason =
            "is a ZIP archive with a password: unpack it (unzip -P PASSWORD -p FILE | … -)";
        return Err(invalid(reason.to_owned()));
    }
    if ELSEWHERE == member.packed || ELSEWHERE == member.header {
        return Err(invalid(
            "is a ZIP archive of 4 GiB or more: unpack it (unzip -p FILE | … -)".to_owned(),
        ));
    }
    let mut header = [0; HEADER];
    file.seek(SeekFrom::Start(u64::from(member.header)))?;
    file.read_exact(&mut header)?;
    if !header.starts_with(MAGIC) {
        return Err(damaged());
    }
    let skip = i64::from(u16_at(&header, 26)) + i64::from(u16_at(&header, 28));
    file.seek(SeekFrom::Current(skip))?;
    let packed = BufReader::new(file.take(u64::from(member.packed)));
    let data = match member.method {
        0 => Data::Stored(packed),
        8 => Data::Deflated(DeflateDecoder::new(packed)),
        method => {
            return Err(invalid(format!(
                "is a ZIP archive packed by method {method}, and deflate is read: unpack it (unzip -p FILE | … -)"
            )));
        }
    };
    Ok(Box::new(Checked {
        data,
        crc: Crc::new(),
        due: member.crc,
    }))
}

/// The files that the directory of an archive names.
fn directory(file: &mut File) -> io::Result<Vec<Member>> {
    let size = file.metadata()?.len();
    let tail = size.min((END + usize::from(u16::MAX)) as u64);
    let end = read_at(file, size - tail, tail)?;
    let at = (0..=end.len().saturating_sub(END))
        .rev()
        .find(|at| end[*at..].starts_with(b"PK\x05\x06") && end.len() >= at + END)
        .ok_or_else(damaged)?;
    let end = &end[at..];
    let (length, start) = (u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
    if length > DIRECTORY || start + length > size {
        return Err(damaged());
    }
    let bytes = read_at(file, start, length)?;
    let mut members = Vec::new();
    let mut rest = &bytes[..];
    while rest.len() >= ENTRY && rest.starts_with(b"PK\x01\x02") {
        let name = usize::from(u16_at(rest, 28));
        let further = usize::from(u16_at(rest, 30)) + usize::from(u16_at(rest, 32));
        let name_bytes = rest.get(ENTRY..ENTRY + name).ok_or_else(damaged)?;
        members.push(Member {
            name: String::from_utf8_lossy(name_bytes).replace(char::is_control, " "),
            encrypted: u16_at(rest, 8) & 1 == 1,
            method: u16_at(rest, 10),
            crc: u32_at(rest, 16),
            packed: u32_at(rest, 20),
            header: u32_at(rest, 42),
        });
        rest = rest.get(ENTRY + name + further..).ok_or_else(damaged)?;
    }
    Ok(members)
}

fn read_at(file: &mut File, start: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.by_ref().take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn damaged() -> io::Error {
    invalid("is a ZIP archive that is damaged or was cut off: download it again".to_owned())
}

/// The bytes of a file in an archive.
enum Data {
    Stored(BufReader<Take<File>>),
    Deflated(DeflateDecoder<BufReader<Take<File>>>),
}

/// A file of an archive, compared at its end with the checksum that the directory has of it.
struct Checked {
    data: Data,
    crc: Crc,
    due: u32,
}

impl Read for Checked {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.data {
            Data::Stored(data) => data.read(to),
            Data::Deflated(data) => data.read(to),
        };
        let count = count.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => damaged(),
            _ => error,
        })?;
        self.crc.update(&to[..count]);
        if count == 0 && !to.is_empty() && self.crc.sum() != self.due {
            return Err(damaged());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// An archive by the specification (PKWARE APPNOTE 4.3), of files that are deflated or stored.
    fn archive(files: &[(&str, &[u8], bool)], flags: u16) -> Vec<u8> {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for (name, content, deflate) in files {
            let mut crc = Crc::new();
            crc.update(content);
            let mut packer =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            packer.write_all(content).unwrap();
            let packed = if *deflate {
                packer.finish().unwrap()
            } else {
                content.to_vec()
            };
            let length = |count: usize| u32::try_from(count).unwrap().to_le_bytes();
            let short = |count: usize| u16::try_from(count).unwrap().to_le_bytes();
            let at = length(bytes.len());
            let about = [
                &flags.to_le_bytes()[..],
                &short(if *deflate { 8 } else { 0 }),
                &[0; 4],
                &crc.sum().to_le_bytes(),
                &length(packed.len()),
                &length(content.len()),
                &short(name.len()),
                &short(0),
            ]
            .concat();
            bytes.extend([MAGIC, &[20, 0], &about, name.as_bytes(), &packed].concat());
            directory.extend(
                [
                    &b"PK\x01\x02"[..],
                    &[20, 0, 20, 0],
                    &about,
                    &[0; 10],
                    &at,
                    name.as_bytes(),
                ]
                .concat(),
            );
        }
        let start = u32::try_from(bytes.len()).unwrap();
        let length = u32::try_from(directory.len()).unwrap();
        bytes.extend(&directory);
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend([u16::try_from(files.len()).unwrap().to_le_bytes(); 2].concat());
        bytes.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
        bytes.extend([4, 0]);
        bytes.extend(b"note");
        bytes
    }

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut text = String::new();
        open(file)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn the_one_file_of_an_archive_is_read() {
        let text = "time,close\n".repeat(5_000);
        for deflate in [true, false] {
            let one = [("a/BTCUSDT-1m.csv", text.as_bytes(), deflate)];
            assert_eq!(read(&archive(&one, 0)).unwrap(), text);
        }
        // folders, and what macOS adds, are no files; bit 3: sizes follow the bytes
        let beside: [(&str, &[u8], bool); 3] = [
            ("a/", b"", false),
            ("a/x.csv", text.as_bytes(), true),
            ("__MACOSX/a/._x.csv", b"x", true),
        ];
        assert_eq!(read(&archive(&beside, 1 << 3)).unwrap(), text);
    }

    #[test]
    fn an_archive_on_disk_is_read_as_its_file_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("BTCUSDT-1m-2025-01.zip");
        let rows = "1735689600000000,1,3,0.5,2,7,1735689659999999,9,4,1,1,0\n";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(rows.as_bytes()).unwrap();
        for content in [rows.as_bytes().to_vec(), gzip.finish().unwrap()] {
            std::fs::write(&path, archive(&[("x", &content, true)], 0)).unwrap();
            let mut opened = super::super::input::open(&path).unwrap();
            let mut text = String::new();
            opened.input.read_to_string(&mut text).unwrap();
            assert_eq!(text, rows);
        }
        let options = super::super::ReadOptions {
            symbol: Some("BTCUSDT".to_owned()),
            preset: Some(super::super::Preset::Binance),
            ..super::super::ReadOptions::default()
        };
        let lines = super::super::BarsFile::open(&path, None, options).unwrap();
        let lines: Vec<_> = lines.map(Result::unwrap).collect();
        let bar: serde_json::Value = serde_json::from_slice(&lines[0].payload).unwrap();
        assert_eq!((lines.len(), &bar["symbol"]), (1, &"BTCUSDT".into()));
    }

    #[test]
    fn what_is_no_single_file_is_refused_with_a_way_out() {
        let reason = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let file = ("a.csv", &b"x"[..], true);
        let two = reason(&archive(&[file, ("b.csv", b"y", true)], 0));
        assert!(
            two.contains("of 2 files (a.csv, …)") && two.contains("unzip -p FILE 'a.csv'"),
            "{two}"
        );
        assert!(reason(&archive(&[], 0)).contains("without a file"));
        assert!(reason(&archive(&[file], 1)).contains("password"));
        let sheet = [("[Content_Types].xml", &b"x"[..], true), file];
        assert!(reason(&archive(&sheet, 0)).contains("is a spreadsheet"));
    }

    #[test]
    fn a_damaged_archive_is_an_error_and_never_a_panic() {
        let text = "time,close\n".repeat(500);
        let whole = archive(&[("a.csv", text.as_bytes(), true)], 0);
        for end in 0..whole.len() - 4 {
            let reason = read(&whole[..end]).unwrap_err().to_string();
            assert!(reason.contains("damaged"), "{end}: {reason}");
        }
        for at in 0..whole.len() {
            let mut spoiled = whole.clone();
            spoiled[at] ^= 0x55;
            // whatever comes out without an error is the text
            if let Ok(read) = read(&spoiled) {
                assert_eq!(read, text, "byte {at}");
            }
        }
    }
}
