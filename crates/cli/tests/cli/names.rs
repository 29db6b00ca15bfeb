//! Names, in images and of the user's files, that try to control the terminal.

use diskimg::core::is_hidden;

use crate::tools::{RunResult, ScratchDir};

/// A name with a control sequence introducer, DEL, an override of the direction, a zero-width space and a tag.
const NAME: &str = "a\u{9b}31m\u{7f}\u{202e}war\u{200b}\u{feff}\u{e0041}.raw";

/// Checks that the output has no hidden character but line breaks.
#[track_caller]
fn plain(run: &RunResult) {
    let hidden = |text: &str| text.chars().find(|c| is_hidden(*c) && *c != '\n');
    assert_eq!((hidden(run.text()), hidden(&run.stderr)), (None, None), "{run:?}");
}

#[test]
fn hidden_characters_of_names_are_escaped_in_all_output() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.ok(&["create", "-f", "qcow2", "image.qcow2", "1M"]);
    dir.img(&["snapshot", "-c", NAME, "image.qcow2"]);
    dir.img(&["rebase", "-u", "-f", "qcow2", "-b", NAME, "-F", "raw", "image.qcow2"]);
    for command in ["info", "probe", "inspect"] {
        plain(&dir.run(&[command, "image.qcow2"]));
        plain(&dir.run(&[command, "--json", "image.qcow2"]));
    }
    let info = dir.run(&["info", "--json", "image.qcow2"]).json();
    assert_eq!(info["backing-filename"], NAME);
    assert_eq!(info["snapshots"][0]["name"], NAME);
    assert_eq!(info["diskimg"]["references"][0]["name"], NAME);
    for options in [&[][..], &["--follow"], &["--json"], &["--json", "--follow"]] {
        let run = dir.run(&[&["convert"], options, &["image.qcow2", "out.raw"]].concat());
        assert_eq!(run.code, 1);
        plain(&run);
        plain(&dir.run(&[&["info", "--backing-chain"], options, &["image.qcow2"]].concat()));
    }
    dir.write(NAME, &[1; 1 << 20]);
    for options in [&["info", "--backing-chain"][..], &["info", "--backing-chain", "--json"], &["map"]] {
        let run = dir.run(&[options, &["--follow", "image.qcow2"]].concat());
        assert_eq!(run.code, 0, "{run:?}");
        plain(&run);
    }
    let chain = dir.run(&["info", "--backing-chain", "--json", "--follow", "image.qcow2"]).json();
    assert_eq!(chain[1]["filename"], NAME);
}

/// A name with an escape sequence and a line break.
const FILE: &str = "a\u{1b}[31m\nb\u{9b}\u{202e}";

#[test]
fn hidden_characters_of_the_names_of_files_are_escaped_in_all_output() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &[1; 100_000]);
    dir.write("text", b"text");
    for (name, create) in [("image", true), ("unknown", false), ("trailing", true)] {
        let path = format!("{name}{FILE}");
        if create {
            dir.ok(&["create", "-f", "qcow2", "new", "1M"]);
            std::fs::rename(dir.path("new"), dir.path(&path)).unwrap();
        } else {
            dir.write(&path, b"an unknown format");
        }
        for options in [&[][..], &["--json"]] {
            for command in ["info", "probe", "inspect", "map", "check", "measure"] {
                let run = dir.run(&[&[command], options, &[&path]].concat());
                plain(&run);
                assert!(options.is_empty() || run.stdout.is_empty() || !run.json().is_null());
                let absent = format!("absent{FILE}");
                plain(&dir.run(&[&[command], options, &[&absent]].concat()));
            }
            plain(&dir.run(&[&["cat", "--length", "0"], options, &[&path]].concat()));
            plain(&dir.run(&[&["compare"], options, &["disk.raw", &path]].concat()));
            plain(&dir.run(&[&["convert", "-v"], options, &[&path, "none"]].concat()));
        }
    }
    let target = format!("target{FILE}");
    let raw = ["convert", "-f", "raw", "-O", "raw", "disk.raw", &target];
    // With a note about whole sectors, a summary, a refusal, and a warning about the image in the target.
    plain(&dir.run(&[&raw[..], &["-v"]].concat()));
    plain(&dir.run(&raw));
    plain(&dir.run(&["convert", "-n", "-f", "raw", "-O", "raw", "text", &format!("image{FILE}")]));
    plain(&dir.run(&["create", "-f", "qcow2", &target, "1M"]));
    plain(&dir.run(&["create", "-f", "qcow2", "-b", &format!("image{FILE}"), "-F", "raw", "over.qcow2"]));
    plain(&dir.run(&["man", &format!("disk.raw/{FILE}")]));
    // Arguments that are no names of files.
    plain(&dir.run(&["info", FILE, FILE]));
    plain(&dir.run(&["info", &format!("--{FILE}"), "x"]));
    plain(&dir.run(&["info", "--max-size", FILE, "x"]));
    plain(&dir.run(&["info", "--limit", FILE, "x"]));
    plain(&dir.run(&["info", "-f", FILE, "x"]));
    plain(&dir.run(&["convert", "-O", "qcow2", "-o", FILE, "disk.raw", "none"]));
    plain(&dir.run(&["info", "--member", FILE, "disk.raw"]));
    plain(&dir.run(&["info", "--search-dir", FILE, "disk.raw"]));
    plain(&dir.run(&["info", "--parent", FILE, "disk.raw"]));
}

#[test]
fn json_error_names_the_file_as_it_is() {
    let dir = ScratchDir::new();
    let run = dir.run(&["info", "--json", FILE]);
    let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(error["error"]["errno"], 2);
    dir.write(FILE, b"unknown");
    let run = dir.run(&["info", "--json", FILE]);
    let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().starts_with(&format!("{FILE}: ")), "{error}");
}
