//! `convert -S SIZE`: the shortest run of zeros that becomes a hole.
#![cfg(target_os = "linux")]

use crate::tools::ScratchDir;

/// The ranges of a raw disk that its file has no blocks for.
fn holes(dir: &ScratchDir, name: &str) -> Vec<(u64, u64)> {
    let map = dir.ok(&["map", "--json", "-f", "raw", name]).json();
    let extents = map.as_array().unwrap().iter().filter(|extent| extent["data"] == false);
    extents.map(|extent| (extent["start"].as_u64().unwrap(), extent["length"].as_u64().unwrap())).collect()
}

#[test]
fn shortest_run_of_zeros_that_becomes_a_hole_is_any_multiple_of_512() {
    let dir = ScratchDir::new();
    let mut disk = vec![1; 48 << 20];
    disk[16 << 10..24 << 10].fill(0);
    disk[64 << 10..76 << 10].fill(0);
    disk[1 << 20..4 << 20].fill(0);
    disk[16 << 20..32 << 20].fill(0);
    dir.write("disk.raw", &disk);
    let (short, middle, long, longest) =
        ((16 << 10, 8 << 10), (64 << 10, 12 << 10), (1 << 20, 3 << 20), (16 << 20, 16 << 20));
    for (least, expected) in [
        ("8k", &[short, middle, long, longest][..]),
        ("12k", &[middle, long, longest]),
        ("3k", &[short, middle, long, longest]),
        ("13k", &[long, longest]),
        ("16M", &[longest]),
    ] {
        dir.ok(&["convert", "--force", "-f", "raw", "-S", least, "-m", "3", "disk.raw", "out.raw"]);
        dir.settle();
        assert!(dir.read("out.raw") == disk, "{least}");
        let found = holes(&dir, "out.raw");
        let overlaps = |(start, len): (u64, u64)| {
            found.iter().any(|hole| hole.0 < start + len && start < hole.0 + hole.1)
        };
        for run in [short, middle, long, longest] {
            assert_eq!(overlaps(run), expected.contains(&run), "-S {least}: {run:?} in {found:?}");
        }
    }
    for invalid in ["1", "511", "1000", "16777728", "1G", "-1", "x"] {
        assert_eq!(
            dir.run(&["convert", "-f", "raw", "-S", invalid, "disk.raw", "no.raw"]).code,
            1,
            "{invalid}"
        );
    }
    assert!(!dir.exists("no.raw"));
}

#[test]
fn zeros_shorter_than_the_search_are_data_in_an_image() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let mut disk = vec![1; 4 << 20];
    disk[256 << 10..320 << 10].fill(0);
    disk[1 << 20..3 << 20].fill(0);
    dir.write("disk.raw", &disk);
    for (format, options) in [
        ("qcow2", "cluster_size=64k"),
        ("qcow2", "cluster_size=4k,extended_l2=off"),
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=twoGbMaxExtentSparse"),
    ] {
        for least in ["4k", "64k", "1M", "96k"] {
            let target = format!("out.{format}");
            dir.ok(&[
                "convert", "--force", "-f", "raw", "-S", least, "-O", format, "-o", options, "disk.raw",
                &target,
            ]);
            dir.img(&["compare", "-q", "-f", "raw", "-F", format, "disk.raw", &target]);
            let map = dir.ok(&["map", "--json", "--follow", "-f", format, &target]).json();
            let holes: Vec<u64> = map
                .as_array()
                .unwrap()
                .iter()
                .filter(|extent| extent["data"] == false)
                .map(|extent| extent["length"].as_u64().unwrap())
                .collect();
            let expected: &[u64] =
                if ["4k", "64k"].contains(&least) { &[64 << 10, 2 << 20] } else { &[2 << 20] };
            assert_eq!(holes, expected, "{format} {options} -S {least}");
        }
    }
}
