//! Internal snapshots and bitmaps, valid and damaged.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{BlockSource, Detail, ErrorKind, Image as _, Limits, OpenOptions, SnapshotSelector};
use diskimg_qcow2::Qcow2;

use crate::image::{CLUSTER, COPIED, DATA, Image, L1, SIZE, assert_error, checks};

/// The offset of the snapshot table, after the data cluster.
const TABLE: u64 = DATA + CLUSTER;

struct SnapshotEntry {
    l1: u64,
    l1_entries: u32,
    extra: Vec<u64>,
    id: &'static str,
    name: &'static str,
}

impl Default for SnapshotEntry {
    fn default() -> Self {
        Self { l1: L1, l1_entries: 1, extra: vec![0, SIZE, u64::MAX], id: "1", name: "first" }
    }
}

fn with_snapshots(mut image: Image, entries: &[SnapshotEntry]) -> Image {
    image.u32(60, entries.len() as u32);
    image.u64(64, TABLE);
    assert_eq!(image.0.len() as u64, TABLE);
    for entry in entries {
        let mut raw = entry.l1.to_be_bytes().to_vec();
        raw.extend(entry.l1_entries.to_be_bytes());
        raw.extend((entry.id.len() as u16).to_be_bytes());
        raw.extend((entry.name.len() as u16).to_be_bytes());
        raw.extend(1_700_000_000_u32.to_be_bytes());
        raw.extend(5_u32.to_be_bytes());
        raw.extend(9_u64.to_be_bytes());
        raw.extend(77_u32.to_be_bytes());
        raw.extend((entry.extra.len() as u32 * 8).to_be_bytes());
        entry.extra.iter().for_each(|word| raw.extend(word.to_be_bytes()));
        raw.extend(entry.id.as_bytes());
        raw.extend(entry.name.as_bytes());
        raw.resize(raw.len().next_multiple_of(8), 0);
        image.0.extend(raw);
    }
    image
}

fn open(image: &Image, snapshot: SnapshotSelector) -> Result<Qcow2, diskimg_core::Error> {
    image.open_with(&OpenOptions { snapshot: Some(snapshot), ..OpenOptions::default() })
}

fn id(text: &str) -> SnapshotSelector {
    SnapshotSelector::Id(text.to_owned())
}

/// Appends an L1 table, its L2 table and a cluster of 0x77, and returns the offset of the L1 table.
fn other_tables(image: &mut Image) -> u64 {
    image.0.resize(image.0.len().next_multiple_of(CLUSTER as usize), 0);
    let l1 = image.0.len() as u64;
    image.0.resize(image.0.len() + 2 * CLUSTER as usize, 0);
    image.u64(l1, COPIED | (l1 + CLUSTER));
    image.u64(l1 + CLUSTER, COPIED | (l1 + 2 * CLUSTER));
    image.0.extend([0x77; CLUSTER as usize]);
    l1
}

#[test]
fn snapshots_are_listed_with_all_their_fields() {
    let image = with_snapshots(
        Image::new(),
        &[
            SnapshotEntry { extra: vec![1 << 40, SIZE / 2, 12], ..SnapshotEntry::default() },
            SnapshotEntry { extra: vec![], id: "two", name: "", ..SnapshotEntry::default() },
        ],
    );
    let info = image.inspected();
    let [first, second] = &info.snapshots[..] else { panic!("two snapshots") };
    assert_eq!((first.id.as_str(), first.name.as_str()), ("1", "first"));
    assert_eq!((first.virtual_size, first.vm_state_size, first.icount), (SIZE / 2, 1 << 40, Some(12)));
    assert_eq!(
        (first.date_seconds, first.date_nanoseconds, first.vm_clock_nanoseconds),
        (1_700_000_000, 5, 9)
    );
    assert_eq!((second.id.as_str(), second.virtual_size, second.vm_state_size), ("two", SIZE, 77));
    assert_eq!((second.icount, checks(&info).len()), (None, 0));
}

#[test]
fn snapshot_opens_as_a_disk_with_its_own_size_and_tables() {
    let mut image = with_snapshots(
        Image::new(),
        &[
            SnapshotEntry::default(),
            SnapshotEntry { extra: vec![0, 2 * CLUSTER], id: "2", name: "1", ..SnapshotEntry::default() },
        ],
    );
    let l1 = other_tables(&mut image);
    image.u64(TABLE + 72, l1);
    let second = open(&image, SnapshotSelector::Name("1".to_owned())).unwrap();
    assert_eq!(second.info().virtual_size, 2 * CLUSTER);
    let mut bytes = vec![0x77; CLUSTER as usize];
    bytes.resize(2 * CLUSTER as usize, 0);
    source(&second, &bytes);
    let first = open(&image, SnapshotSelector::IdOrName("1".to_owned())).unwrap();
    let mut bytes = painted(0, CLUSTER as usize);
    bytes.resize(SIZE as usize, 0);
    source(&first, &bytes);
    let by_name = open(&image, SnapshotSelector::IdOrName("first".to_owned())).unwrap();
    assert_eq!(by_name.size(), SIZE);
}

#[test]
fn missing_snapshot_is_an_invalid_input() {
    let image = with_snapshots(Image::new(), &[SnapshotEntry::default()]);
    for wanted in
        [id("first"), SnapshotSelector::Name("1".to_owned()), SnapshotSelector::IdOrName("x".to_owned())]
    {
        let error = open(&image, wanted).err().unwrap();
        assert_error(&error, ErrorKind::InvalidInput, None, None);
    }
    assert_eq!(open(&Image::new(), id("1")).err().unwrap().kind(), ErrorKind::InvalidInput);
}

#[test]
fn snapshot_with_damaged_tables_is_rejected() {
    let table = |entry: SnapshotEntry| open(&with_snapshots(Image::new(), &[entry]), id("1")).err().unwrap();
    let small = table(SnapshotEntry { l1_entries: 0, ..SnapshotEntry::default() });
    assert_error(&small, ErrorKind::Corrupt, Some(TABLE), None);
    let huge = table(SnapshotEntry { l1_entries: u32::MAX, ..SnapshotEntry::default() });
    assert_error(&huge, ErrorKind::Limit, Some(TABLE), None);
    let unaligned = table(SnapshotEntry { l1: L1 + 8, ..SnapshotEntry::default() });
    assert_error(&unaligned, ErrorKind::Corrupt, Some(TABLE), None);
    let past_end = table(SnapshotEntry { l1: 1 << 40, ..SnapshotEntry::default() });
    assert_error(&past_end, ErrorKind::Truncated, Some(1 << 40), None);
    let large_disk = table(SnapshotEntry { extra: vec![0, u64::MAX], ..SnapshotEntry::default() });
    assert_error(&large_disk, ErrorKind::Limit, Some(TABLE), None);
}

#[test]
fn image_with_a_damaged_snapshot_table_is_readable() {
    let past_end = Image::new().with(|image| {
        image.u32(60, 3);
        image.u64(64, 1 << 40);
    });
    let many = Image::new().with(|image| {
        image.u32(60, u32::MAX);
        image.u64(64, DATA);
    });
    let extra = with_snapshots(Image::new(), &[SnapshotEntry::default()])
        .with(|image| image.u32(TABLE + 36, u32::MAX));
    for image in [past_end, many, extra] {
        let disk = image.open().unwrap();
        let mut bytes = [0; 512];
        disk.read_at(0, &mut bytes).unwrap();
        assert_eq!(bytes[..], painted(0, 512));
        assert_eq!(checks(disk.info()), ["snapshots"]);
        let kind = open(&image, id("1")).err().unwrap().kind();
        assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Truncated), "{kind}");
    }
}

#[test]
fn snapshots_before_the_damage_are_listed_and_open() {
    let image = with_snapshots(
        Image::new(),
        &[SnapshotEntry::default(), SnapshotEntry { id: "2", ..SnapshotEntry::default() }],
    )
    .with(|image| image.0.truncate(TABLE as usize + 100));
    let info = image.inspected();
    assert_eq!((info.snapshots.len(), checks(&info)), (1, vec!["snapshots"]));
    assert!(open(&image, id("1")).is_ok());
    assert_eq!(open(&image, id("2")).err().unwrap().kind(), ErrorKind::Truncated);
}

#[test]
fn snapshots_over_the_limits_are_not_listed() {
    let name = "a name of fifty bytes, so two exceed the limit....";
    let image = with_snapshots(
        Image::new(),
        &[
            SnapshotEntry { name, ..SnapshotEntry::default() },
            SnapshotEntry { id: "2", name, ..SnapshotEntry::default() },
        ],
    );
    for limits in
        [Limits { snapshots: 1, ..Limits::default() }, Limits { header_bytes: 100, ..Limits::default() }]
    {
        let disk = image.open_with(&OpenOptions { limits, ..OpenOptions::default() });
        let disk = disk.unwrap();
        assert!(disk.info().snapshots.len() < 2);
        assert_eq!(checks(disk.info()), ["snapshots"]);
    }
}

#[test]
fn unaligned_snapshot_table_is_corrupt_even_without_snapshots() {
    let error = Image::new().with(|image| image.u64(64, 8)).refused();
    assert_error(&error, ErrorKind::Corrupt, Some(64), None);
}

/// An image with a directory of two bitmaps after the data cluster.
fn with_bitmaps(directory_bytes: u64) -> Image {
    let mut entry = vec![0; 16];
    entry[15] = 2;
    entry.extend([1, 16, 0, 2, 0, 0, 0, 0]);
    entry.extend(b"b0\0\0\0\0\0\0");
    let mut second = entry.clone();
    second[15] = 1;
    second[17] = 31;
    let mut extension = [0_u8; 24];
    extension[3] = 2;
    extension[8..16].copy_from_slice(&directory_bytes.to_be_bytes());
    extension[16..].copy_from_slice(&TABLE.to_be_bytes());
    Image::new().with(|image| {
        image.u64(88, 1);
        image.extension(104, 0x2385_2875, &extension);
        image.0.extend([entry, second].concat());
    })
}

fn bitmaps(image: &Image) -> Option<Detail> {
    let details = image.inspected().details;
    details.into_iter().find(|(name, _)| name == "bitmaps").map(|(_, detail)| detail)
}

#[test]
fn bitmaps_are_listed_for_information() {
    let Some(Detail::List(listed)) = bitmaps(&with_bitmaps(64)) else { panic!("a list") };
    let text = |text: &str| Detail::Text(text.to_owned());
    let entry = |flag: &str, granularity| {
        Detail::Table(vec![
            ("flags".to_owned(), Detail::List(vec![text(flag)])),
            ("name".to_owned(), text("b0")),
            ("granularity".to_owned(), Detail::Number(granularity)),
        ])
    };
    assert_eq!(listed, [entry("auto", 65_536), entry("in-use", 1 << 31)]);
}

#[test]
fn damaged_bitmaps_are_ignored_with_a_warning() {
    let wrong_length = Image::new().with(|image| {
        image.u64(88, 1);
        image.extension(104, 0x2385_2875, &[0; 8]);
    });
    let none = Image::new().with(|image| image.u64(88, 1));
    let far = with_bitmaps(64).with(|image| image.u64(104 + 8 + 16, 1 << 60));
    let count = with_bitmaps(64).with(|image| image.u32(104 + 8, u32::MAX));
    for image in [wrong_length, none, far, count, with_bitmaps(40)] {
        assert_eq!(checks(&image.inspected()), ["bitmaps"]);
        assert_eq!(bitmaps(&image), None);
        assert!(image.open().is_ok());
    }
    let stale = with_bitmaps(64).with(|image| image.u64(88, 0));
    assert_eq!((bitmaps(&stale), checks(&stale.inspected()).len()), (None, 0));
}
