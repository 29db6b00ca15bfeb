//! The LUKS header of an encrypted image, read for information only.
//!
//! Sources: QEMU `docs/interop/qcow2.txt`, "Full disk encryption header pointer"; LUKS1 On-Disk Format
//! Specification 1.2.3, section 2.1 and figure 1.

use diskimg_core::{Detail, Result};
use nom::bytes::complete::{tag, take};
use nom::multi::count;
use nom::number::complete::be_u32;
use nom::{IResult, Parser};

use crate::errors::corrupt;
use crate::extensions::CryptoHeader;
use crate::file_window::FileWindow;

/// The length in bytes of the header with its key slots.
const HEADER_BYTES: u64 = 592;
/// The number of key slots.
const KEY_SLOTS: usize = 8;
/// The state of a slot that contains a key.
const ACTIVE: u32 = 0x00AC_71F3;
/// The unit of offsets, in bytes.
const SECTOR: u64 = 512;

#[derive(Debug)]
struct LuksHeader<'a> {
    cipher_name: &'a [u8],
    cipher_mode: &'a [u8],
    hash: &'a [u8],
    payload_sectors: u32,
    key_bytes: u32,
    iterations: u32,
    uuid: &'a [u8],
    slots: Vec<LuksKeySlot>,
}

#[derive(Debug)]
struct LuksKeySlot {
    state: u32,
    iterations: u32,
    key_sectors: u32,
    stripes: u32,
}

/// Returns what `qemu-img info` reports about a LUKS header, in its order. Nothing of it is secret.
///
/// # Errors
/// If the file has no LUKS header of version 1 at that offset.
pub(crate) fn details(at: CryptoHeader, window: &mut FileWindow<'_>) -> Result<Vec<(String, Detail)>> {
    let bytes = window.read("LUKS header", at.offset, HEADER_BYTES)?;
    let (_, luks) = luks(bytes)
        .map_err(|_| corrupt("LUKS header").at(at.offset).because("it is not a header of version 1"))?;
    let text = |bytes: &[u8]| Detail::Text(String::from_utf8_lossy(bytes).into_owned());
    let (mode, generator) = split(luks.cipher_mode, b'-');
    let (generator, generator_hash) = split(generator, b':');
    let mut all = vec![("ivgen-alg", text(generator)), ("detached-header", Detail::Flag(false))];
    all.push(("hash-alg", text(luks.hash)));
    all.push(("cipher-alg", Detail::Text(cipher(luks.cipher_name, mode, luks.key_bytes))));
    all.push(("uuid", text(luks.uuid)));
    if !generator_hash.is_empty() {
        all.push(("ivgen-hash-alg", text(generator_hash)));
    }
    all.push(("format", text(b"luks")));
    all.push(("cipher-mode", text(mode)));
    all.push(("slots", Detail::List(luks.slots.iter().map(slot_detail).collect())));
    all.push(("payload-offset", sectors(luks.payload_sectors)));
    all.push(("master-key-iters", Detail::Number(luks.iterations.into())));
    Ok(all.into_iter().map(|(name, detail)| (name.to_owned(), detail)).collect())
}

fn sectors(count: u32) -> Detail {
    Detail::Number(u64::from(count) * SECTOR)
}

/// Returns QEMU's name of a cipher. It contains the bits of one key, and XTS has two keys.
fn cipher(name: &[u8], mode: &[u8], key_bytes: u32) -> String {
    let keys = if mode == b"xts" { 2 } else { 1 };
    format!("{}-{}", String::from_utf8_lossy(name), u64::from(key_bytes) * 8 / keys)
}

fn slot_detail(slot: &LuksKeySlot) -> Detail {
    let active = slot.state == ACTIVE;
    let mut rows = vec![("active".to_owned(), Detail::Flag(active))];
    if active {
        rows.push(("iters".to_owned(), Detail::Number(slot.iterations.into())));
    }
    rows.push(("key-offset".to_owned(), sectors(slot.key_sectors)));
    if active {
        rows.push(("stripes".to_owned(), Detail::Number(slot.stripes.into())));
    }
    Detail::Table(rows)
}

/// Splits `bytes` at the first `mark`.
fn split(bytes: &[u8], mark: u8) -> (&[u8], &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == mark);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn luks(bytes: &[u8]) -> IResult<&[u8], LuksHeader<'_>> {
    let (rest, _) = tag(&b"LUKS\xba\xbe\x00\x01"[..])(bytes)?;
    let (rest, (cipher_name, cipher_mode, hash)) = (string(32), string(32), string(32)).parse(rest)?;
    let (rest, (payload_sectors, key_bytes, _digest, iterations, uuid)) =
        (be_u32, be_u32, take(52_usize), be_u32, string(40)).parse(rest)?;
    let (rest, slots) = count(key_slot, KEY_SLOTS).parse(rest)?;
    let luks =
        LuksHeader { cipher_name, cipher_mode, hash, payload_sectors, key_bytes, iterations, uuid, slots };
    Ok((rest, luks))
}

fn key_slot(bytes: &[u8]) -> IResult<&[u8], LuksKeySlot> {
    let (rest, (state, iterations, _salt, key_sectors, stripes)) =
        (be_u32, be_u32, take(32_usize), be_u32, be_u32).parse(bytes)?;
    Ok((rest, LuksKeySlot { state, iterations, key_sectors, stripes }))
}

/// Parses a string of `len` bytes that ends at the first NUL.
fn string<'a>(len: usize) -> impl Parser<&'a [u8], Output = &'a [u8], Error = nom::error::Error<&'a [u8]>> {
    take(len).map(|bytes| split(bytes, 0).0)
}
