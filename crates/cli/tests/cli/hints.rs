//! Hints: each is given where it helps, and following it works.

use std::fs;
use std::process::{Command, Stdio};

use crate::parents::{SIZE, differencing, family};
use crate::tools::{RunResult, ScratchDir, mixed_disk};

/// Checks that a run failed with a hint that contains these words.
#[track_caller]
fn hinted(run: &RunResult, words: &[&str]) {
    let hint = run.stderr.lines().nth(1).unwrap_or_default();
    assert!(run.code != 0 && hint.starts_with("hint: "), "{run:?}");
    words.iter().for_each(|word| assert!(hint.contains(word), "no {word:?} in {run:?}"));
}

/// Checks that a run failed without a hint.
#[track_caller]
fn unhinted(run: &RunResult) {
    assert_eq!((run.code, run.stderr.lines().count()), (1, 1), "{run:?}");
}

fn convert<'a>(options: &[&'a str], image: &'a str) -> Vec<&'a str> {
    [&["convert", "--force"], options, &[image, "out.raw"]].concat()
}

#[test]
fn hints_for_references_work() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let size = SIZE.to_string();
    dir.write("base.raw", &mixed_disk(SIZE));
    fs::create_dir(dir.path("elsewhere")).unwrap();
    dir.write("elsewhere/base.raw", &mixed_disk(SIZE));
    let overlay = |backing: &str| {
        let create = ["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", backing, "top.qcow2"];
        dir.img(&[&create[..], &[&size]].concat());
    };
    let works = |options: &[&str], image: &str| {
        dir.ok(&convert(options, image));
        assert!(dir.read("out.raw") == mixed_disk(SIZE), "{options:?}");
    };
    overlay("base.raw");
    hinted(&dir.run(&convert(&[], "top.qcow2")), &["use --follow", "--parent FILE"]);
    works(&["--follow"], "top.qcow2");
    works(&["--parent", "base.raw"], "top.qcow2");
    for backing in ["/nowhere/base.raw", "nowhere/base.raw", "../base.raw"] {
        overlay(backing);
        for follow in [&[][..], &["--follow"]] {
            let run = dir.run(&convert(follow, "top.qcow2"));
            hinted(&run, &["use --parent FILE", "--search-dir DIR"]);
            works(&[follow, &["--parent", "elsewhere/base.raw"]].concat(), "top.qcow2");
            works(&[follow, &["--search-dir", "elsewhere"]].concat(), "top.qcow2");
        }
    }
    overlay("nbd://localhost/disk");
    for follow in [&[][..], &["--follow"]] {
        let run = dir.run(&convert(follow, "top.qcow2"));
        hinted(&run, &["use --parent FILE to name the parent"]);
        assert!(!run.stderr.contains("--follow") && !run.stderr.contains("--search-dir"), "{run:?}");
        works(&[follow, &["--parent", "base.raw"]].concat(), "top.qcow2");
    }
}

#[test]
fn hints_for_a_lower_layer_work() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let size = SIZE.to_string();
    fs::create_dir(dir.path("elsewhere")).unwrap();
    dir.write("elsewhere/base.raw", &mixed_disk(SIZE));
    for (name, below, format) in [("mid.qcow2", "base.raw", "raw"), ("top.qcow2", "mid.qcow2", "qcow2")] {
        dir.img(&["create", "-q", "-u", "-f", "qcow2", "-b", below, "-F", format, name, &size]);
    }
    let words = ["--parent FILE (once for each layer, top first)", "--search-dir DIR"];
    hinted(&dir.run(&convert(&["--follow"], "top.qcow2")), &words);
    let works = |options: &[&str]| {
        dir.ok(&convert(options, "top.qcow2"));
        assert!(dir.read("out.raw") == mixed_disk(SIZE), "{options:?}");
    };
    works(&["--follow", "--parent", "mid.qcow2", "--parent", "elsewhere/base.raw"]);
    works(&["--follow", "--search-dir", "elsewhere"]);
    // The format of the lowest layer is not recorded.
    let mut mid = dir.read("mid.qcow2");
    let at = mid.windows(4).position(|word| word == [0xE2, 0x79, 0x2A, 0xCA]).unwrap();
    mid[at..at + 4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    dir.write("mid.qcow2", &mid);
    let found = ["--follow", "--search-dir", "elsewhere"];
    let words = ["--parent-format FORMAT (once for each layer, top first)"];
    hinted(&dir.run(&convert(&found, "top.qcow2")), &words);
    works(&[&found[..], &["--parent-format", "qcow2", "--parent-format", "raw"]].concat());
}

#[test]
fn hints_for_files_of_an_image_work() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(SIZE));
    fs::create_dir(dir.path("elsewhere")).unwrap();
    dir.img(&["convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", "disk.raw", "disk.vmdk"]);
    dir.img(&["convert", "-O", "qcow2", "-o", "data_file=data.raw", "disk.raw", "disk.qcow2"]);
    for (image, file) in [("disk.vmdk", "disk-flat.vmdk"), ("disk.qcow2", "data.raw")] {
        let works = |options: &[&str]| {
            dir.ok(&convert(options, image));
            assert!(dir.read("out.raw") == dir.read("disk.raw"), "{options:?}");
        };
        let run = dir.run(&convert(&[], image));
        hinted(&run, &["use --follow"]);
        assert!(!run.stderr.contains("--parent"), "{run:?}");
        works(&["--follow"]);
        fs::rename(dir.path(file), dir.path("elsewhere").join(file)).unwrap();
        for follow in [&[][..], &["--follow"]] {
            let run = dir.run(&convert(follow, image));
            hinted(&run, &["use --search-dir DIR"]);
            assert!(!run.stderr.contains("--parent"), "{run:?}");
            works(&[follow, &["--search-dir", "elsewhere"]].concat());
        }
    }
}

#[test]
fn hints_for_the_choice_of_a_parent_work() {
    let dir = ScratchDir::new();
    let whole = family(&dir);
    let works = |options: &[&str]| {
        let run = dir.run(&convert(options, "child.vdi"));
        assert_eq!(run.code, 0, "{run:?}");
        assert!(dir.read("out.raw") == whole, "{options:?}");
    };
    dir.write("copy.vdi", &dir.read("base.vdi"));
    hinted(&dir.run(&convert(&["--follow"], "child.vdi")), &["use --parent FILE to name the parent"]);
    works(&["--follow", "--parent", "base.vdi"]);
    dir.write("right.vdi", &dir.read("base.vdi"));
    let uuids = "uuid=11111111-1111-1111-1111-111111111111,uuid_modify=44444444-4444-4444-4444-444444444444";
    dir.ok(&["convert", "--force", "-O", "vdi", "-o", uuids, "base.raw", "wrong.vdi"]);
    let run = dir.run(&convert(&["--parent", "wrong.vdi"], "child.vdi"));
    hinted(&run, &["use --parent FILE", "or --parent-mismatch"]);
    works(&["--parent", "right.vdi"]);
    works(&["--parent", "wrong.vdi", "--parent-mismatch"]);
    // A parent that was modified since.
    differencing(&dir, 0x11, 0x33);
    hinted(&dir.run(&convert(&["--parent", "base.vdi"], "child.vdi")), &["--parent-mismatch"]);
    works(&["--parent", "base.vdi", "--parent-mismatch"]);
}

#[test]
fn hints_for_formats_work() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &b"neither a boot sector nor an image.".repeat(512));
    hinted(&dir.run(&convert(&[], "disk.raw")), &["use -f raw or --allow-raw"]);
    dir.ok(&convert(&["-f", "raw"], "disk.raw"));
    dir.ok(&convert(&["--allow-raw"], "disk.raw"));

    let mut both = vec![0; 1 << 20];
    both[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    both[32_769..32_774].copy_from_slice(b"CD001");
    dir.write("both.img", &both);
    hinted(&dir.run(&convert(&[], "both.img")), &["use -f FORMAT"]);
    assert_eq!(dir.run(&convert(&["-f", "raw"], "both.img")).code, 0);

    dir.write("partitioned.raw", &mixed_disk(SIZE));
    let gzip = Command::new("gzip").args(["-k", "partitioned.raw"]).current_dir(dir.path(".")).status();
    assert!(gzip.unwrap().success());
    hinted(&dir.run(&convert(&["--no-unwrap"], "partitioned.raw.gz")), &["omit --no-unwrap"]);
    dir.ok(&convert(&[], "partitioned.raw.gz"));

    dir.write("a:b", &mixed_disk(SIZE));
    let create = ["create", "-f", "qcow2", "-b"];
    hinted(&dir.run(&[&create[..], &["a:b", "top.qcow2"]].concat()), &["use -F FORMAT"]);
    let run = dir.run(&[&create[..], &["a:b", "-F", "raw", "top.qcow2"]].concat());
    hinted(&run, &["put ./ in front of the file name"]);
    dir.ok(&[&create[..], &["./a:b", "-F", "raw", "top.qcow2"]].concat());
}

#[test]
fn hints_for_targets_work() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(SIZE));
    dir.write("target", b"old");
    hinted(&dir.run(&["convert", "disk.raw", "target"]), &["use --force", "or choose another name"]);
    dir.ok(&["convert", "--force", "disk.raw", "target"]);
    dir.ok(&["convert", "disk.raw", "another"]);
    hinted(&dir.run(&["create", "-f", "qcow2", "target", "1M"]), &["use --force"]);
    dir.ok(&["create", "--force", "-f", "qcow2", "target", "1M"]);

    let run = dir.run(&["convert", "-c", "-O", "raw", "disk.raw", "c.img"]);
    hinted(&run, &["use -O qcow2"]);
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "c.img"]);
    hinted(
        &dir.run(&["convert", "-O", "vmdk", "disk.raw", "-"]),
        &["write to a file", "-o subformat=streamOptimized"],
    );
    dir.ok(&["convert", "-O", "vmdk", "disk.raw", "file.vmdk"]);
    dir.ok(&["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "-"]);
    hinted(&dir.run(&["convert", "-O", "qcow2", "disk.raw", "-"]), &["write to a file", "-O raw"]);
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "file.qcow2"]);
    dir.ok(&["convert", "-O", "raw", "disk.raw", "-"]);
    hinted(&dir.run(&convert(&["--max-size", "1M"], "disk.raw")), &["use --max-size SIZE"]);
    dir.ok(&convert(&["--max-size", "2M"], "disk.raw"));
}

#[test]
fn hints_for_options_of_a_target_work() {
    let dir = ScratchDir::new();
    let create = |format: &str, options: &str, size: &str| {
        let options = if options.is_empty() { vec![] } else { vec!["-o", options] };
        dir.run(&[&["create", "--force", "-f", format], &options[..], &["disk.img", size]].concat())
    };
    hinted(&create("vdi", "", "1P"), &["set block_size to 64M with -o"]);
    assert_eq!(create("vdi", "block_size=64M", "1P").code, 0);
    hinted(&create("vmdk", "grain_size=4k", "256T"), &["set grain_size to a larger size with -o"]);
    assert_eq!(create("vmdk", "grain_size=64k", "256T").code, 0);
    for many in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let run = create("vmdk", &format!("subformat={many}"), "16T");
        hinted(&run, &["set subformat to one of a single file with -o"]);
    }
    assert_eq!(create("vmdk", "subformat=monolithicSparse", "16T").code, 0);
    // No value of the option would help.
    unhinted(&create("vdi", "", "64P"));
    unhinted(&create("vdi", "block_size=64M", "64P"));
    unhinted(&create("vmdk", "", "64P"));
    unhinted(&create("vmdk", "subformat=twoGbMaxExtentSparse", "64P"));
}

#[test]
fn hint_for_a_stream_works() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(SIZE));
    dir.ok(&["convert", "-O", "vmdk", "disk.raw", "sparse.vmdk"]);
    let sparse = dir.read("sparse.vmdk");
    hinted(
        &dir.run_fed(&["convert", "--no-spool", "-", "out.raw"], &sparse),
        &["omit --no-spool", "from a file"],
    );
    assert_eq!(dir.run_fed(&["convert", "-", "out.raw"], &sparse).code, 0);
    dir.ok(&["convert", "--no-spool", "sparse.vmdk", "other.raw"]);
}

#[test]
fn hint_for_a_device_works() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(SIZE));
    let losetup = |args: &[&str]| {
        let output = Command::new("losetup").args(args).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let Some(device) = losetup(&["--show", "-r", "-f", dir.path("disk.raw").to_str().unwrap()]) else {
        eprintln!("skipped: loop devices need root");
        return;
    };
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"fullDevice\"\n\
         RW {} FLAT \"{device}\" 0\n",
        SIZE / 512
    );
    dir.write("device.vmdk", descriptor.as_bytes());
    let (refused, read) = (dir.run(&convert(&[], "device.vmdk")), dir.run(&convert(&["-f", "raw"], &device)));
    losetup(&["-d", &device]);
    hinted(&refused, &["read the device itself as a raw disk"]);
    assert_eq!(read.code, 0, "{read:?}");
    assert!(dir.read("out.raw") == dir.read("disk.raw"));
}
