//! Progress, for people and for programs.

use std::process::Command;

use serde_json::Value;

use crate::tools::{Workshop, mixed_disk};

const SIZE: usize = 8 << 20;

fn shop() -> Workshop {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(SIZE));
    shop
}

/// The percentages of `    (66.67/100%)\r`, which ends with a line break; as importers read them.
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
fn percentages_off_a_terminal_are_those_of_qemu_img() {
    let shop = shop();
    for args in [&["convert", "-p"][..], &["convert", "--progress=plain"]] {
        let told = shop.ok(&[args, &["--force", "-O", "qcow2", "disk.raw", "out.qcow2"]].concat());
        let told = percentages(told.text());
        assert!(told.is_sorted(), "{told:?}");
        assert_eq!(told.last(), Some(&100.0));
    }
}

#[test]
fn a_stream_of_unknown_length_is_whole_only_at_its_end() {
    let shop = shop();
    let told = shop.run_fed(&["convert", "-p", "-f", "raw", "-", "out.raw"], &shop.read("disk.raw"));
    let told = percentages(told.text());
    assert_eq!(told.iter().filter(|percent| **percent == 100.0).count(), 1, "{told:?}");
    assert_eq!(told.last(), Some(&100.0));
}

#[test]
fn a_conversion_that_fails_never_says_it_is_whole() {
    let shop = shop();
    shop.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = shop.read("disk.qcow2");
    shop.write("half.qcow2", &image[..image.len() / 2]);
    let told = shop.run(&["convert", "-p", "half.qcow2", "out.raw"]);
    assert_eq!(told.code, 1, "{told:?}");
    assert!(percentages(told.text()).iter().all(|percent| *percent < 100.0), "{told:?}");
}

#[test]
fn json_lines_go_to_standard_error() {
    let shop = shop();
    let told = shop.run(&["convert", "--progress=json", "disk.raw", "out.raw"]);
    assert_eq!((told.code, told.text()), (0, ""));
    let lines = json_lines(&told.stderr);
    let last = lines.last().unwrap();
    assert_eq!((&last["transferred"], &last["size"]), (&SIZE.into(), &SIZE.into()));
}

#[cfg(unix)]
#[test]
fn json_lines_go_to_a_descriptor_of_choice() {
    let shop = shop();
    let script = "exec \"$0\" convert --progress=json --progress-fd 7 disk.raw - 7>lines";
    let diskimg = assert_cmd::cargo::cargo_bin!("diskimg");
    let output =
        Command::new("sh").args(["-c", script]).arg(diskimg).current_dir(shop.path("")).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(output.stdout == shop.read("disk.raw"));
    let lines = json_lines(&String::from_utf8(shop.read("lines")).unwrap());
    assert_eq!(lines.last().unwrap()["transferred"], SIZE);
    shop.run(&["convert", "--progress=json", "--progress-fd", "77", "disk.raw", "out.raw"])
        .fails_with(1, &["--progress-fd", "77"]);
    assert!(!shop.exists("out.raw"));
}

#[test]
fn progress_never_mixes_with_the_disk() {
    let shop = shop();
    let told = shop.run(&["convert", "-p", "disk.raw", "-"]);
    assert!(told.stdout == shop.read("disk.raw"));
    assert_eq!(percentages(&told.stderr).last(), Some(&100.0));
    shop.run(&["convert", "--progress=json", "--progress-fd=1", "disk.raw", "-"])
        .fails_with(1, &["--progress-fd"]);
    let told = shop.run(&["compare", "-p", "--json", "disk.raw", "disk.raw"]);
    assert_eq!(told.json()["identical"], true);
}

#[test]
fn a_bar_ends_with_a_line_that_says_what_was_done() {
    let shop = shop();
    let told = shop.run(&["convert", "--progress=bar", "disk.raw", "out.raw"]);
    assert_eq!((told.code, told.text()), (0, ""));
    assert!(told.stderr.contains("out.raw: 8 MiB read, "), "{told:?}");
    assert!(told.stderr.contains(" written, ") && told.stderr.contains(" holes, "), "{told:?}");
}

#[test]
fn nothing_is_shown_unless_asked_and_never_when_quiet() {
    let shop = shop();
    assert_eq!(shop.ok(&["convert", "disk.raw", "a.raw"]).text(), "");
    assert_eq!(shop.ok(&["convert", "-q", "-p", "disk.raw", "b.raw"]).text(), "");
    assert_eq!(shop.ok(&["convert", "-p", "--progress=none", "disk.raw", "c.raw"]).text(), "");
    assert_eq!(shop.ok(&["compare", "-q", "disk.raw", "a.raw"]).text(), "");
}
