//! Names in images that try to control the terminal.

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
