//! `include/diskimg.h` matches the source. `UPDATE_HEADER=1 cargo test -p diskimg-capi --test header`
//! rewrites it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

/// The files with exported items, in the order of the header.
const FILES: [&str; 20] = [
    "version",
    "status",
    "format",
    "error",
    "strings",
    "io",
    "callback_stream",
    "callback_resolver",
    "progress",
    "parent_record",
    "open_record",
    "open",
    "image",
    "info_record",
    "info",
    "list_records",
    "lists",
    "probe",
    "read",
    "name_lists",
];
const MORE: [&str; 8] =
    ["target_record", "stream_record", "convert_record", "convert", "measure", "create", "check", "compare"];

fn generated(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in FILES.iter().chain(&MORE) {
        builder = builder.with_src(root.join(format!("src/{file}.rs")));
    }
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

#[test]
fn header_matches_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../../include/diskimg.h");
    let header = generated(root);
    if std::env::var_os("UPDATE_HEADER").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &header).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == header,
        "include/diskimg.h is out of date: run UPDATE_HEADER=1 cargo test -p diskimg-capi --test header"
    );
}

/// Each function that returns a status lists its errors in the form that the header's first comment describes.
#[test]
fn each_function_lists_its_errors_in_the_order_of_their_numbers() {
    let header = generated(Path::new(env!("CARGO_MANIFEST_DIR")));
    let number_of = |name: &str| -> u32 {
        let line = header.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
        line.unwrap_or_else(|| panic!("{name} is not defined")).parse().unwrap()
    };
    let mut functions = 0;
    let mut comment = String::new();
    for line in header.lines() {
        if let Some(text) = line.strip_prefix("//") {
            comment.push_str(text.trim());
            comment.push(if text.is_empty() { '\n' } else { ' ' });
            continue;
        }
        if line.starts_with("diskimg_status diskimg_") {
            let errors = comment.rsplit('\n').next().unwrap().trim();
            let list = errors.strip_prefix("Errors: ").and_then(|list| list.strip_suffix('.'));
            let list = list.unwrap_or_else(|| panic!("{line} lists no errors: {errors}"));
            let numbers: Vec<u32> = list.split(", ").map(number_of).collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "{line}: {list}");
            assert!(numbers.contains(&1) && numbers.contains(&99), "{line}: {list}");
            functions += 1;
        }
        if !line.starts_with("DISKIMG_") {
            comment.clear();
        }
    }
    assert!(functions > 20, "{functions}");
}
