//! Header extensions, which follow the header in the first cluster.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Header extensions", "String header extensions", "Feature name
//! table", "Bitmaps extension", "Full disk encryption header pointer".

use std::ops::Range;

use diskimg_core::{Budget, Error, Result, ensure};
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u32, be_u64};
use nom::{IResult, Parser};

use crate::errors::corrupt;

/// The end of the list of extensions.
pub(crate) const END: u32 = 0;
/// The format of the backing file, as text.
pub(crate) const BACKING_FORMAT: u32 = 0xE279_2ACA;
/// The names of feature bits.
pub(crate) const FEATURE_NAME_TABLE: u32 = 0x6803_F857;
/// The place of the directory of persistent bitmaps.
pub(crate) const BITMAPS: u32 = 0x2385_2875;
/// The place of the LUKS header.
pub(crate) const CRYPTO_HEADER: u32 = 0x0537_BE77;
/// The name of the external data file.
pub(crate) const DATA_FILE: u32 = 0x4441_5441;

/// The length in bytes of a row of the feature name table: kind, bit number, 46 bytes of name.
pub(crate) const FEATURE_ROW_BYTES: usize = 48;
/// The longest format name in bytes. QEMU's limit; the names of its drivers are much shorter.
const MAX_BACKING_FORMAT: u32 = 15;

/// The extensions of known types.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Extensions {
    /// The format of the backing file, unchanged.
    pub(crate) backing_format: Option<Vec<u8>>,
    /// The name of the external data file and its byte offset.
    pub(crate) data_file: Option<(Vec<u8>, u64)>,
    /// The byte offset of a second name of the external data file.
    pub(crate) second_data_file: Option<u64>,
    pub(crate) feature_names: Vec<FeatureName>,
    /// The bitmaps extension; its length if that is not 24 bytes.
    pub(crate) bitmaps: Option<std::result::Result<BitmapsExtension, u32>>,
    pub(crate) crypto_header: Option<CryptoHeader>,
    /// The extensions of unknown types.
    pub(crate) unknown: IgnoredExtensions,
    /// The feature name tables, bitmaps extensions and data file names after the first.
    pub(crate) repeated: IgnoredExtensions,
}

/// Extensions that reading ignores.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct IgnoredExtensions {
    pub(crate) count: u64,
    /// The type and the byte offset of the first.
    pub(crate) first: Option<(u32, u64)>,
}

impl IgnoredExtensions {
    fn add(&mut self, kind: u32, at: u64) {
        self.count = self.count.saturating_add(1);
        self.first.get_or_insert((kind, at));
    }
}

/// One row of the feature name table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FeatureName {
    /// 0 incompatible, 1 compatible, 2 autoclear.
    pub(crate) kind: u8,
    pub(crate) bit: u8,
    /// The name, not escaped.
    pub(crate) name: Vec<u8>,
}

/// The bitmaps extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BitmapsExtension {
    pub(crate) count: u32,
    pub(crate) directory_bytes: u64,
    pub(crate) directory_offset: u64,
}

/// The full disk encryption header pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CryptoHeader {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl Extensions {
    /// Parses the extensions in the bytes `area` of the file. `read` returns the bytes of a given offset and
    /// length; it is called for the eight bytes in front of each extension, and for the data of known types. The
    /// data is charged to `budget`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] for an extension that ends past `area` or has the wrong length, and for a
    /// second backing format or encryption header; [`diskimg_core::ErrorKind::Limit`] if `budget` is exhausted; errors of `read`.
    pub(crate) fn parse(
        area: Range<u64>,
        budget: &Budget,
        read: &mut dyn FnMut(u64, u64) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let mut all = Self::default();
        let mut at = area.start;
        while let Some(rest) = area.end.checked_sub(at).and_then(|rest| rest.checked_sub(8)) {
            let (kind, len) = parsed(extension_header(&read(at, 8)?), at)?;
            if kind == END {
                break;
            }
            // Everything is in the first cluster: no overflow.
            let data = at + 8;
            if u64::from(len) > rest {
                let expected = format!("at most {rest}, where the extensions end");
                return Err(corrupt("header extension length").at(at + 4).found(len).expected(expected));
            }
            all.take(kind, at, len, budget, read)?;
            at = data + u64::from(len).next_multiple_of(8);
        }
        Ok(all)
    }

    fn take(
        &mut self,
        kind: u32,
        at: u64,
        len: u32,
        budget: &Budget,
        read: &mut dyn FnMut(u64, u64) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let once = |known: bool| if known { Err(twice(kind, at)) } else { Ok(()) };
        let data_at = at + 8;
        let repeats = match kind {
            DATA_FILE => self.data_file.is_some(),
            FEATURE_NAME_TABLE => !self.feature_names.is_empty(),
            BITMAPS => self.bitmaps.is_some(),
            _ => false,
        };
        if repeats {
            if kind == DATA_FILE {
                self.second_data_file.get_or_insert(at);
            }
            self.repeated.add(kind, at);
            return Ok(());
        }
        let mut data = || {
            budget.take(u64::from(len))?;
            read(data_at, u64::from(len))
        };
        match kind {
            BACKING_FORMAT => {
                once(self.backing_format.is_some())?;
                if len > MAX_BACKING_FORMAT {
                    return Err(wrong_length("backing file format", at, len)
                        .expected(format_args!("at most {MAX_BACKING_FORMAT}")));
                }
                self.backing_format = Some(data()?);
            }
            DATA_FILE => self.data_file = Some((data()?, data_at)),
            FEATURE_NAME_TABLE => self.feature_names = feature_names(&data()?),
            BITMAPS => {
                self.bitmaps = Some(match len {
                    24 => Ok(parsed(bitmaps(&data()?), data_at)?),
                    other => Err(other),
                });
            }
            CRYPTO_HEADER => {
                once(self.crypto_header.is_some())?;
                ensure(len == 16, || wrong_length("encryption header pointer", at, len).expected(16))?;
                self.crypto_header = Some(parsed(crypto_header(&data()?), data_at)?);
            }
            _ => self.unknown.add(kind, at),
        }
        Ok(())
    }
}

/// The error for an extension that may occur only once.
pub(crate) fn twice(kind: u32, at: u64) -> Error {
    corrupt("header extension").at(at).found_hex(kind).expected("each type at most once")
}

fn wrong_length(what: &str, at: u64, len: u32) -> Error {
    corrupt(format!("length of the {what} extension")).at(at + 4).found(len)
}

/// Returns the value of a structure that was parsed.
fn parsed<T>(result: IResult<&[u8], T>, at: u64) -> Result<T> {
    match result {
        Ok((_, value)) => Ok(value),
        Err(_) => Err(corrupt("header extension").at(at).because("it is truncated")),
    }
}

fn extension_header(bytes: &[u8]) -> IResult<&[u8], (u32, u32)> {
    (be_u32, be_u32).parse(bytes)
}

fn bitmaps(bytes: &[u8]) -> IResult<&[u8], BitmapsExtension> {
    let (rest, (count, _reserved, directory_bytes, directory_offset)) =
        (be_u32, be_u32, be_u64, be_u64).parse(bytes)?;
    Ok((rest, BitmapsExtension { count, directory_bytes, directory_offset }))
}

fn crypto_header(bytes: &[u8]) -> IResult<&[u8], CryptoHeader> {
    let (rest, (offset, bytes)) = (be_u64, be_u64).parse(bytes)?;
    Ok((rest, CryptoHeader { offset, bytes }))
}

/// Returns the whole rows of a feature name table. A name ends at its first NUL.
fn feature_names(table: &[u8]) -> Vec<FeatureName> {
    table
        .chunks_exact(FEATURE_ROW_BYTES)
        .filter_map(|row| feature_name(row).ok())
        .map(|(_, row)| row)
        .collect()
}

fn feature_name(row: &[u8]) -> IResult<&[u8], FeatureName> {
    let (rest, (kind, bit, name)) = (be_u8, be_u8, take(FEATURE_ROW_BYTES - 2)).parse(row)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    Ok((rest, FeatureName { kind, bit, name }))
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    fn extension(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Extensions> {
        Extensions::parse(0..bytes.len() as u64, &Budget::new("header", 1 << 20), &mut |at, len| {
            Ok(bytes[at as usize..(at + len) as usize].to_vec())
        })
    }

    #[test]
    fn known_extensions_are_parsed_and_others_are_skipped() {
        let mut row = [0; FEATURE_ROW_BYTES];
        row[..10].copy_from_slice(b"\x00\x05warp hole"[..10].as_ref());
        let bytes = [
            extension(0x1234_5678, b"somebody else's"),
            extension(BACKING_FORMAT, b"raw"),
            extension(FEATURE_NAME_TABLE, &row),
            extension(DATA_FILE, b"disk.data"),
            extension(END, &[]),
            vec![0xFF; 64],
        ]
        .concat();
        let all = parse(&bytes).unwrap();
        assert_eq!(all.backing_format.as_deref(), Some(&b"raw"[..]));
        assert_eq!(all.data_file.unwrap().0, b"disk.data");
        assert_eq!(all.feature_names, [FeatureName { kind: 0, bit: 5, name: b"warp hol".to_vec() }]);
    }

    #[test]
    fn list_without_an_end_mark_ends_with_its_area() {
        assert_eq!(parse(&[]).unwrap(), Extensions::default());
        assert!(parse(&extension(BACKING_FORMAT, b"qcow2")).unwrap().backing_format.is_some());
    }

    #[test]
    fn extension_that_ends_past_its_area_is_corrupt() {
        let mut bytes = extension(BACKING_FORMAT, b"raw");
        bytes[7] = 9;
        let error = parse(&bytes).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(4)));
    }

    #[test]
    fn known_type_that_occurs_twice_is_corrupt() {
        let bytes = [extension(BACKING_FORMAT, b"raw"), extension(BACKING_FORMAT, b"qcow2")].concat();
        assert_eq!(parse(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn repeated_extension_that_reading_ignores_is_counted() {
        let row = [0; FEATURE_ROW_BYTES];
        let bytes = [
            extension(FEATURE_NAME_TABLE, &row),
            extension(BITMAPS, &[0; 24]),
            extension(DATA_FILE, b"first"),
            extension(DATA_FILE, b"second"),
            extension(BITMAPS, &[1; 24]),
            extension(FEATURE_NAME_TABLE, &row),
            extension(1, &[]),
        ]
        .concat();
        let all = parse(&bytes).unwrap();
        assert_eq!(all.data_file.unwrap().0, b"first");
        assert_eq!((all.repeated.count, all.repeated.first.unwrap().0), (3, DATA_FILE));
        assert_eq!(all.second_data_file, all.repeated.first.map(|(_, at)| at));
        assert_eq!((all.unknown.count, all.unknown.first.unwrap().0), (1, 1));
    }

    #[test]
    fn bitmaps_extension_of_the_wrong_length_is_not_an_error() {
        assert_eq!(parse(&extension(BITMAPS, &[0; 23])).unwrap().bitmaps, Some(Err(23)));
    }
}
