//! Completion scripts, manual pages and help.

use std::io::Read;
use std::process::Stdio;

use crate::tools::{ScratchDir, file_len, mixed_disk};

#[test]
fn every_shell_has_a_completion_script() {
    let dir = ScratchDir::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = dir.ok(&["completions", shell]);
        for word in ["convert", "compare", "target-is-zero", "progress-fd"] {
            assert!(script.text().contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = ScratchDir::new();
    dir.ok(&["man", "pages/man1"]);
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
        assert!(file_len(&dir.path(&format!("pages/man1/diskimg-{command}.1"))) > 300, "{command}");
    }
    assert!(String::from_utf8(dir.read("pages/man1/diskimg.1")).unwrap().contains(".TH"));
    dir.write("file", b"");
    dir.run(&["man", "file"]).fails_with(1, &["'file'"]);
}

#[test]
fn help_of_every_command_begins_with_examples() {
    let dir = ScratchDir::new();
    for command in
        ["info", "probe", "inspect", "map", "check", "measure", "create", "cat", "convert", "compare"]
    {
        let help = dir.ok(&[command, "--help"]);
        let (examples, usage) = (help.text().find("Examples:"), help.text().find("Usage:"));
        assert!(examples.is_some() && examples < usage, "{command}: {}", help.text());
    }
    assert!(dir.ok(&["--version"]).text().starts_with("diskimg "));
}

#[test]
fn formats_list_abilities_and_options() {
    let dir = ScratchDir::new();
    let run = dir.ok(&["formats", "--json"]).json();
    let formats = run["formats"].as_array().unwrap();
    let of = |name: &str| formats.iter().find(|format| format["name"] == name).unwrap();
    assert_eq!(of("raw")["abilities"], serde_json::json!(["read", "stream", "create"]));
    assert!(of("qcow2")["options"].as_array().unwrap().iter().any(|option| option["name"] == "cluster_size"));
    assert_eq!(run["wrappers"].as_array().unwrap().len(), 3);
    assert!(of("raw")["options"].as_array().unwrap().iter().any(|option| option["name"] == "preallocation"));
    assert!(of("vmdk")["abilities"].as_array().unwrap().contains(&"check".into()));
    let text = dir.ok(&["formats"]);
    assert!(formats.iter().all(|format| text.text().contains(format["name"].as_str().unwrap())));
}

#[test]
fn closed_output_prints_no_error() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(8 << 20));
    dir.ok(&["convert", "-O", "qcow2", "-o", "cluster_size=512", "disk.raw", "disk.qcow2"]);
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
        let mut child = dir.command(args).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut run = String::new();
        child.stderr.take().unwrap().read_to_string(&mut run).unwrap();
        child.wait().unwrap();
        assert_eq!(run, "", "{args:?}");
    }
}

#[test]
fn invalid_arguments_exit_with_1() {
    let dir = ScratchDir::new();
    for args in [
        &["info"][..],
        &["info", "--image-opts", "x"],
        &["convert", "--object", "secret,id=x", "a", "b"],
        &["no-such-command"],
        &["map", "--max-length", "lots", "x"],
    ] {
        let run = dir.run(args);
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.starts_with("error: "), "{run:?}");
    }
}

#[test]
fn colour_is_used_only_on_request() {
    let dir = ScratchDir::new();
    assert!(!dir.run(&["--help"]).text().contains('\u{1b}'));
    assert!(dir.run(&["--color=always", "--help"]).text().contains('\u{1b}'));
    assert!(dir.run(&["--color", "always", "--help"]).text().contains('\u{1b}'));
    assert!(!dir.run(&["--color", "never", "info"]).stderr.contains('\u{1b}'));
}
