//! `tests/abi.txt` is the binary interface of one minor version: functions with the types of their parameters, types,
//! structures with the offsets of their members, and constants. A change needs a new minor version. While a version is
//! not published, `UPDATE_ABI=1 cargo test -p diskimg-capi --test abi` rewrites the file.
#![cfg(all(unix, target_pointer_width = "64"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// The declarations of the header, each on one line and without comments, initialisers and attributes.
struct Declarations {
    functions: Vec<String>,
    types: Vec<String>,
    structures: Vec<Structure>,
    constants: Vec<String>,
}

struct Structure {
    name: String,
    /// The type and the name of each member. A function pointer has its whole declaration as its type.
    members: Vec<(String, String)>,
}

/// Returns the code of the header on one line, and the names of its constants.
fn code_and_constants(header: &str) -> (String, Vec<String>) {
    let (mut code, mut constants, mut continues) = (String::new(), vec![], false);
    for line in header.lines() {
        let directive = continues || line.starts_with('#');
        continues = directive && line.ends_with('\\');
        if let Some((name, _)) = line.strip_prefix("#define DISKIMG_").and_then(|rest| rest.split_once(' ')) {
            // The attributes are not in the list, and the initialisers follow from the structures.
            if !name.ends_with("_INIT") && !["API", "MUST_USE"].contains(&name) {
                constants.push(format!("DISKIMG_{name}"));
            }
        } else if !directive && !line.trim_start().starts_with("//") {
            code.extend([line, " "]);
        }
    }
    let code = code.replace("DISKIMG_MUST_USE", "");
    (code.split_whitespace().collect::<Vec<_>>().join(" "), constants)
}

fn declarations(header: &str) -> Declarations {
    let (code, constants) = code_and_constants(header);
    let mut found = Declarations { functions: vec![], types: vec![], structures: vec![], constants };
    let mut rest = code.as_str();
    while let Some(start) = rest.find("typedef ").into_iter().chain(rest.find("DISKIMG_API ")).min() {
        rest = &rest[start..];
        let end = match rest.find(['{', ';']).unwrap() {
            brace if rest[brace..].starts_with('{') => brace + rest[brace..].find('}').unwrap(),
            end => end,
        };
        let declaration = &rest[..end];
        rest = &rest[end..];
        if let Some(function) = declaration.strip_prefix("DISKIMG_API ") {
            found.functions.push(without_names(function));
        } else if let Some((head, members)) = declaration.split_once(" {") {
            let name = head.rsplit(' ').next().unwrap().to_owned();
            found
                .structures
                .push(Structure { name, members: members.split(';').filter_map(member).collect() });
        } else {
            found.types.push(without_names(declaration.strip_prefix("typedef ").unwrap()));
        }
    }
    // The order of the declarations does not matter to a compiled program.
    found.functions.sort_unstable_by(|a, b| name_of(a).cmp(name_of(b)));
    found.types.sort_unstable();
    found.constants.sort_unstable();
    found.structures.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Returns the rest of a declaration from the name of the function.
fn name_of(function: &str) -> &str {
    let head = function.split('(').next().unwrap_or(function);
    &function[head.rfind([' ', '*']).map_or(0, |at| at + 1)..]
}

fn member(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    let name = match text.split_once("(*") {
        Some((_, rest)) => rest.split(')').next()?,
        None => text.rsplit([' ', '*']).next()?,
    };
    (!name.is_empty()).then(|| (without_names(text.strip_suffix(name).unwrap_or(text)), name.to_owned()))
}

/// Removes the names of parameters, which do not matter to a compiled program.
fn without_names(declaration: &str) -> String {
    let Some((head, parameters)) = declaration.rsplit_once('(') else { return declaration.trim().to_owned() };
    let parameters = parameters.trim_end().trim_end_matches(')').split(", ");
    let types: Vec<&str> = parameters
        .map(|parameter| match parameter.rfind([' ', '*']) {
            Some(at) => parameter[..=at].trim_end(),
            None => parameter,
        })
        .collect();
    format!("{head}({})", types.join(", "))
}

/// Returns what a C program prints that includes the header: the size of each structure, and the offset and size of
/// each member, and the value of each constant.
fn layout(include: &Path, found: &Declarations) -> String {
    let mut code = String::from("#include <diskimg.h>\n#include <stdio.h>\nint main(void) {\n");
    for Structure { name, members } in &found.structures {
        writeln!(code, "printf(\"struct {name} %zu\\n\", sizeof({name}));").unwrap();
        for (kind, member) in members {
            writeln!(
                code,
                "printf(\"    %zu %zu {member}: {kind}\\n\", offsetof({name}, {member}), sizeof((({name} *)0)->{member}));"
            )
            .unwrap();
        }
    }
    for constant in &found.constants {
        writeln!(code, "printf(\"constant {constant} %lld\\n\", (long long){constant});").unwrap();
    }
    code.push_str("return 0;\n}\n");
    let scratch = tempfile::tempdir().unwrap();
    let (source, program) = (scratch.path().join("layout.c"), scratch.path().join("layout"));
    std::fs::write(&source, code).unwrap();
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let compiled =
        Command::new(compiler).arg("-I").arg(include).arg(&source).arg("-o").arg(&program).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap()
}

fn interface(root: &Path) -> String {
    let include = root.join("../../include");
    let header = std::fs::read_to_string(include.join("diskimg.h")).unwrap();
    let found = declarations(&header);
    assert_eq!(found.functions.len(), header.matches("\nDISKIMG_API").count());
    let mut text = format!("version {}\n", minor_version());
    for (kind, lines) in [("function", &found.functions), ("type", &found.types)] {
        for line in lines {
            writeln!(text, "{kind} {line}").unwrap();
        }
    }
    text + &layout(&include, &found)
}

fn minor_version() -> String {
    format!("{}.{}", env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"))
}

/// Returns the first difference unless the kept text is that of another minor version.
fn forbidden_change(kept: &str, now: &str) -> Option<String> {
    let same_version = kept.lines().next() == now.lines().next();
    let (mut before, mut after) = (kept.lines(), now.lines());
    loop {
        match (before.next(), after.next()) {
            (None, None) => return None,
            (before, after) if before != after => {
                return same_version.then(|| format!("was {before:?}, is {after:?}"));
            }
            _ => {}
        }
    }
}

#[test]
fn binary_interface_changes_only_with_the_minor_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (path, now) = (root.join("tests/abi.txt"), interface(root));
    if std::env::var_os("UPDATE_ABI").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some(change) = forbidden_change(&kept, &now) {
        panic!(
            "the binary interface of version {} changed: {change}\nRaise the minor version, or, if this version is not \
             published, run UPDATE_ABI=1 cargo test -p diskimg-capi --test abi",
            minor_version()
        );
    }
    assert_eq!(kept, now, "run UPDATE_ABI=1 cargo test -p diskimg-capi --test abi for the new minor version");
}

#[test]
fn each_kind_of_change_is_found() {
    let header = "// A comment; with a semicolon.\n#define DISKIMG_A 1\n#define DISKIMG_IO_INIT \\\n    { 0 }\n\
        typedef struct diskimg_io {\n    // Text.\n    size_t struct_size;\n    int (*pread)(void *user, size_t len);\n} diskimg_io;\n\
        typedef int (*diskimg_log_fn)(void *user, const char *message);\n\
        DISKIMG_API\nDISKIMG_MUST_USE\nuint32_t diskimg_call(const struct diskimg_io *io,\n                     size_t len);\n";
    let found = declarations(header);
    assert_eq!(found.functions, ["uint32_t diskimg_call(const struct diskimg_io *, size_t)"]);
    assert_eq!(found.types, ["int (*diskimg_log_fn)(void *, const char *)"]);
    assert_eq!(found.constants, ["DISKIMG_A"]);
    let [Structure { name, members }] = &found.structures[..] else { panic!("one structure") };
    assert_eq!(name, "diskimg_io");
    let pointer = "int (*pread)(void *, size_t)";
    assert_eq!(members[..], [("size_t".into(), "struct_size".into()), (pointer.into(), "pread".into())]);

    let kept = "version 0.1\nfunction a\nfunction b\n";
    assert_eq!(forbidden_change(kept, kept), None);
    for changed in [
        "version 0.1\nfunction a\n",
        "version 0.1\nfunction b\n",
        "version 0.1\nfunction a\nfunction b\nfunction c\n",
    ] {
        assert!(forbidden_change(kept, changed).is_some(), "{changed}");
    }
    assert_eq!(forbidden_change(kept, "version 0.2\nfunction a\n"), None);
}
