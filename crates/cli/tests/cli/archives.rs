//! Disks in archives: OVAs, Vagrant boxes, images of clouds, and other tar files.

use std::process::Command;

use sha2::{Digest, Sha256};

use crate::tools::{ScratchDir, mixed_disk};

const SIZE: usize = 2 << 20;

/// A directory with a disk in several forms, an OVF descriptor and a text.
fn scratch() -> ScratchDir {
    let dir = ScratchDir::new();
    let mut disk = mixed_disk(SIZE);
    disk[446..510].fill(0);
    (disk[450], disk[454], disk[458], disk[510], disk[511]) = (0x83, 1, 8, 0x55, 0xAA);
    dir.write("b.raw", &disk);
    dir.write("vm.ovf", b"<Envelope/>");
    dir.write("README", b"text");
    dir.ok(&["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "b.raw", "d.vmdk"]);
    dir.ok(&["convert", "-O", "qcow2", "b.raw", "box.img"]);
    run(&dir, "gzip", &["-k", "d.vmdk", "b.raw", "README"]);
    dir
}

#[track_caller]
fn run(dir: &ScratchDir, program: &str, args: &[&str]) {
    let output = Command::new(program).current_dir(dir.path(".")).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

fn tar(dir: &ScratchDir, args: &[&str]) {
    run(dir, "tar", args);
}

/// Converts an archive as a file and as a stream, and compares the disk. `described` is the line of `probe`.
#[track_caller]
fn holds_the_disk(dir: &ScratchDir, archive: &str, options: &[&str], described: &str) {
    let expected = dir.read("b.raw");
    dir.ok(&[&["convert", "--force", archive, "out.raw"], options].concat());
    assert!(dir.read("out.raw") == expected, "{archive}");
    let bytes = dir.read(archive);
    let streamed = dir.run_fed(&[&["convert", "--force", "-", "out.raw"], options].concat(), &bytes);
    assert_eq!((streamed.code, streamed.stderr.as_str()), (0, ""), "{archive}");
    assert!(dir.read("out.raw") == expected, "{archive} streamed");
    let line = format!("{described}\n");
    assert_eq!(dir.ok(&[&["probe", archive], options].concat()).text(), line);
    assert_eq!(dir.run_fed(&[&["probe", "-"], options].concat(), &bytes).text(), line);
}

/// Checks that no command reads the archive, neither as a file nor as a stream.
#[track_caller]
fn is_refused(dir: &ScratchDir, archive: &str, options: &[&str], words: &[&str]) {
    let bytes = dir.read(archive);
    for command in [&["convert", "-O", "qcow2"][..], &["probe"], &["inspect"], &["info"]] {
        let target: &[&str] = if command[0] == "convert" { &["none.out"] } else { &[] };
        dir.run(&[command, options, &[archive], target].concat()).fails_with(1, words);
        dir.run_fed(&[command, options, &["-"], target].concat(), &bytes).fails_with(1, words);
        assert!(!dir.exists("none.out"), "{archive}");
    }
}

#[test]
fn compressed_disk_in_an_ova_is_found_and_counts_as_a_second_disk() {
    let dir = scratch();
    tar(&dir, &["cf", "gz.ova", "vm.ovf", "d.vmdk.gz"]);
    holds_the_disk(&dir, "gz.ova", &[], &format!("vmdk+gzip+ova {SIZE} member d.vmdk.gz"));
    tar(&dir, &["cf", "two.ova", "vm.ovf", "README.gz", "d.vmdk", "d.vmdk.gz"]);
    is_refused(&dir, "two.ova", &[], &["d.vmdk, d.vmdk.gz", "--member"]);
    for name in ["d.vmdk", "d.vmdk.gz"] {
        let wrapper = if name == "d.vmdk" { "" } else { "+gzip" };
        let line = format!("vmdk{wrapper}+ova {SIZE} member {name}");
        holds_the_disk(&dir, "two.ova", &["--member", name], &line);
    }
}

#[test]
fn raw_disk_in_an_archive_is_found_and_never_the_archive_itself() {
    let dir = scratch();
    tar(&dir, &["cf", "raw.ova", "vm.ovf", "b.raw"]);
    let line = format!("raw+ova {SIZE} member b.raw");
    for options in [&[][..], &["-f", "raw", "--member", "b.raw"], &["--allow-raw", "--member", "b.raw"]] {
        holds_the_disk(&dir, "raw.ova", options, &line);
    }
    is_refused(&dir, "raw.ova", &["-f", "raw", "--member", "c.raw"], &["b.raw", "'c.raw'"]);
    let run = dir.run(&["convert", "--member", "vm.ovf", "raw.ova", "none.out"]);
    run.fails_with(1, &["no image format", "-f raw"]);
    is_refused(&dir, "b.raw", &["-f", "raw", "--member", "b.raw"], &["no archive"]);
    // Without a member, raw is the archive.
    let run = dir.run(&["convert", "-f", "raw", "raw.ova", "all.raw"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("the content looks like tar"), "{run:?}");
    assert!(dir.read("all.raw").starts_with(&dir.read("raw.ova")));
}

#[test]
fn disk_is_found_in_archives_of_all_formats_of_gnu_tar() {
    let dir = scratch();
    for format in ["v7", "oldgnu", "gnu", "ustar", "posix"] {
        tar(&dir, &["--format", format, "-cf", "a.tar", "README", "d.vmdk"]);
        holds_the_disk(&dir, "a.tar", &[], &format!("vmdk+tar {SIZE} member d.vmdk"));
    }
    // Images of clouds are made like this.
    for format in ["oldgnu", "gnu", "posix"] {
        tar(&dir, &["--format", format, "-S", "-czf", "a.tar.gz", "b.raw"]);
        holds_the_disk(&dir, "a.tar.gz", &[], &format!("raw+tar+gzip {SIZE} member b.raw"));
    }
    for version in ["0.0", "0.1", "1.0"] {
        tar(&dir, &["--format=posix", "--sparse-version", version, "-S", "-cf", "a.tar", "b.raw"]);
        holds_the_disk(&dir, "a.tar", &[], &format!("raw+tar {SIZE} member b.raw"));
    }
    std::fs::create_dir(dir.path("box")).unwrap();
    for name in ["README", "box.img"] {
        std::fs::copy(dir.path(name), dir.path("box").join(name)).unwrap();
    }
    tar(&dir, &["-C", "box", "-czf", "v.box", "."]);
    for options in [&[][..], &["--member", "box.img"], &["--member", "./box.img"]] {
        holds_the_disk(&dir, "v.box", options, &format!("qcow2+tar+gzip {SIZE} member ./box.img"));
    }
    tar(&dir, &["cf", "before.ova", "d.vmdk", "vm.ovf"]);
    holds_the_disk(&dir, "before.ova", &[], &format!("vmdk+ova {SIZE} member d.vmdk"));
}

#[test]
fn archive_of_pythons_tarfile_is_opened() {
    let dir = scratch();
    let script = "import tarfile\nt = tarfile.open('py.ova', 'w', format=tarfile.PAX_FORMAT, pax_headers={'comment': 'x'})\n\
                  t.add('vm.ovf', 'v' * 120 + '.ovf')\nt.add('d.vmdk')\nt.close()\n";
    if Command::new("python3").arg("-c").arg("pass").status().is_err() {
        println!("skipped: python3 is not installed");
        return;
    }
    run(&dir, "python3", &["-c", script]);
    holds_the_disk(&dir, "py.ova", &[], &format!("vmdk+ova {SIZE} member d.vmdk"));
}

#[test]
fn tar_without_a_disk_stays_an_unsupported_tar() {
    let dir = scratch();
    std::os::unix::fs::symlink("README", dir.path("link")).unwrap();
    tar(&dir, &["cf", "source.tar", "README", "README.gz", "link"]);
    is_refused(&dir, "source.tar", &[], &["tar: it holds no disk image"]);
    tar(&dir, &["czf", "source.tar.gz", "README"]);
    is_refused(&dir, "source.tar.gz", &[], &["tar: it holds no disk image"]);
}

#[test]
fn info_names_the_archive_and_the_member() {
    let dir = scratch();
    tar(&dir, &["czf", "a.tar.gz", "README", "d.vmdk.gz"]);
    let bytes = dir.read("a.tar.gz");
    let file = dir.ok(&["info", "--output=json", "a.tar.gz"]).json();
    let stream = dir.run_fed(&["info", "--output=json", "-"], &bytes).json();
    for json in [&file["diskimg"], &stream["diskimg"]] {
        assert_eq!(json["archive"], "tar");
        assert_eq!(json["member"], "d.vmdk.gz");
        assert_eq!((&json["wrapper"], &json["member-wrapper"]), (&"gzip".into(), &"gzip".into()));
    }
    let text = dir.ok(&["info", "a.tar.gz"]);
    assert!(text.text().contains("archive: tar\nmember: d.vmdk.gz\nmember wrapper: gzip\n"), "{text:?}");
    let inspected = dir.ok(&["inspect", "--output=json", "a.tar.gz"]).json();
    assert_eq!((&inspected["archive"], &inspected["member"]), (&"tar".into(), &"d.vmdk.gz".into()));
    let info = dir.ok(&["info", "--output=json", "d.vmdk"]).json();
    assert!(info["diskimg"]["archive"].is_null() && info["diskimg"]["member"].is_null());
}

#[test]
fn all_reading_commands_read_the_member() {
    let dir = scratch();
    for (archive, disk) in [("one.ova", "d.vmdk"), ("two.ova", "d.vmdk.gz")] {
        tar(&dir, &["cf", archive, "vm.ovf", disk]);
        assert!(dir.ok(&["cat", archive]).stdout == dir.read("b.raw"), "{archive}");
        assert_eq!(dir.run(&["compare", archive, "b.raw"]).code, 0, "{archive}");
        assert_eq!(dir.run(&["check", archive]).code, 0, "{archive}");
        let map = |file: &str| dir.ok(&["map", "--output=json", file]).json();
        assert_eq!(map(archive)[0]["start"], 0);
        let size = |file: &str| dir.ok(&["measure", "-O", "qcow2", "--output=json", file]).json();
        assert_eq!(size(archive)["required"], size("box.img")["required"], "{archive}");
    }
}

#[test]
fn member_of_one_of_two_images_is_compared() {
    let dir = scratch();
    tar(&dir, &["cf", "two.ova", "vm.ovf", "d.vmdk", "d.vmdk.gz"]);
    for images in [["two.ova", "b.raw"], ["b.raw", "two.ova"], ["two.ova", "two.ova"]] {
        for name in ["d.vmdk", "d.vmdk.gz"] {
            let run = dir.run(&[&["compare", "--member", name][..], &images].concat());
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{images:?}");
        }
    }
    let run = dir.run(&["compare", "--member", "d.vmdk", "b.raw", "box.img"]);
    run.fails_with(2, &["neither image is in an archive"]);
}

#[test]
fn archive_is_never_the_target_of_its_own_disk() {
    let dir = scratch();
    dir.write("hole.raw", &[vec![0; SIZE], dir.read("b.raw")].concat());
    tar(&dir, &["-S", "-cf", "sparse.tar", "hole.raw"]);
    tar(&dir, &["cf", "plain.tar", "b.raw"]);
    tar(&dir, &["cf", "gz.tar", "b.raw.gz"]);
    for archive in ["sparse.tar", "plain.tar", "gz.tar"] {
        let bytes = dir.read(archive);
        for options in [&["--force"][..], &["-n"]] {
            let run = dir.run(&[&["convert", "-O", "raw"], options, &[archive, archive]].concat());
            run.fails_with(1, &["it is the source"]);
            assert!(dir.read(archive) == bytes, "{archive}");
        }
    }
}

#[test]
fn disk_that_differs_from_the_manifest_is_not_converted() {
    let dir = scratch();
    let digest = |name: &str| -> String {
        Sha256::digest(dir.read(name)).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    for disk in ["d.vmdk", "d.vmdk.gz", "b.raw"] {
        let mut wrong = digest(disk);
        wrong.replace_range(..1, if wrong.starts_with('0') { "1" } else { "0" });
        for (members, is_good) in [(["vm.ovf", "vm.mf", disk], true), (["vm.ovf", disk, "vm.mf"], false)] {
            dir.write("vm.mf", format!("SHA256({disk})= {}\n", digest(disk)).as_bytes());
            tar(&dir, &[&["cf", "good.ova"][..], &members].concat());
            dir.write("vm.mf", format!("SHA256({disk})= {wrong}\n").as_bytes());
            tar(&dir, &[&["cf", "bad.ova"][..], &members].concat());
            run(&dir, "gzip", &["-kf", "bad.ova"]);
            dir.ok(&["convert", "--force", "good.ova", "good.raw"]);
            assert!(dir.read("good.raw") == dir.read("b.raw"), "{disk} {is_good}");
            let words = [&*format!("SHA256 of '{disk}' is"), &wrong];
            for archive in ["bad.ova", "bad.ova.gz"] {
                let bytes = dir.read(archive);
                for format in ["raw", "qcow2"] {
                    dir.run(&["convert", "-O", format, archive, "none.out"]).fails_with(1, &words);
                    dir.run_fed(&["convert", "-O", format, "-", "none.out"], &bytes).fails_with(1, &words);
                    assert!(!dir.exists("none.out"), "{disk} in {archive}");
                }
                dir.ok(&["convert", "--force", "--no-verify", archive, "out.raw"]);
                assert!(dir.read("out.raw") == dir.read("b.raw"));
                let run = dir.run_fed(&["convert", "--force", "--no-verify", "-", "out.raw"], &bytes);
                assert_eq!((run.code, run.stderr.as_str()), (0, ""));
            }
        }
    }
    let leftovers: Vec<String> =
        dir.names().into_iter().filter(|name| name.starts_with(".diskimg")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn descriptor_that_disagrees_with_the_disk_warns() {
    let dir = scratch();
    let text = "<Envelope><References><File id=\"f\" href=\"d.vmdk\" size=\"1\"/></References>\
                <DiskSection><Disk diskId=\"d\" fileRef=\"f\" capacity=\"2\" capacityAllocationUnits=\"byte * 2^30\"/>\
                </DiskSection></Envelope>";
    dir.write("vm.ovf", text.as_bytes());
    tar(&dir, &["cf", "vm.ova", "vm.ovf", "d.vmdk"]);
    let bytes = dir.read("vm.ova");
    for run in [
        dir.run(&["convert", "vm.ova", "out.raw"]),
        dir.run_fed(&["convert", "--force", "-", "out.raw"], &bytes),
    ] {
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stderr.contains("warning: the OVF descriptor gives 'd.vmdk' 1 bytes"), "{run:?}");
        assert!(run.stderr.contains("a capacity of 2147483648 bytes, but the disk has 2097152"), "{run:?}");
    }
    for run in [dir.run(&["inspect", "vm.ova"]), dir.run_fed(&["inspect", "-"], &bytes)] {
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.text().contains("warning ovf_size: ") && run.text().contains("warning ovf_capacity: "));
    }
    dir.run(&["convert", "--strict", "vm.ova", "none.out"]).fails_with(1, &["ovf_size"]);
    assert!(!dir.exists("none.out"));
}

#[test]
fn package_in_a_directory_is_one_disk_and_is_verified() {
    let dir = scratch();
    std::fs::create_dir(dir.path("vm")).unwrap();
    let text = "<Envelope><References><File id=\"f\" href=\"d.vmdk\"/></References>\
                <DiskSection><Disk diskId=\"d\" fileRef=\"f\"/></DiskSection></Envelope>";
    dir.write("vm/vm.ovf", text.as_bytes());
    dir.write("vm/d.vmdk", &dir.read("d.vmdk"));
    let digest: String =
        Sha256::digest(dir.read("d.vmdk")).iter().map(|byte| format!("{byte:02x}")).collect();
    dir.write("vm/vm.mf", format!("SHA256(d.vmdk)= {digest}\n").as_bytes());
    for (directory, name) in [("vm", "vm/d.vmdk"), ("./vm", "./vm/d.vmdk")] {
        tar(&dir, &["czf", "good.tar.gz", directory]);
        holds_the_disk(&dir, "good.tar.gz", &[], &format!("vmdk+ova+gzip {SIZE} member {name}"));
    }
    dir.write("vm/vm.mf", format!("SHA256(d.vmdk)= {}\n", "0".repeat(64)).as_bytes());
    for options in [&["cf", "bad.tar", "vm"], &["czf", "bad.tar.gz", "./vm"]] {
        tar(&dir, options);
        let words = ["SHA256 of 'd.vmdk' is", &digest];
        dir.run(&["convert", options[1], "none.out"]).fails_with(1, &words);
        dir.run_fed(&["convert", "-", "none.out"], &dir.read(options[1])).fails_with(1, &words);
        assert!(!dir.exists("none.out"));
    }
}

#[test]
fn unrecognised_disk_of_a_descriptor_is_read_by_following_the_hint() {
    let dir = scratch();
    let data = vec![0x5A; SIZE];
    dir.write("disk.bin", &data);
    let text = "<Envelope><References><File id=\"f\" href=\"disk.bin\"/></References>\
                <DiskSection><Disk diskId=\"d\" fileRef=\"f\"/></DiskSection></Envelope>";
    dir.write("vm.ovf", text.as_bytes());
    tar(&dir, &["cf", "vm.ova", "vm.ovf", "disk.bin"]);
    run(&dir, "gzip", &["-k", "vm.ova"]);
    for archive in ["vm.ova", "vm.ova.gz"] {
        let bytes = dir.read(archive);
        for command in [&["convert", "none.out"][..], &["cat"], &["map"], &["check"], &["inspect"], &["info"]]
        {
            let (command, target) = command.split_at(1);
            for run in [
                dir.run(&[command, &[archive], target].concat()),
                dir.run_fed(&[command, &["-"], target].concat(), &bytes),
            ] {
                run.fails_with(1, &["hint: use --allow-raw if"]);
                assert!(!run.stderr.contains("-f raw"), "{run:?}");
            }
        }
        for options in [&["--allow-raw"][..], &["-f", "raw", "--member", "disk.bin"]] {
            dir.ok(&[&["convert", "--force", archive, "out.raw"], options].concat());
            assert!(dir.read("out.raw") == data, "{archive} {options:?}");
        }
    }
}
