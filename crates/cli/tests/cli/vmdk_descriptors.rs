//! VMDK descriptors: what is odd in them and decides nothing, and what changes the bytes of the disk.

use crate::tools::{ScratchDir, mixed_disk};

const LINE: &str = "RW 6144 SPARSE";
const SUBFORMATS: [&str; 2] = ["monolithicSparse", "streamOptimized"];

/// A disk of 3 MiB by `qemu-img` in `disk.vmdk`, with its descriptor changed.
fn changed(dir: &ScratchDir, subformat: &str, change: impl Fn(&str) -> String) {
    dir.write("disk.raw", &mixed_disk(3 << 20));
    dir.img(&["convert", "-O", "vmdk", "-o", &format!("subformat={subformat}"), "disk.raw", "disk.vmdk"]);
    let mut image = dir.read("disk.vmdk");
    let room = 512..20 * 512;
    let text =
        String::from_utf8(image[room.clone()].split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap();
    let new = change(&text);
    assert_ne!(new, text, "nothing changed");
    image[room.clone()].fill(0);
    image[room.start..][..new.len()].copy_from_slice(new.as_bytes());
    dir.write("disk.vmdk", &image);
}

/// Checks that the image is read like by `qemu-img`, from a file and a pipe, and that `inspect` has this note.
#[track_caller]
fn reads_with_note(dir: &ScratchDir, check: &str) {
    dir.img(&["convert", "-O", "raw", "disk.vmdk", "theirs.raw"]);
    dir.ok(&["convert", "--force", "-O", "raw", "disk.vmdk", "ours.raw"]);
    let piped = dir.run_fed(&["convert", "--force", "-O", "raw", "-", "piped.raw"], &dir.read("disk.vmdk"));
    assert_eq!((piped.code, piped.stderr.as_str()), (0, ""), "{piped:?}");
    assert_eq!(dir.read("theirs.raw"), dir.read("disk.raw"));
    assert_eq!(dir.read("ours.raw"), dir.read("disk.raw"));
    assert_eq!(dir.read("piped.raw"), dir.read("disk.raw"));
    let inspected = dir.ok(&["inspect", "--output=json", "disk.vmdk"]).json();
    let findings = inspected["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{inspected}");
    assert_eq!(
        (&findings[0]["check"], &findings[0]["severity"]),
        (&check.into(), &"note".into()),
        "{inspected}"
    );
    assert_eq!(dir.ok(&["check", "disk.vmdk"]).code, 0);
}

#[test]
fn oddity_in_a_descriptor_that_decides_nothing_is_read_as_by_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let changes: [(&str, &str, &str); 9] = [
        ("ddb.adapterType = \"ide\"", "ddb.adapterType = \"ide", "descriptor_value"),
        ("ddb.adapterType = \"ide\"", "ddb.adapterType = \"ide\" # default", "descriptor_value"),
        ("#DDB", "made by a tool", "descriptor_line"),
        ("#DDB", "CID=12345678", "content_id"),
        ("#DDB", "ddb.colour = \"red\"", "unknown_key"),
        ("#DDB", "madeBy=x", "unknown_key"),
        ("version=1", "version=1 # of three", "descriptor_value"),
        ("parentCID=ffffffff", "parentCID=00000000", "parent_cid"),
        ("\"disk.vmdk\"", "\"\"", "unnamed_extent"),
    ];
    for (old, new, check) in changes {
        for subformat in SUBFORMATS {
            changed(&dir, subformat, |text| text.replace(old, new));
            reads_with_note(&dir, check);
        }
    }
    changed(&dir, "monolithicSparse", |text| {
        let at = text.find("CID=").unwrap();
        format!("{}CID=3735928559{}", &text[..at], &text[text[at..].find('\n').unwrap() + at..])
    });
    reads_with_note(&dir, "content_id");
    let ours = dir.ok(&["info", "--output=json", "disk.vmdk"]).json();
    let theirs: serde_json::Value =
        serde_json::from_str(&dir.img(&["info", "--output=json", "disk.vmdk"])).unwrap();
    assert_eq!(ours["format-specific"]["data"]["cid"], theirs["format-specific"]["data"]["cid"]);
}

#[test]
fn oddity_in_a_line_that_decides_is_refused() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for (old, new) in [
        ("createType=\"monolithicSparse\"", "createType=\"monolithicSparse"),
        ("createType=\"monolithicSparse\"", "createType=\"monolithicSparse\" # x"),
        ("parentCID=ffffffff", "parentCID=4294967295"),
        ("parentCID=ffffffff", "parentCID=ffffffff\nparentCID=ffffffff"),
        ("#DDB", "parentFileNameHint=\"a.vmdk"),
        ("#DDB", "READWRITE 8 SPARSE \"a\""),
        (LINE, "RW x SPARSE"),
    ] {
        changed(&dir, "monolithicSparse", |text| text.replace(old, new));
        dir.run(&["convert", "-O", "raw", "disk.vmdk", "out.raw"]).fails_with(1, &["vmdk: "]);
        let image = dir.read("disk.vmdk");
        dir.run_fed(&["convert", "-O", "raw", "-", "out.raw"], &image).fails_with(1, &["vmdk: "]);
    }
    assert!(!dir.exists("out.raw"));
}

#[test]
fn parent_cid_of_zero_with_a_name_is_a_parent() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let hint = "parentCID=00000000\nparentFileNameHint=\"base.vmdk\"";
    changed(&dir, "monolithicSparse", |text| text.replace("parentCID=ffffffff", hint));
    dir.run(&["convert", "-O", "raw", "disk.vmdk", "out.raw"]).fails_with(1, &["parent", "base.vmdk"]);
}

const KEYS: [(&str, &str); 7] = [
    ("encryption.keySafe = \"vmware:key/list/(x)\"", "encrypted"),
    ("keyID = \"x\"", "encrypted"),
    ("encryptionKeys = \"vmware:key/list/(x)\"", "encrypted"),
    ("ddb.iofilters = \"vmwarevmcrypt\"", "encrypted"),
    ("ddb.encryption.mode = \"x\"", "encrypted"),
    ("ddb.iofilters = \"cache\"", "ddb.iofilters"),
    ("ddb.objectParentUri = \"vsan://x\"", "ddb.objectparenturi"),
];

#[test]
fn key_that_changes_what_the_bytes_mean_is_refused_in_every_descriptor() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for (key, word) in KEYS {
        for subformat in SUBFORMATS {
            changed(&dir, subformat, |text| text.replace("#DDB", key));
            for command in [&["convert", "-O", "raw"][..], &["convert", "-f", "vmdk", "-O", "raw"]] {
                dir.run(&[command, &["disk.vmdk", "out.raw"]].concat()).fails_with(1, &["vmdk: ", word]);
                let image = dir.read("disk.vmdk");
                dir.run_fed(&[command, &["-", "out.raw"]].concat(), &image).fails_with(1, &["vmdk: ", word]);
            }
            dir.run(&["check", "disk.vmdk"]).fails_with(1, &[word]);
            let info = dir.ok(&["info", "--output=json", "disk.vmdk"]).json();
            let expected = (word == "encrypted").then_some("vmware");
            assert_eq!(info["diskimg"]["encryption"].as_str(), expected, "{key}");
            assert_eq!(info["encrypted"].as_bool(), expected.map(|_| true), "{key}");
        }
    }
    assert!(!dir.exists("out.raw"));
}

#[test]
fn encryption_of_a_flat_disk_an_extent_or_a_parent_is_refused() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    changed(&dir, "monolithicSparse", |text| text.replace("#DDB", "keyID = \"x\""));
    let plain = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n";
    let flat = format!("{plain}createType=\"monolithicFlat\"\nRW 6144 FLAT \"disk.raw\" 0\nkeyID = \"x\"\n");
    dir.write("flat.vmdk", flat.as_bytes());
    let line = "RW 6144 SPARSE \"disk.vmdk\"\n";
    dir.write("custom.vmdk", format!("{plain}createType=\"custom\"\n{line}").as_bytes());
    let child = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=00000001\n\
                 parentFileNameHint=\"flat.vmdk\"\ncreateType=\"twoGbMaxExtentSparse\"\n\
                 RW 6144 SPARSE \"empty.vmdk\"\n";
    dir.img(&["create", "-q", "-f", "vmdk", "empty.vmdk", "3M"]);
    dir.write("child.vmdk", child.as_bytes());
    for image in ["flat.vmdk", "custom.vmdk", "child.vmdk"] {
        let ran = dir.run(&["convert", "--follow", "-O", "raw", image, "out.raw"]);
        ran.fails_with(1, &["vmdk: ", "encrypted"]);
    }
    assert!(!dir.exists("out.raw"));
}
