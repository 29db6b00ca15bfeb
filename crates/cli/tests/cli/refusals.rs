//! Untrusted images: one error, exit code 1, no target, and no file outside of the image is read.

use serde_json::Value;

use crate::tools::{RunResult, ScratchDir, mixed_disk};

/// Checks that every command that reads the disk refuses the image.
#[track_caller]
fn refused(dir: &ScratchDir, image: &str, words: &[&str]) {
    let before = dir.names();
    for follow in [&[][..], &["--follow"]] {
        for format in ["raw", "qcow2"] {
            let args = [&["convert", "-O", format], follow, &[image, "target"]].concat();
            dir.run(&args).fails_with(1, words);
        }
        dir.run(&[&["convert"], follow, &[image, "-"]].concat()).fails_with(1, words);
        dir.run(&[&["map"], follow, &[image]].concat()).fails_with(1, words);
        dir.run(&[&["compare"], follow, &[image, image]].concat()).fails_with(2, words);
    }
    assert_eq!(dir.names(), before);
}

/// Writes a qcow2 image with a backing file.
fn backed_by(dir: &ScratchDir, name: &str, image: &str) {
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let option = format!("backing_file={name},backing_fmt=raw");
    dir.ok(&["convert", "--force", "-O", "qcow2", "-o", &option, "disk.raw", image]);
}

#[test]
fn host_file_as_backing_file_is_refused() {
    let dir = ScratchDir::new();
    for name in ["/etc/passwd", "../../etc/passwd", "json:{\"driver\":\"file\"}", "nbd://localhost"] {
        backed_by(&dir, &name.replace(',', ",,"), "image.qcow2");
        refused(&dir, "image.qcow2", &["image.qcow2", "backing file"]);
    }
    // Commands that only describe the image do not open the backing file.
    backed_by(&dir, "/etc/passwd", "image.qcow2");
    let run = dir.ok(&["info", "image.qcow2"]);
    assert!(run.text().contains("backing file: /etc/passwd\n"), "{run:?}");
    assert!(!run.text().contains("root:"), "{run:?}");
    let args = ["info", "--backing-chain", "image.qcow2"];
    // The hint is what works: --follow would not.
    for args in [&args[..], &["info", "--backing-chain", "--follow", "image.qcow2"]] {
        let run = dir.run(args);
        run.fails_with(1, &["/etc/passwd", "--parent FILE", "--search-dir DIR"]);
        assert!(!run.stderr.contains("--follow"), "{run:?}");
    }
}

#[test]
fn host_file_as_data_file_is_refused() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "-o", "data_file=_etc_passwd", "image.qcow2", "1M"]);
    let mut image = dir.read("image.qcow2");
    let at = image.windows(11).position(|window| window == b"_etc_passwd").unwrap();
    image[at..at + 11].copy_from_slice(b"/etc/passwd");
    dir.write("image.qcow2", &image);
    refused(&dir, "image.qcow2", &["image.qcow2", "data file", "/etc/passwd"]);
    assert_eq!(dir.run(&["inspect", "image.qcow2"]).code, 2);
}

#[test]
fn image_that_is_its_own_backing_file_is_refused() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let option = "backing_file=loop.qcow2,backing_fmt=qcow2";
    dir.ok(&["convert", "-O", "qcow2", "-o", option, "disk.raw", "loop.qcow2"]);
    refused(&dir, "loop.qcow2", &["loop.qcow2"]);
    dir.run(&["info", "--backing-chain", "--follow", "loop.qcow2"]).fails_with(1, &["chain"]);
}

#[test]
fn raw_is_never_guessed() {
    let dir = ScratchDir::new();
    dir.write("letter.txt", b"Dear Sir or Madam,");
    for command in ["info", "inspect", "map"] {
        dir.run(&[command, "letter.txt"]).fails_with(1, &["letter.txt", "-f raw", "--allow-raw"]);
    }
    dir.run(&["convert", "letter.txt", "out.raw"]).fails_with(1, &["letter.txt", "--allow-raw"]);
    assert!(!dir.exists("out.raw"));
    assert_eq!(dir.ok(&["convert", "--allow-raw", "letter.txt", "-"]).stdout, b"Dear Sir or Madam,");
}

#[test]
fn errors_are_json_on_request() {
    let dir = ScratchDir::new();
    let error = |run: RunResult, code: i32| -> Value {
        assert_eq!((run.code, run.stdout.len()), (code, 0), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        serde_json::from_str::<Value>(&run.stderr).unwrap()["error"].clone()
    };
    let absent = error(dir.run(&["info", "--output=json", "absent"]), 1);
    assert_eq!((&absent["status"], &absent["errno"]), (&"io".into(), &2.into()));
    assert!(absent["message"].as_str().unwrap().contains("absent"));
    dir.write("letter.txt", b"Dear Sir or Madam,");
    let unknown = error(dir.run(&["--json", "probe", "letter.txt"]), 2);
    assert_eq!((&unknown["status"], &unknown["errno"]), (&"unknown-format".into(), &Value::Null));
    backed_by(&dir, "/etc/passwd", "image.qcow2");
    let denied = error(dir.run(&["convert", "--json", "image.qcow2", "out.raw"]), 1);
    assert_eq!(denied["status"], "denied");
    assert!(denied["offset"].as_u64().unwrap() > 0);
    dir.write("truncated.qcow2", &dir.read("image.qcow2")[..50]);
    let truncated = error(dir.run(&["inspect", "--json", "truncated.qcow2"]), 1);
    assert_eq!(truncated["status"], "truncated");
}

#[test]
fn disk_larger_than_the_limit_is_an_error_of_every_command() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(2 << 20));
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    dir.ok(&["create", "-f", "vdi", "disk.vdi", "2M"]);
    dir.ok(&["create", "-f", "qcow2", "huge.qcow2", "65T"]);
    for command in ["info", "inspect", "probe", "map", "check", "cat"] {
        for image in ["disk.raw", "disk.qcow2", "disk.vdi", "huge.qcow2"] {
            if command == "check" && image == "disk.raw" || command == "cat" && image == "huge.qcow2" {
                continue;
            }
            let format = image.split_once('.').unwrap().1;
            let (small, sufficient) = if image == "huge.qcow2" { ("64T", "65T") } else { ("1M", "2M") };
            let args = |limit| [command, "-f", format, "--max-size", limit, image];
            dir.run(&args(small)).fails_with(1, &["virtual size", "hint: use --max-size SIZE"]);
            dir.ok(&args(sufficient));
        }
    }
    // The default is 64 TiB.
    dir.run(&["info", "huge.qcow2"]).fails_with(1, &["71468255805440", "at most 70368744177664 bytes"]);
    let image = dir.read("disk.qcow2");
    dir.run_fed(&["probe", "--max-size", "1M", "-"], &image).fails_with(1, &["hint: use --max-size SIZE"]);
    let refused = dir.run(&["inspect", "--json", "huge.qcow2"]);
    assert_eq!(refused.code, 1);
    let value: Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!(value["error"]["status"], "limit");
}

#[test]
fn following_a_hint_resolves_the_error() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(2 << 20));
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    dir.run(&["convert", "--max-size", "1M", "disk.qcow2", "a.raw"])
        .fails_with(1, &["hint: use --max-size SIZE"]);
    dir.ok(&["convert", "--max-size", "2M", "disk.qcow2", "a.raw"]);
    dir.run(&["convert", "-c", "-O", "raw", "disk.qcow2", "b.raw"]).fails_with(1, &["use -O qcow2"]);
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.qcow2", "b.qcow2"]);
    let vmdk = ["convert", "-O", "vmdk"];
    dir.run(&[&vmdk[..], &["disk.qcow2", "-"]].concat()).fails_with(1, &["use -o subformat=streamOptimized"]);
    dir.ok(&[&vmdk[..], &["-o", "subformat=streamOptimized", "disk.qcow2", "-"]].concat());
    dir.run(&["convert", "-O", "qcow2", "disk.raw", "-"]).fails_with(1, &["or use -O raw"]);
    let image = dir.read("disk.qcow2");
    dir.run_fed(&["convert", "--no-spool", "-", "-"], &image).fails_with(1, &["omit --no-spool"]);
    assert!(dir.run_fed(&["convert", "-", "-"], &image).stdout == dir.read("disk.raw"));
}
