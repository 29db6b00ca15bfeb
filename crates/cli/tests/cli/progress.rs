//! Progress as a bar, as percentages and as JSON.

use std::process::Command;

use serde_json::Value;

use crate::tools::{ScratchDir, mixed_disk};

const SIZE: usize = 8 << 20;

fn with_disk() -> ScratchDir {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(SIZE));
    dir
}

/// Parses percentages such as `    (66.67/100%)\r`, followed by a line feed, as importers do.
#[track_caller]
fn percentages(text: &str) -> Vec<f64> {
    let text = text.strip_suffix('\n').unwrap();
    let number = |part: &str| {
        let number = part.strip_prefix("    (")?.strip_suffix("/100%)")?;
        let (whole, hundredths) = number.split_once('.')?;
        (matches!(whole.len(), 1..=3) && hundredths.len() == 2).then(|| number.parse().ok())?
    };
    let parts = text.strip_suffix('\r').unwrap().split('\r');
    parts.map(|part| number(part).unwrap_or_else(|| panic!("{part:?}"))).collect()
}

#[track_caller]
fn json_lines(text: &str) -> Vec<Value> {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["transferred", "size", "elapsed", "description"]);
        assert!(line["elapsed"].as_f64().unwrap() >= 0.0);
    }
    lines
}

#[test]
fn percentages_without_a_terminal_are_those_of_qemu_img() {
    let dir = with_disk();
    for args in [&["convert", "-p"][..], &["convert", "--progress=plain"]] {
        let run = dir.ok(&[args, &["--force", "-O", "qcow2", "disk.raw", "out.qcow2"]].concat());
        let run = percentages(run.text());
        assert!(run.is_sorted(), "{run:?}");
        assert_eq!(run.last(), Some(&100.0));
    }
}

#[test]
fn stream_of_unknown_length_reaches_100_percent_only_at_its_end() {
    let dir = with_disk();
    let run = dir.run_fed(&["convert", "-p", "-f", "raw", "-", "out.raw"], &dir.read("disk.raw"));
    let run = percentages(run.text());
    assert_eq!(run.iter().filter(|percent| **percent == 100.0).count(), 1, "{run:?}");
    assert_eq!(run.last(), Some(&100.0));
}

#[test]
fn failed_conversion_never_reaches_100_percent() {
    let dir = with_disk();
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = dir.read("disk.qcow2");
    dir.write("half.qcow2", &image[..image.len() / 2]);
    let run = dir.run(&["convert", "-p", "half.qcow2", "out.raw"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(percentages(run.text()).iter().all(|percent| *percent < 100.0), "{run:?}");
}

#[test]
fn json_lines_go_to_standard_error() {
    let dir = with_disk();
    let run = dir.run(&["convert", "--progress=json", "disk.raw", "out.raw"]);
    assert_eq!((run.code, run.text()), (0, ""));
    let lines = json_lines(&run.stderr);
    let last = lines.last().unwrap();
    assert_eq!((&last["transferred"], &last["size"]), (&SIZE.into(), &SIZE.into()));
}

#[cfg(unix)]
#[test]
fn json_lines_go_to_the_chosen_descriptor() {
    let dir = with_disk();
    let script = "exec \"$0\" convert --progress=json --progress-fd 7 disk.raw - 7>lines";
    let diskimg = assert_cmd::cargo::cargo_bin!("diskimg");
    let output =
        Command::new("sh").args(["-c", script]).arg(diskimg).current_dir(dir.path("")).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(output.stdout == dir.read("disk.raw"));
    let lines = json_lines(&String::from_utf8(dir.read("lines")).unwrap());
    assert_eq!(lines.last().unwrap()["transferred"], SIZE);
    dir.run(&["convert", "--progress=json", "--progress-fd", "77", "disk.raw", "out.raw"])
        .fails_with(1, &["--progress-fd", "77"]);
    assert!(!dir.exists("out.raw"));
}

#[test]
fn progress_never_mixes_with_the_disk() {
    let dir = with_disk();
    let run = dir.run(&["convert", "-p", "disk.raw", "-"]);
    assert!(run.stdout == dir.read("disk.raw"));
    assert_eq!(percentages(&run.stderr).last(), Some(&100.0));
    dir.run(&["convert", "--progress=json", "--progress-fd=1", "disk.raw", "-"])
        .fails_with(1, &["--progress-fd"]);
    let run = dir.run(&["compare", "-p", "--json", "disk.raw", "disk.raw"]);
    assert_eq!(run.json()["identical"], true);
}

#[test]
fn bar_ends_with_a_summary() {
    let dir = with_disk();
    let run = dir.run(&["convert", "--progress=bar", "disk.raw", "out.raw"]);
    assert_eq!((run.code, run.text()), (0, ""));
    assert!(run.stderr.contains("out.raw: 8 MiB read, "), "{run:?}");
    assert!(run.stderr.contains(" written, ") && run.stderr.contains(" holes, "), "{run:?}");
}

#[test]
fn progress_is_shown_only_on_request_and_never_with_quiet() {
    let dir = with_disk();
    assert_eq!(dir.ok(&["convert", "disk.raw", "a.raw"]).text(), "");
    assert_eq!(dir.ok(&["convert", "-q", "-p", "disk.raw", "b.raw"]).text(), "");
    assert_eq!(dir.ok(&["convert", "-p", "--progress=none", "disk.raw", "c.raw"]).text(), "");
    assert_eq!(dir.ok(&["compare", "-q", "disk.raw", "a.raw"]).text(), "");
}
