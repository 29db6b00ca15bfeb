//! What a conversion will take up, told before it: as `qemu-img measure` tells it, and never less than it takes.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::{Path, PathBuf};

use common::{have_qemu, run};
use diskimg::{BlockSource, ConvertOptions, Format, Opener, Setting, Target, convert};

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
    let mut target = Target::file(path, Format::new("qcow2"));
    target.settings = Setting::parse_list(settings).unwrap();
    target.durable = false;
    target
}

#[test]
fn measures_are_those_of_qemu_img() {
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
fn no_conversion_takes_more_than_it_was_measured_to() {
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
