//! The files that an image refers to: what the user chooses, and names that lead back into the image's directory.

use std::fs;
use std::os::unix::fs::symlink;

use crate::parents::{SIZE, family};
use crate::tools::{RunResult, ScratchDir, mixed_disk};

/// Runs every command that reads a disk through its chain, and compares the content with `whole`.
#[track_caller]
fn reads(dir: &ScratchDir, options: &[&str], image: &str, whole: &[u8]) {
    dir.write("whole.raw", whole);
    let with = |command: &str, rest: &[&str]| dir.run(&[&[command], options, rest].concat());
    let succeeded = |run: RunResult| {
        assert_eq!(run.code, 0, "{options:?}: {run:?}");
        run
    };
    succeeded(with("convert", &["--force", image, "out.raw"]));
    assert!(dir.read("out.raw") == whole, "{options:?}");
    assert!(succeeded(with("cat", &[image])).stdout == whole, "{options:?}");
    succeeded(with("compare", &[image, "-F", "raw", "whole.raw"]));
    let rows = succeeded(with("map", &["--output=json", image])).json();
    assert!(rows.as_array().unwrap().iter().any(|row| row["depth"] == 1), "{rows}");
    succeeded(with("measure", &["-O", "qcow2", image]));
    succeeded(with("check", &[image]));
    let chain = succeeded(with("info", &["--backing-chain", "--output=json", image])).json();
    assert!(chain.as_array().unwrap().len() >= 2, "{chain}");
}

/// Creates `images/base.qcow2`, and an overlay with data of its own whose backing file has this name. Returns the content
/// of the overlay.
fn overlay(dir: &ScratchDir, backing: &str, image: &str) -> Vec<u8> {
    let _ = fs::create_dir(dir.path("images"));
    if !dir.exists("images/base.qcow2") {
        dir.write("base.raw", &mixed_disk(SIZE));
        dir.img(&["convert", "-O", "qcow2", "base.raw", "images/base.qcow2"]);
    }
    let size = SIZE.to_string();
    dir.img(&["create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2", image, &size]);
    dir.img(&["rebase", "-u", "-f", "qcow2", "-b", "", image]);
    dir.io(image, &["write -P 7 64k 64k"]);
    dir.img(&["rebase", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2", image]);
    let mut whole = mixed_disk(SIZE);
    whole[64 << 10..128 << 10].fill(7);
    whole
}

#[test]
fn backing_name_that_leads_back_into_the_directory_is_followed() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let _ = fs::create_dir(dir.path("images"));
    fs::create_dir(dir.path("images/sub")).unwrap();
    symlink(dir.path("images"), dir.path("link")).unwrap();
    let full = |name: &str| dir.path(name).to_str().unwrap().to_owned();
    for backing in [
        full("images/base.qcow2"),
        full("images/../images/base.qcow2"),
        full("images/sub/../base.qcow2"),
        full("link/base.qcow2"),
        format!("file:{}", full("images/base.qcow2")),
        "file:images/base.qcow2".to_owned(),
        "../images/base.qcow2".to_owned(),
        "./sub/../base.qcow2".to_owned(),
    ] {
        let whole = overlay(&dir, &backing, "images/top.qcow2");
        dir.img(&["convert", "-O", "raw", "images/top.qcow2", "oracle.raw"]);
        assert!(dir.read("oracle.raw") == whole, "{backing}");
        reads(&dir, &["--follow"], "images/top.qcow2", &whole);
        reads(&dir, &["--follow"], "link/top.qcow2", &whole);
        // Nothing is followed without the option. Links are not read to find out if the option would help.
        let hint = if backing.contains("/link/") { "--parent FILE" } else { "use --follow" };
        let run = dir.run(&["convert", "images/top.qcow2", "none.raw"]);
        run.fails_with(1, &["backing file", hint]);
    }
}

#[test]
fn backing_name_outside_of_the_directory_is_followed_only_to_a_named_directory() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    fs::create_dir(dir.path("other")).unwrap();
    for backing in ["/nowhere/base.qcow2", "../nowhere/base.qcow2", "base.qcow2"] {
        let whole = overlay(&dir, backing, "other/top.qcow2");
        for options in [&[][..], &["--follow"]] {
            let run = dir.run(&[&["convert"], options, &["other/top.qcow2", "none.raw"]].concat());
            run.fails_with(1, &["backing file", "base.qcow2", "--parent FILE", "--search-dir DIR"]);
        }
        reads(&dir, &["--search-dir", "images"], "other/top.qcow2", &whole);
        reads(
            &dir,
            &["--follow", "--search-dir", "other", "--search-dir", "images"],
            "other/top.qcow2",
            &whole,
        );
        reads(&dir, &["--parent", "images/base.qcow2"], "other/top.qcow2", &whole);
    }
    // A named directory comes before the image's own.
    let whole = overlay(&dir, "base.qcow2", "other/top.qcow2");
    dir.img(&["create", "-q", "-f", "qcow2", "other/base.qcow2", &SIZE.to_string()]);
    reads(&dir, &["--follow", "--search-dir", "images"], "other/top.qcow2", &whole);
}

#[test]
fn snapshots_of_virtualbox_are_read_with_a_parent_or_a_directory() {
    let dir = ScratchDir::new();
    let whole = family(&dir);
    fs::create_dir(dir.path("Snapshots")).unwrap();
    fs::rename(dir.path("base.vdi"), dir.path("disk.vdi")).unwrap();
    let snapshot = "Snapshots/{33333333-3333-3333-3333-333333333333}.vdi";
    fs::rename(dir.path("child.vdi"), dir.path(snapshot)).unwrap();
    let wanted = "11111111-1111-1111-1111-111111111111";
    dir.run(&["convert", snapshot, "none.raw"]).fails_with(1, &[snapshot, wanted, "--parent FILE"]);
    let words = [snapshot, wanted, "--parent FILE", "--search-dir DIR"];
    dir.run(&["convert", "--follow", snapshot, "none.raw"]).fails_with(1, &words);
    dir.run(&["info", "--backing-chain", "--follow", snapshot]).fails_with(1, &words);
    reads(&dir, &["--parent", "disk.vdi"], snapshot, &whole);
    reads(&dir, &["--search-dir", "."], snapshot, &whole);
    reads(&dir, &["--follow", "--search-dir", "."], snapshot, &whole);
    let info = dir.ok(&["info", "--output=json", snapshot]).json();
    assert_eq!(info["diskimg"]["references"][0]["uuid"], wanted);
}

#[test]
fn names_below_a_given_parent_are_looked_for_beside_it() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let mut whole = overlay(&dir, "base.qcow2", "images/mid.qcow2");
    fs::create_dir(dir.path("tops")).unwrap();
    let create = ["create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "lost.qcow2"];
    dir.img(&[&create[..], &["tops/top.qcow2", &SIZE.to_string()]].concat());
    dir.write("tops/base.qcow2", b"a file of the same name beside the top is not it");
    whole[64 << 10..128 << 10].fill(7);
    reads(&dir, &["--follow", "--parent", "images/mid.qcow2"], "tops/top.qcow2", &whole);
    reads(&dir, &["--parent", "images/mid.qcow2", "--parent", "images/base.qcow2"], "tops/top.qcow2", &whole);
    // Without --follow no name is followed, and the error names the layer.
    for command in [&["convert"][..], &["info", "--backing-chain"], &["map"]] {
        let args = [command, &["--parent", "images/mid.qcow2", "tops/top.qcow2"]].concat();
        let args = if command == ["convert"] { [&args[..], &["none.raw"]].concat() } else { args };
        let words = ["tops/top.qcow2", "layer \"images/mid.qcow2\"", "base.qcow2", "--follow"];
        dir.run(&args).fails_with(1, &words);
    }
    let chain = ["info", "--backing-chain", "--output=json", "--follow", "--parent", "images/mid.qcow2"];
    let chain = dir.ok(&[&chain[..], &["tops/top.qcow2"]].concat()).json();
    let names: Vec<&str> =
        chain.as_array().unwrap().iter().map(|image| image["filename"].as_str().unwrap()).collect();
    assert_eq!(names, ["tops/top.qcow2", "images/mid.qcow2", "images/base.qcow2"]);
    let map = ["map", "--follow", "--parent", "images/mid.qcow2", "tops/top.qcow2"];
    let text = dir.ok(&map).text().to_owned();
    assert!(text.contains("images/mid.qcow2\n") && text.contains("images/base.qcow2\n"), "{text}");
}

#[test]
fn given_format_of_a_parent_wins_over_the_recorded_one() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let whole = overlay(&dir, "base.qcow2", "images/top.qcow2");
    let good = dir.read("images/top.qcow2");
    let at = good.windows(4).position(|word| word == [0xE2, 0x79, 0x2A, 0xCA]).unwrap();
    let mut silent = good.clone();
    // A header extension of an unknown type instead of the one with the format.
    silent[at..at + 4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    let mut wrong = good;
    let name = wrong.windows(5).position(|word| word == b"qcow2").unwrap();
    wrong[name..name + 5].copy_from_slice(b"bochs");
    for (image, bytes) in [("images/silent.qcow2", &silent), ("images/wrong.qcow2", &wrong)] {
        dir.write(image, bytes);
        let run = dir.run(&["convert", "--follow", image, "none.raw"]);
        run.fails_with(1, &[image]);
        for parent in [&["--follow"][..], &["--parent", "images/base.qcow2"]] {
            reads(&dir, &[parent, &["--parent-format", "qcow2"]].concat(), image, &whole);
        }
    }
    dir.run(&["convert", "--follow", "images/silent.qcow2", "none.raw"])
        .fails_with(1, &["--parent-format FORMAT"]);
    let twice = ["convert", "--follow", "--parent-format", "qcow2", "--parent-format", "raw"];
    let run = dir.run(&[&twice[..], &["images/top.qcow2", "none.raw"]].concat());
    run.fails_with(1, &["format of the parent is 2 formats, expected at most 1"]);
    assert!(!dir.exists("none.raw"));
}

#[test]
fn parent_with_another_identity_is_refused_unless_it_is_allowed() {
    let dir = ScratchDir::new();
    let whole = family(&dir);
    crate::parents::differencing(&dir, 0x11, 0x33);
    let commands: [&[&str]; 6] = [
        &["convert", "child.vdi", "out.raw"],
        &["cat", "child.vdi"],
        &["map", "child.vdi"],
        &["measure", "child.vdi"],
        &["check", "child.vdi"],
        &["info", "--backing-chain", "child.vdi"],
    ];
    for command in commands {
        let args = [command, &["--parent", "base.vdi"]].concat();
        let words = ["child.vdi", "\"base.vdi\" is another image", "33333333", "--parent-mismatch"];
        dir.run(&args).fails_with(1, &words);
        assert_eq!(dir.exists("out.raw"), command[0] != "convert");
        let run = dir.run(&[&args[..], &["--parent-mismatch"]].concat());
        assert_eq!(run.code, 0, "{run:?}");
        let is_described = ["info", "map"].contains(&command[0]);
        assert!(
            is_described || run.stderr.contains("warning: vdi: modification UUID of the parent"),
            "{run:?}"
        );
    }
    let strict =
        ["convert", "--strict", "--parent", "base.vdi", "--parent-mismatch", "child.vdi", "none.raw"];
    dir.run(&strict).fails_with(1, &["parent", "strict"]);
    assert!(dir.read("out.raw") == whole);
    let args = ["info", "--backing-chain", "--parent", "base.vdi", "--parent-mismatch", "child.vdi"];
    assert!(dir.run(&args).text().contains("warning: vdi: modification UUID of the parent"));
}

#[test]
fn each_side_of_a_comparison_may_have_its_own_parent() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let whole = overlay(&dir, "lost.qcow2", "images/one.qcow2");
    overlay(&dir, "lost.qcow2", "images/two.qcow2");
    let mut other = whole;
    other[SIZE - 1] ^= 1;
    dir.write("other.raw", &other);
    let parents = ["--parent", "images/base.qcow2", "--second-parent", "other.raw"];
    let compare = |parents: &[&str]| {
        dir.run(&[&["compare"], parents, &["images/one.qcow2", "images/two.qcow2"]].concat())
    };
    assert_eq!(compare(&parents[..2]).code, 0);
    // The format of the layer is that of both sides.
    compare(&parents).fails_with(2, &["images/two.qcow2", "other.raw"]);
    dir.img(&["convert", "-f", "raw", "-O", "qcow2", "other.raw", "other.qcow2"]);
    let run = compare(&["--parent", "images/base.qcow2", "--second-parent", "other.qcow2"]);
    assert_eq!((run.code, run.text().contains("Content mismatch at offset")), (1, true), "{run:?}");
}

#[test]
fn image_on_standard_input_has_no_directory() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let whole = overlay(&dir, "base.qcow2", "images/top.qcow2");
    let image = dir.read("images/top.qcow2");
    for options in [&[][..], &["--follow"]] {
        let run = dir.run_fed(&[&["convert"], options, &["-", "none.raw"]].concat(), &image);
        run.fails_with(1, &["base.qcow2", "--parent FILE", "--search-dir DIR"]);
        assert!(!run.stderr.contains("--follow"), "{run:?}");
    }
    for options in [["--parent", "images/base.qcow2"], ["--search-dir", "images"]] {
        let run = dir.run_fed(&[&["convert", "--force"], &options[..], &["-", "out.raw"]].concat(), &image);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert!(dir.read("out.raw") == whole);
    }
}

/// Writes a copy of a VMDK whose descriptor names another parent.
fn renamed_parent(dir: &ScratchDir, image: &str, parent: &str, copy: &str) {
    let mut bytes = dir.read(image);
    let find = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).position(|found| found == word).unwrap();
    let start = find(&bytes, b"parentFileNameHint=\"") + 20;
    let end = start + find(&bytes[start..], b"\"");
    // The descriptor ends with zeros up to the end of its sectors.
    let zeros = end + find(&bytes[end..], &[0; 128]);
    let rest = bytes[end..zeros].to_vec();
    let at = start + parent.len();
    bytes[start..at].copy_from_slice(parent.as_bytes());
    bytes[at..zeros + 128].fill(0);
    bytes[at..at + rest.len()].copy_from_slice(&rest);
    dir.write(copy, &bytes);
}

#[test]
fn windows_name_of_a_parent_is_found_beside_the_image() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("base.raw", &mixed_disk(SIZE));
    fs::create_dir_all(dir.path("vm/sub")).unwrap();
    dir.img(&["convert", "-f", "raw", "-O", "vmdk", "base.raw", "vm/base.vmdk"]);
    dir.img(&["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "vm/child.vmdk"]);
    dir.io_as("vmdk", "vm/child.vmdk", &["write -P 7 64k 64k"]);
    dir.img(&["convert", "-f", "vmdk", "-O", "raw", "vm/child.vmdk", "oracle.raw"]);
    let whole = dir.read("oracle.raw");
    let inside = |parent: &str| {
        renamed_parent(&dir, "vm/child.vmdk", parent, "vm/copy.vmdk");
        reads(&dir, &["--follow"], "vm/copy.vmdk", &whole);
    };
    for parent in [r"C:\vms\base.vmdk", r"..\base.vmdk", r"\\host\vms\base.vmdk", "/vmfs/volumes/1/base.vmdk"]
    {
        inside(parent);
    }
    fs::rename(dir.path("vm/base.vmdk"), dir.path("vm/sub/base.vmdk")).unwrap();
    inside(r"sub\base.vmdk");
    inside(r".\sub\..\sub\base.vmdk");
    // Another image of that name is not the parent.
    let mut other = dir.read("vm/sub/base.vmdk");
    let cid = other.windows(5).position(|word| word == b"\nCID=").unwrap() + 5;
    other[cid..cid + 8].copy_from_slice(b"01234567");
    dir.write("vm/base.vmdk", &other);
    renamed_parent(&dir, "vm/child.vmdk", r"C:\vms\base.vmdk", "vm/copy.vmdk");
    let run = dir.run(&["convert", "--follow", "vm/copy.vmdk", "none.raw"]);
    run.fails_with(1, &["content id of the parent", "base.vmdk", "01234567", "--parent-mismatch"]);
    fs::remove_file(dir.path("vm/base.vmdk")).unwrap();
    let run = dir.run(&["convert", "--follow", "vm/copy.vmdk", "none.raw"]);
    run.fails_with(1, &["parent", r"C:\\vms\\base.vmdk", "--parent FILE", "--search-dir DIR"]);
    reads(&dir, &["--search-dir", "vm/sub"], "vm/copy.vmdk", &whole);
}

#[test]
fn extents_of_a_given_parent_are_beside_it() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("base.raw", &mixed_disk(SIZE));
    fs::create_dir(dir.path("bases")).unwrap();
    dir.img(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "vmdk",
        "-o",
        "subformat=monolithicFlat",
        "base.raw",
        "bases/base.vmdk",
    ]);
    dir.img(&["create", "-q", "-f", "vmdk", "-b", "bases/base.vmdk", "-F", "vmdk", "child.vmdk"]);
    dir.io_as("vmdk", "child.vmdk", &["write -P 7 64k 64k"]);
    dir.img(&["convert", "-f", "vmdk", "-O", "raw", "child.vmdk", "oracle.raw"]);
    let whole = dir.read("oracle.raw");
    reads(&dir, &["--follow"], "child.vmdk", &whole);
    fs::rename(dir.path("bases"), dir.path("moved")).unwrap();
    reads(&dir, &["--follow", "--parent", "moved/base.vmdk"], "child.vmdk", &whole);
    reads(&dir, &["--search-dir", "moved"], "child.vmdk", &whole);
    let run = dir.run(&["convert", "--parent", "moved/base.vmdk", "child.vmdk", "none.raw"]);
    run.fails_with(1, &["child.vmdk", "layer \"moved/base.vmdk\"", "extent", "base-flat.vmdk", "--follow"]);
}
