//! The LUKS header of an encrypted image: what it says of ciphers and key slots, for information only.
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

/// Bytes of the header with its key slots.
const HEADER: u64 = 592;
/// Key slots of a header.
const SLOTS: usize = 8;
/// What stands in a slot that holds a key.
const ACTIVE: u32 = 0x00AC_71F3;
/// Offsets are counted in sectors of so many bytes.
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
    active: u32,
    iterations: u32,
    key_sectors: u32,
    stripes: u32,
}

/// The facts that `qemu-img info` tells of a LUKS header, in its order. Nothing secret is among them.
///
/// # Errors
/// When the file has no LUKS header of version 1 there.
pub(crate) fn details(at: CryptoHeader, window: &mut FileWindow<'_>) -> Result<Vec<(String, Detail)>> {
    let bytes = window.read("LUKS header", at.offset, HEADER)?;
    let (_, luks) = luks(bytes)
        .map_err(|_| corrupt("LUKS header").at(at.offset).because("it is not one of version 1"))?;
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
    Detail::Number(u64::from(count).saturating_mul(SECTOR))
}

/// The cipher by QEMU's name, which tells the bits of one key: XTS has two.
fn cipher(name: &[u8], mode: &[u8], key_bytes: u32) -> String {
    let keys = if mode == b"xts" { 2 } else { 1 };
    format!("{}-{}", String::from_utf8_lossy(name), u64::from(key_bytes).saturating_mul(8) / keys)
}

fn slot_detail(slot: &LuksKeySlot) -> Detail {
    let active = slot.active == ACTIVE;
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

/// What stands before and behind the first `mark`.
fn split(bytes: &[u8], mark: u8) -> (&[u8], &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == mark);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn luks(bytes: &[u8]) -> IResult<&[u8], LuksHeader<'_>> {
    let (rest, _) = tag(&b"LUKS\xba\xbe\x00\x01"[..])(bytes)?;
    let (rest, (cipher_name, cipher_mode, hash)) = (string(32), string(32), string(32)).parse(rest)?;
    let (rest, (payload_sectors, key_bytes, _digest, iterations, uuid)) =
        (be_u32, be_u32, take(52_usize), be_u32, string(40)).parse(rest)?;
    let (rest, slots) = count(slot, SLOTS).parse(rest)?;
    let luks =
        LuksHeader { cipher_name, cipher_mode, hash, payload_sectors, key_bytes, iterations, uuid, slots };
    Ok((rest, luks))
}

fn slot(bytes: &[u8]) -> IResult<&[u8], LuksKeySlot> {
    let (rest, (active, iterations, _salt, key_sectors, stripes)) =
        (be_u32, be_u32, take(32_usize), be_u32, be_u32).parse(bytes)?;
    Ok((rest, LuksKeySlot { active, iterations, key_sectors, stripes }))
}

/// `len` bytes of text, cut at the first NUL.
fn string<'a>(len: usize) -> impl Parser<&'a [u8], Output = &'a [u8], Error = nom::error::Error<&'a [u8]>> {
    take(len).map(|bytes| split(bytes, 0).0)
}
