//! What a package of the command needs, and what its help promises.

use std::io::Read;
use std::process::Stdio;

use crate::tools::{Workshop, file_len, mixed_disk};

#[test]
fn every_shell_gets_a_script() {
    let shop = Workshop::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = shop.ok(&["completions", shell]);
        for word in ["convert", "compare", "target-is-zero", "progress-fd"] {
            assert!(script.text().contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let shop = Workshop::new();
    shop.ok(&["man", "pages/man1"]);
    let commands = [
        "info",
        "probe",
        "inspect",
        "map",
        "check",
        "measure",
        "create",
        "cat",
        "convert",
        "compare",
        "formats",
        "completions",
        "man",
    ];
    for command in commands {
        assert!(file_len(&shop.path(&format!("pages/man1/diskimg-{command}.1"))) > 300, "{command}");
    }
    assert!(String::from_utf8(shop.read("pages/man1/diskimg.1")).unwrap().contains(".TH"));
    shop.write("file", b"");
    shop.run(&["man", "file"]).fails_with(1, &["'file'"]);
}

#[test]
fn every_command_helps_with_examples_first() {
    let shop = Workshop::new();
    for command in
        ["info", "probe", "inspect", "map", "check", "measure", "create", "cat", "convert", "compare"]
    {
        let help = shop.ok(&[command, "--help"]);
        let (examples, usage) = (help.text().find("Examples:"), help.text().find("Usage:"));
        assert!(examples.is_some() && examples < usage, "{command}: {}", help.text());
    }
    assert!(shop.ok(&["--version"]).text().starts_with("diskimg "));
}

#[test]
fn formats_tell_abilities_and_options() {
    let shop = Workshop::new();
    let told = shop.ok(&["formats", "--json"]).json();
    let formats = told["formats"].as_array().unwrap();
    let of = |name: &str| formats.iter().find(|format| format["name"] == name).unwrap();
    assert_eq!(of("raw")["abilities"], serde_json::json!(["read", "stream", "create"]));
    assert!(of("qcow2")["options"].as_array().unwrap().iter().any(|option| option["name"] == "cluster_size"));
    assert_eq!(told["wrappers"].as_array().unwrap().len(), 3);
    assert!(of("raw")["options"].as_array().unwrap().iter().any(|option| option["name"] == "preallocation"));
    assert!(of("vmdk")["abilities"].as_array().unwrap().contains(&"check".into()));
    let text = shop.ok(&["formats"]);
    assert!(formats.iter().all(|format| text.text().contains(format["name"].as_str().unwrap())));
}

#[test]
fn a_reader_that_goes_away_is_no_error_to_talk_about() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(8 << 20));
    shop.ok(&["convert", "-O", "qcow2", "-o", "cluster_size=512", "disk.raw", "disk.qcow2"]);
    for args in [
        &["completions", "zsh"][..],
        &["map", "--json", "disk.qcow2"],
        &["info", "disk.qcow2"],
        &["formats"],
        &["convert", "-p", "--force", "disk.qcow2", "other.raw"],
        &["convert", "disk.qcow2", "-"],
        &["cat", "disk.qcow2"],
        &["measure", "-O", "qcow2", "disk.qcow2"],
    ] {
        let mut child = shop.command(args).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        child.wait().unwrap();
        assert_eq!(told, "", "{args:?}");
    }
}

#[test]
fn arguments_without_sense_are_1() {
    let shop = Workshop::new();
    for args in [
        &["info"][..],
        &["info", "--image-opts", "x"],
        &["convert", "--object", "secret,id=x", "a", "b"],
        &["no-such-command"],
        &["map", "--max-length", "lots", "x"],
    ] {
        let told = shop.run(args);
        assert_eq!(told.code, 1, "{told:?}");
        assert!(told.stderr.starts_with("error: "), "{told:?}");
    }
}

#[test]
fn colour_is_for_whoever_asks() {
    let shop = Workshop::new();
    assert!(!shop.run(&["--help"]).text().contains('\u{1b}'));
    assert!(shop.run(&["--color=always", "--help"]).text().contains('\u{1b}'));
    assert!(shop.run(&["--color", "always", "--help"]).text().contains('\u{1b}'));
    assert!(!shop.run(&["--color", "never", "info"]).stderr.contains('\u{1b}'));
}
