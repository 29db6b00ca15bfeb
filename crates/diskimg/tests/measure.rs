//! The measured size of a conversion is that of `qemu-img measure` and never less than the actual size. It is exact if
//! the layout and the data determine it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::ops::Range;
use std::path::{Path, PathBuf};

use common::{have_qemu, run};
use diskimg::core::Measured;
use diskimg::{
    BlockSource, ConvertOptions, Extent, ExtentKind, Format, Opener, Result, Setting, Target, convert,
};

const SETTINGS: [&str; 7] = [
    "",
    "cluster_size=512",
    "cluster_size=2M",
    "extended_l2=on",
    "cluster_size=16k,extended_l2=on,refcount_bits=1",
    "refcount_bits=64,cluster_size=1k",
    "compat=0.10",
];

fn images() -> Vec<PathBuf> {
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/images/good");
    [
        "mixed.qcow2",
        "zeros.qcow2",
        "large-sparse.qcow2",
        "preallocated.qcow2",
        "one-sector.qcow2",
        "deflate.qcow2",
    ]
    .map(|name| good.join(name))
    .to_vec()
}

fn target(path: &Path, settings: &str) -> Target {
    target_of("qcow2", path, settings)
}

fn target_of(format: &'static str, path: &Path, settings: &str) -> Target {
    let mut target = Target::file(path, Format::new(format));
    target.settings = Setting::parse_list(settings).unwrap();
    target.durable = false;
    target
}

#[test]
fn measure_agrees_with_qemu_img() {
    if !have_qemu() {
        return;
    }
    for image in images() {
        let disk = Opener::new().open(&image).unwrap();
        for settings in SETTINGS {
            let mut arguments = vec!["measure", "--output=json", "-O", "qcow2", "-f", "qcow2"];
            if !settings.is_empty() {
                arguments.extend(["-o", settings]);
            }
            arguments.push(image.to_str().unwrap());
            let output = run(Path::new("."), "qemu-img", &arguments);
            let ours = target(Path::new("any"), settings).measure(&disk);
            if !output.status.success() {
                assert!(ours.is_err(), "{}: {settings}: qemu-img refuses", image.display());
                continue;
            }
            let theirs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let ours = ours.unwrap();
            let found = (Some(ours.required), Some(ours.fully_allocated));
            let expected = (theirs["required"].as_u64(), theirs["fully-allocated"].as_u64());
            assert_eq!(found, expected, "{}: {settings}", image.display());
        }
    }
}

#[test]
fn conversion_is_never_larger_than_measured() {
    let scratch = tempfile::tempdir().unwrap();
    for image in images() {
        let disk = Opener::new().open(&image).unwrap();
        for (index, settings) in SETTINGS.into_iter().enumerate() {
            let path = scratch.path().join(index.to_string());
            let mut target = target(&path, settings);
            target.overwrite = true;
            let (Ok(measured), Ok(sink)) = (target.measure(&disk), target.create(Some(disk.size()))) else {
                continue;
            };
            let mut options = ConvertOptions::default();
            options.sparse = diskimg::Sparse::Never;
            convert(&disk, sink, &options, &()).unwrap();
            let taken = std::fs::metadata(&path).unwrap().len();
            assert!(taken <= measured.required, "{}: {settings}: {taken} {measured:?}", image.display());
        }
    }
}

/// A disk of noise, which does not compress and has no zeros, and of holes.
struct Noise {
    size: u64,
    stored: Vec<Range<u64>>,
}

impl Noise {
    /// Noise at the beginning, at the end, and in ranges that do not begin or end at a unit of any size.
    fn in_places(size: u64) -> Self {
        let places =
            [0..1, 5000..5001, 65_535..65_537, 1 << 20..(1 << 20) + 4097, 3 << 30..(3 << 30) + 70_000];
        let last = size.saturating_sub(1).max(5001);
        let inside = places.into_iter().chain(std::iter::once(last..size)).filter(|place| place.end <= size);
        let mut stored: Vec<Range<u64>> = inside.filter(|place| !place.is_empty()).collect();
        stored.dedup();
        Self { size, stored }
    }

    fn everywhere(size: u64) -> Self {
        Self { size, stored: std::iter::once(0..size).collect() }
    }
}

impl BlockSource for Noise {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        for (at, byte) in (offset..).zip(buf) {
            let stored = self.stored.iter().any(|place| place.contains(&at));
            *byte = if stored { noise(at) } else { 0 };
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        let next = self.stored.iter().find(|place| range.start < place.end);
        let (end, kind) = match next {
            Some(place) if place.start <= range.start => (place.end, ExtentKind::Data),
            Some(place) => (place.start, ExtentKind::Zero),
            None => (range.end, ExtentKind::Unallocated),
        };
        Ok(Extent::new(range.start..end.min(range.end), kind))
    }
}

/// A byte other than zero, by SplitMix64.
fn noise(at: u64) -> u8 {
    let mixed = at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)).to_le_bytes()[2].max(1)
}

/// Returns the measured size of a target, and the actual size of all its files.
fn measured_and_actual(format: &'static str, settings: &str, disk: &Noise) -> (Measured, u64) {
    let scratch = tempfile::tempdir().unwrap();
    // The names of the extents, and with them the length of the descriptor, depend on this name.
    let target = target_of(format, &scratch.path().join("a longer name.vmdk"), settings);
    let measured = target.measure(disk).unwrap();
    let sink = target.create(Some(disk.size)).unwrap();
    convert(disk, sink, &ConvertOptions::default(), &()).unwrap();
    let files = std::fs::read_dir(scratch.path()).unwrap();
    (measured, files.map(|file| file.unwrap().metadata().unwrap().len()).sum())
}

const EXACT: [(&str, &str); 14] = [
    ("raw", ""),
    ("vmdk", ""),
    ("vmdk", "subformat=monolithicSparse,grain_size=4k"),
    ("vmdk", "grain_size=16k,zeroed_grain=on"),
    ("vmdk", "subformat=twoGbMaxExtentSparse"),
    ("vmdk", "subformat=twoGbMaxExtentSparse,grain_size=8k"),
    ("vmdk", "subformat=monolithicFlat"),
    ("vmdk", "subformat=twoGbMaxExtentFlat,adapter_type=lsilogic"),
    ("vmdk", "subformat=vmfs"),
    ("vdi", ""),
    ("vdi", "block_size=512"),
    ("vdi", "block_size=4M"),
    ("vdi", "subformat=fixed,block_size=64k"),
    ("vdi", "static=on"),
];

#[test]
fn vmdk_and_vdi_are_exactly_as_large_as_measured() {
    for (format, settings) in EXACT {
        for size in [1, 512, 65_536, (1 << 20) + 1, (5 << 20) + 300, (4 << 30) + 512] {
            if settings == "static=on" && size > 1 << 30 {
                continue;
            }
            let (measured, taken) = measured_and_actual(format, settings, &Noise::in_places(size));
            assert_eq!(measured.required, taken, "{format} {settings}: {size}");
            assert!(measured.required <= measured.fully_allocated, "{format} {settings}: {size}");
        }
    }
}

#[test]
fn full_disk_is_exactly_as_large_as_measured() {
    for (format, settings) in EXACT {
        let size = (5 << 20) + 300;
        let (measured, taken) = measured_and_actual(format, settings, &Noise::everywhere(size));
        assert_eq!(measured, Measured::new(taken, taken), "{format} {settings}");
        let empty = target_of(format, Path::new("a longer name.vmdk"), settings).measure_empty(size).unwrap();
        assert_eq!(empty.fully_allocated, taken, "{format} {settings}");
        assert!(empty.required <= taken, "{format} {settings}");
    }
}

#[test]
fn stream_optimized_vmdk_is_at_most_as_large_as_measured_and_not_much_smaller() {
    for settings in ["subformat=streamOptimized", "subformat=streamOptimized,grain_size=4k"] {
        for disk in [Noise::everywhere((5 << 20) + 300), Noise::in_places((4 << 30) + 512)] {
            let (measured, taken) = measured_and_actual("vmdk", settings, &disk);
            assert!(taken <= measured.required, "{settings}: {taken} of {measured:?}");
            if disk.stored.len() == 1 {
                assert!(taken > measured.required / 10 * 8, "{settings}: {taken} of {measured:?}");
            }
        }
    }
}

#[test]
fn empty_image_is_as_large_as_measured() {
    let created = |format, settings: &str| {
        let scratch = tempfile::tempdir().unwrap();
        let target = target_of(format, &scratch.path().join("a longer name.vmdk"), settings);
        target.create(Some(5 << 20)).unwrap().finish().unwrap();
        let files = std::fs::read_dir(scratch.path()).unwrap();
        let taken: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        (target.measure_empty(5 << 20).unwrap().required, taken)
    };
    for (format, settings) in EXACT {
        let (measured, taken) = created(format, settings);
        assert_eq!(measured, taken, "{format} {settings}");
    }
    let (measured, taken) = created("vmdk", "subformat=streamOptimized");
    assert_eq!(measured, taken, "no grain, no bound");
    for settings in ["", "backing_file=base,backing_fmt=raw", "compat=v2,backing_file=base,backing_fmt=raw"] {
        let (measured, taken) = created("qcow2", settings);
        assert!(taken <= measured && measured < 1 << 20, "{settings}: {taken} {measured}");
    }
}

#[test]
fn measure_refuses_what_create_refuses() {
    let refused = [
        ("raw", "cluster_size=4k", 512),
        ("qcow2", "compat=0.10,extended_l2=on", 512),
        ("vmdk", "subformat=sparse", 512),
        ("vmdk", "subformat=monolithicFlat,grain_size=5", 512),
        ("vmdk", "subformat=monolithicFlat,zeroed_grain=on", 512),
        ("vmdk", "subformat=twoGbMaxExtentFlat", 1 << 60),
        ("vmdk", "", 0),
        ("vdi", "block_size=3", 512),
        ("vdi", "", u64::MAX),
    ];
    let scratch = tempfile::tempdir().unwrap();
    for (format, settings, size) in refused {
        let target = target_of(format, &scratch.path().join("disk"), settings);
        let why = target.measure_empty(size).unwrap_err();
        let created = target.create(Some(size)).err().unwrap();
        assert_eq!(why.to_string(), created.to_string(), "{format} {settings}");
    }
    for (format, settings) in [("raw", ""), ("vdi", ""), ("vmdk", "subformat=monolithicFlat")] {
        let mut target = target_of(format, &scratch.path().join("disk"), settings);
        target.compress = true;
        assert!(target.measure_empty(512).is_err(), "{format} {settings} is not compressed");
    }
}
