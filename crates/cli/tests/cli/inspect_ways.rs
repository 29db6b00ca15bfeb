//! `diskimg inspect` of an image in all the ways in which it can be read.

use std::process::Command;

use crate::tools::{RunResult, ScratchDir, gz, mixed_disk};

/// The ways: the names of files, and whether they are read through a pipe. All hold the file `image`.
fn ways(dir: &ScratchDir) -> Vec<(&'static str, bool)> {
    dir.write("image.gz", &gz(&dir.read("image")));
    dir.write("vm.ovf", b"<Envelope/>");
    let mut names = vec!["image", "image.gz", "plain.ova", "packed.ova", "plain.tar.gz"];
    for (program, args, name) in [
        ("xz", &["-kf", "-0", "image"][..], "image.xz"),
        ("zstd", &["-qkf", "-1", "image"], "image.zst"),
        ("tar", &["cf", "plain.ova", "vm.ovf", "image"], ""),
        ("tar", &["cf", "packed.ova", "vm.ovf", "image.gz"], ""),
        ("tar", &["czf", "plain.tar.gz", "image"], ""),
    ] {
        match Command::new(program).current_dir(dir.path("")).args(args).status() {
            Ok(status) => {
                assert!(status.success(), "{program}");
                names.extend((!name.is_empty()).then_some(name));
            }
            Err(_) => {
                assert!(std::env::var_os("CI").is_none(), "{program} is not installed, and CI must not skip");
                eprintln!("skipped: {program} is not installed");
            }
        }
    }
    names.into_iter().flat_map(|name| [(name, false), (name, true)]).collect()
}

fn run(dir: &ScratchDir, args: &[&str], (name, is_piped): (&str, bool)) -> RunResult {
    match is_piped {
        true => dir.run_fed(&[args, &["-"]].concat(), &dir.read(name)),
        false => dir.run(&[args, &[name]].concat()),
    }
}

const OPTIONS: [&[&str]; 7] = [
    &["-O", "qcow2"],
    &["-O", "qcow2", "-c"],
    &["-O", "qcow2", "-o", "cluster_size=2M"],
    &["-O", "vdi"],
    &["-O", "vdi", "-o", "static=on"],
    &["-O", "vmdk"],
    &["-O", "vmdk", "-o", "subformat=streamOptimized"],
];

#[test]
fn half_an_image_is_unsafe_and_a_whole_one_safe_by_every_way() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(5 << 20));
    for options in OPTIONS {
        dir.ok(&[&["convert", "--force"], options, &["disk.raw", "image"]].concat());
        let whole = dir.read("image");
        for way in ways(&dir) {
            let inspected = run(&dir, &["inspect"], way);
            assert_eq!(inspected.code, 0, "{options:?} {way:?}: {inspected:?}");
        }
        dir.write("image", &whole[..whole.len() / 2]);
        let expected = dir.run(&["inspect", "image"]);
        let first = expected.text().lines().next().unwrap().to_owned();
        // A stream-optimised image has its directory at the end.
        let kind = if options.contains(&"subformat=streamOptimized") { "footer" } else { "truncated" };
        assert!(expected.text().contains(&format!("warning {kind}")), "{options:?}: {first}");
        for way in ways(&dir) {
            let inspected = run(&dir, &["inspect"], way);
            assert_eq!(inspected.code, 2, "{options:?} {way:?}: {inspected:?}");
            assert_eq!(inspected.text().lines().next(), Some(&*first), "{options:?} {way:?}");
            assert_eq!(inspected.stderr, "");
        }
    }
    let left: Vec<String> = dir.names().into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn compressed_image_that_ends_in_the_middle_is_an_error() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(5 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "image"]);
    let whole = gz(&dir.read("image"));
    dir.write("image.gz", &whole[..whole.len() / 2]);
    for is_piped in [false, true] {
        run(&dir, &["inspect"], ("image.gz", is_piped)).fails_with(1, &["gzip"]);
    }
}

#[test]
fn info_and_probe_judge_a_stream_by_its_head() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(5 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "image"]);
    let whole = dir.read("image");
    dir.write("image", &whole[..whole.len() / 2]);
    dir.write("image.gz", &gz(&dir.read("image")));
    for way in [("image", true), ("image.gz", true), ("image.gz", false)] {
        for command in ["info", "probe"] {
            let described = run(&dir, &[command, "--output=json"], way);
            assert_eq!(described.code, 0, "{described:?}");
            assert_eq!(described.json()["diskimg"]["findings"].as_array().unwrap().len(), 0, "{way:?}");
        }
    }
}

#[test]
fn image_that_must_not_be_stored_is_judged_by_its_head_with_a_note() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(5 << 20));
    for format in ["qcow2", "vdi", "vmdk"] {
        dir.ok(&["convert", "--force", "-O", format, "disk.raw", "image"]);
        dir.write("image.gz", &gz(&dir.read("image")));
        for options in [&["--no-spool"][..], &["--limit", "temporary-files=100k"]] {
            for way in [("image", true), ("image.gz", true), ("image.gz", false)] {
                let inspected = run(&dir, &[&["inspect", "--output=json"], options].concat(), way);
                assert_eq!(inspected.code, 0, "{format} {options:?} {way:?}: {inspected:?}");
                let finding = inspected.json()["findings"][0].clone();
                assert_eq!(finding["check"], "tables_not_compared");
                assert_eq!(finding["severity"], "note");
            }
            assert_eq!(dir.run(&[&["inspect", "image"], options].concat()).code, 0);
        }
    }
    // A short image and a raw disk are not stored.
    dir.ok(&["create", "-f", "qcow2", "-o", "cluster_size=4k", "short", "1M"]);
    dir.write("disk.raw.gz", &gz(&dir.read("disk.raw")));
    for way in [("short", true), ("disk.raw.gz", true), ("disk.raw.gz", false)] {
        let inspected = run(&dir, &["inspect", "--no-spool"], way);
        assert!(inspected.code == 0 && inspected.text().starts_with("safe: "), "{inspected:?}");
    }
}

#[cfg(unix)]
#[test]
fn signal_stops_the_inspection_of_a_stalled_stream() {
    use std::io::Write;
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(5 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "image"]);
    let mut child = dir.command(&["inspect", "-"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&dir.read("image")[..1 << 20]).unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    drop(stdin);
    assert_eq!(dir.names(), ["disk.raw", "image"]);
}
