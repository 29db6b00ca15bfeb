//! The table of internal snapshots.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Snapshots".

use diskimg_core::{Budget, Error, LimitKind, Limits, Remedy, Result, Snapshot, SnapshotSelector, ensure};
use nom::bytes::complete::take;
use nom::number::complete::{be_u16, be_u32, be_u64};
use nom::{IResult, Parser};

use crate::errors::{corrupt, limit, misuse};
use crate::file_window::FileWindow;
use crate::header::{Header, SECTOR};

/// The length in bytes of an entry before its variable parts.
const FIXED_BYTES: u64 = 40;
/// The maximum number of bytes of extra data. QEMU's limit (`QCOW_MAX_SNAPSHOT_EXTRA_DATA`).
const MAX_EXTRA: u64 = 1024;
/// The maximum number of bytes of the whole table. QEMU's limit (`QCOW_MAX_SNAPSHOTS_SIZE`).
const MAX_TABLE: u64 = 64 << 20;

/// An entry of the table: the snapshot and the place of its L1 table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotEntry {
    pub(crate) l1_table_offset: u64,
    pub(crate) l1_entries: u64,
    /// The byte offset of the entry in the file.
    pub(crate) at: u64,
    pub(crate) snapshot: Snapshot,
}

struct SnapshotFields {
    l1_table_offset: u64,
    l1_size: u32,
    id_len: u16,
    name_len: u16,
    date_seconds: u32,
    date_nanoseconds: u32,
    vm_clock_nanoseconds: u64,
    vm_state_size: u32,
    extra_len: u32,
}

/// The table, read one entry at a time.
pub(crate) struct SnapshotTable<'w, 'a> {
    window: &'w mut FileWindow<'a>,
    at: u64,
    end: u64,
    left: u32,
    virtual_size: u64,
}

impl<'w, 'a> SnapshotTable<'w, 'a> {
    /// The table that `header` points to, but no more entries than `limits` allow.
    pub(crate) fn new(header: &Header, limits: &Limits, window: &'w mut FileWindow<'a>) -> Self {
        Self {
            window,
            at: header.snapshots_offset,
            end: header.snapshots_offset.saturating_add(MAX_TABLE),
            left: header.snapshots.min(limits.snapshots),
            virtual_size: header.virtual_size(),
        }
    }

    /// The offset of the next entry; after the last one, the end of the table.
    pub(crate) fn offset(&self) -> u64 {
        self.at
    }

    fn entry(&mut self) -> Result<SnapshotEntry> {
        let at = self.at;
        ensure(at < self.end, || {
            limit("snapshot table").at(at).expected(format_args!("a table of at most {MAX_TABLE} bytes"))
        })?;
        let fixed = whole(fixed(self.window.read("snapshot table", at, FIXED_BYTES)?), at)?;
        let extra_len = u64::from(fixed.extra_len);
        if extra_len > MAX_EXTRA {
            return Err(corrupt("extra data size of a snapshot")
                .at(at + 36)
                .found(extra_len)
                .expected(format_args!("at most {MAX_EXTRA}")));
        }
        // No overflow: the fixed part is in the file.
        let variable = at + FIXED_BYTES;
        let len = extra_len + u64::from(fixed.id_len) + u64::from(fixed.name_len);
        let bytes = self.window.read("snapshot table", variable, len)?;
        let (extra, id, name) = whole(strings(bytes, &fixed), variable)?;
        let word = |index: usize| extra.get(index..)?.first_chunk::<8>().map(|raw| u64::from_be_bytes(*raw));
        let size = word(8).unwrap_or(self.virtual_size) & !(SECTOR - 1);
        let mut snapshot = Snapshot::new(String::from_utf8_lossy(id), String::from_utf8_lossy(name), size);
        snapshot.vm_state_size = word(0).unwrap_or(fixed.vm_state_size.into());
        snapshot.date_seconds = fixed.date_seconds;
        snapshot.date_nanoseconds = fixed.date_nanoseconds;
        snapshot.vm_clock_nanoseconds = fixed.vm_clock_nanoseconds;
        // All ones mean "not recorded".
        snapshot.icount = word(16).filter(|count| *count != u64::MAX);
        self.at = variable.saturating_add(len.next_multiple_of(8));
        let l1_entries = u64::from(fixed.l1_size);
        Ok(SnapshotEntry { l1_table_offset: fixed.l1_table_offset, l1_entries, at, snapshot })
    }
}

impl Iterator for SnapshotTable<'_, '_> {
    type Item = Result<SnapshotEntry>;

    /// Ends after the first error, because the offset of the next entry is then unknown.
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.entry();
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }
}

fn whole<T>(result: IResult<&[u8], T>, at: u64) -> Result<T> {
    match result {
        Ok((_, value)) => Ok(value),
        Err(_) => Err(corrupt("snapshot table").at(at).because("an entry is truncated")),
    }
}

fn fixed(bytes: &[u8]) -> IResult<&[u8], SnapshotFields> {
    let (rest, (l1_table_offset, l1_size, id_len, name_len)) =
        (be_u64, be_u32, be_u16, be_u16).parse(bytes)?;
    let (rest, (date_seconds, date_nanoseconds, vm_clock_nanoseconds, vm_state_size, extra_len)) =
        (be_u32, be_u32, be_u64, be_u32, be_u32).parse(rest)?;
    let fixed = SnapshotFields {
        l1_table_offset,
        l1_size,
        id_len,
        name_len,
        date_seconds,
        date_nanoseconds,
        vm_clock_nanoseconds,
        vm_state_size,
        extra_len,
    };
    Ok((rest, fixed))
}

type SnapshotStrings<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits the variable part into extra data, id and name.
fn strings<'a>(bytes: &'a [u8], fixed: &SnapshotFields) -> IResult<&'a [u8], SnapshotStrings<'a>> {
    (take(fixed.extra_len), take(fixed.id_len), take(fixed.name_len)).parse(bytes)
}

/// Returns the snapshots up to the first error, and that error.
pub(crate) fn list(
    header: &Header,
    limits: &Limits,
    budget: &Budget,
    window: &mut FileWindow<'_>,
) -> (Vec<Snapshot>, Option<Error>) {
    let mut listed = Vec::new();
    for entry in SnapshotTable::new(header, limits, window) {
        let charged = entry.and_then(|entry| {
            budget.take(entry.snapshot.id.len() as u64)?;
            budget.take(entry.snapshot.name.len() as u64)?;
            Ok(entry.snapshot)
        });
        match charged {
            Ok(snapshot) => listed.push(snapshot),
            Err(error) => return (listed, Some(error)),
        }
    }
    let over_limit = (header.snapshots > limits.snapshots).then(|| {
        let expected = format!("at most {}", limits.snapshots);
        let error = limit("nb_snapshots").at(60).found(header.snapshots).expected(expected);
        error.with_remedy(Remedy::RaiseLimit(LimitKind::Snapshots))
    });
    (listed, over_limit)
}

/// Finds a snapshot. An id takes precedence over a name.
///
/// # Errors
/// [`diskimg_core::ErrorKind::InvalidInput`] if the image has no such snapshot; the error of the table if it is
/// damaged before the snapshot is found.
pub(crate) fn find(
    header: &Header,
    limits: &Limits,
    window: &mut FileWindow<'_>,
    wanted: &SnapshotSelector,
) -> Result<SnapshotEntry> {
    let mut by_name = None;
    for entry in SnapshotTable::new(header, limits, window) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return by_name.ok_or(error),
        };
        match wanted {
            SnapshotSelector::Id(id) | SnapshotSelector::IdOrName(id) if entry.snapshot.id == *id => {
                return Ok(entry);
            }
            SnapshotSelector::Name(name) if entry.snapshot.name == *name => return Ok(entry),
            SnapshotSelector::IdOrName(name) if by_name.is_none() && entry.snapshot.name == *name => {
                by_name = Some(entry);
            }
            _ => {}
        }
    }
    by_name.ok_or_else(|| {
        let (SnapshotSelector::Id(text) | SnapshotSelector::Name(text) | SnapshotSelector::IdOrName(text)) =
            wanted;
        misuse("snapshot").found_name(text.as_bytes()).expected(match wanted {
            SnapshotSelector::Id(_) => "the id of a snapshot of this image",
            SnapshotSelector::Name(_) => "the name of a snapshot of this image",
            SnapshotSelector::IdOrName(_) => "the id or name of a snapshot of this image",
        })
    })
}
