//! Details compared with `qemu-img info`.

use std::fmt::Write as _;

use diskimg_core::{Detail, ImageInfo, Limits};
use diskimg_qcow2::inspect;

use crate::tools::{HostFile, Workshop};

/// The details in the form in which `qemu-img info` prints `format-specific`, `data`.
fn printed(info: &ImageInfo) -> String {
    let table = Detail::Table(info.details.clone());
    let mut text = String::from("        \"data\": ");
    print(&table, 2, &mut text);
    text
}

fn print(detail: &Detail, depth: usize, text: &mut String) {
    let indent = |text: &mut String, depth: usize| {
        text.push('\n');
        (0..depth).for_each(|_| text.push_str("    "));
    };
    match detail {
        Detail::Flag(flag) => write!(text, "{flag}").unwrap(),
        Detail::Number(number) => write!(text, "{number}").unwrap(),
        Detail::Text(words) | Detail::File(words) => write!(text, "\"{words}\"").unwrap(),
        Detail::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                indent(text, depth + 1);
                print(item, depth + 1, text);
            }
            indent(text, depth);
            text.push(']');
        }
        Detail::Table(rows) => {
            text.push('{');
            for (index, (name, value)) in rows.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                indent(text, depth + 1);
                write!(text, "\"{name}\": ").unwrap();
                print(value, depth + 1, text);
            }
            indent(text, depth);
            text.push('}');
        }
    }
}

fn compare(shop: &Workshop, image: &str) -> ImageInfo {
    let info = inspect(HostFile::open(&shop.path(image)).as_ref(), &Limits::default()).unwrap();
    let theirs = shop.img(&["info", "--output=json", image]);
    assert!(theirs.contains(&printed(&info)), "{theirs}\n---\n{}", printed(&info));
    let number = |name: &str, value: u64| format!("\n    \"{name}\": {value},");
    for line in [
        number("virtual-size", info.virtual_size),
        number("cluster-size", info.allocation_unit.unwrap()),
        "\n    \"format\": \"qcow2\",".to_owned(),
    ] {
        assert!(theirs.contains(&line), "{line} in {theirs}");
    }
    info
}

#[test]
fn details_equal_those_of_qemu_img_info() {
    let Some(shop) = Workshop::open() else { return };
    for options in [
        "compat=0.10",
        "compat=1.1",
        "compat=0.10,encrypt.format=aes,encrypt.key-secret=key",
        "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10",
        "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10,encrypt.cipher-alg=serpent-128,\
         encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256",
        "compression_type=zstd,cluster_size=4k,refcount_bits=1",
        "extended_l2=on,lazy_refcounts=on",
        "data_file=disk.data",
        "data_file=disk.data,data_file_raw=on",
    ] {
        let secret = ["--object", "secret,id=key,data=x"];
        shop.img(&["create", secret[0], secret[1], "-f", "qcow2", "-o", options, "disk.qcow2", "1M"]);
        compare(&shop, "disk.qcow2");
    }
}

#[test]
fn bitmaps_equal_those_of_qemu_img_info() {
    let Some(shop) = Workshop::open() else { return };
    shop.img(&["create", "-f", "qcow2", "disk.qcow2", "1M"]);
    shop.img(&["bitmap", "--add", "disk.qcow2", "first"]);
    shop.img(&["bitmap", "--add", "--disable", "-g", "512", "disk.qcow2", "second one"]);
    let info = compare(&shop, "disk.qcow2");
    assert!(info.details.iter().any(|(name, _)| name == "bitmaps"));
    assert!(info.findings.is_empty());
}

#[test]
fn backing_file_is_reported_with_its_format() {
    let Some(shop) = Workshop::open() else { return };
    shop.img(&["create", "-f", "raw", "base.raw", "1M"]);
    for compat in ["compat=0.10", "compat=1.1"] {
        shop.img(&["create", "-f", "qcow2", "-o", compat, "-b", "base.raw", "-F", "raw", "disk.qcow2"]);
        let info = compare(&shop, "disk.qcow2");
        assert_eq!(info.references[0].name, b"base.raw");
        assert_eq!(info.references[0].format.as_deref(), Some("raw"));
    }
}
