//! `include/diskimg.h` is what the source makes. `UPDATE_HEADER=1 cargo test -p diskimg-capi` rewrites it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

/// The files that C sees something of, in the order of the header.
const FILES: [&str; 17] = [
    "version",
    "status",
    "format",
    "error",
    "strings",
    "io",
    "stream",
    "resolver",
    "open_options",
    "open",
    "image",
    "info",
    "lists",
    "probe",
    "read",
    "progress",
    "convert_options",
];
const MORE: [&str; 6] = ["convert", "measure", "create", "check", "compare", "guard"];

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
fn the_header_is_what_the_source_makes() {
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
        "include/diskimg.h is old: UPDATE_HEADER=1 cargo test -p diskimg-capi --test header"
    );
}

/// One name for each line, for the linker's view of the library: see `tests/installed.rs`.
#[test]
fn the_list_of_symbols_is_what_the_header_declares() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = generated(root);
    let code: String = header.lines().filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join(" ");
    let declared = code.split("DISKIMG_API ").skip(1).map(|rest| rest.split('(').next().unwrap());
    let name = |declaration: &'_ str| declaration.rsplit([' ', '*']).next().unwrap().to_owned();
    let mut names: Vec<String> = declared.map(name).filter(|name| name.starts_with("diskimg_")).collect();
    names.sort_unstable();
    let list = names.iter().map(|name| format!("{name}\n")).collect::<String>();
    let path = root.join("tests/symbols.txt");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        fs::write(&path, &list).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), list, "UPDATE_HEADER=1 if the change is meant");
}
