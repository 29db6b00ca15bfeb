//! The manifest of an archive.

use diskimg_core::{ErrorKind, Severity};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{convert, findings, gz, inspect, mbr_disk, naming, tar};
use crate::Opener;

const LEN: usize = 128 << 10;

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines that programs write for a file.
fn lines(name: &str, bytes: &[u8]) -> [String; 4] {
    let (sha1, sha256) = (hex(&Sha1::digest(bytes)), hex(&Sha256::digest(bytes)));
    [
        format!("SHA1({name})= {sha1}\n"),
        format!("SHA256({name})= {}\r\n", sha256.to_uppercase()),
        format!("SHA2-256({name}) = {sha256}\n"),
        format!("SHA512({name})={}\n", hex(&Sha512::digest(bytes))),
    ]
}

/// Archives with the manifest before and after the disk.
fn archives(manifest: &str, disk: &(&str, &[u8])) -> [Vec<u8>; 2] {
    let (ovf, mf) = (("vm.ovf", &b"<Envelope/>"[..]), ("vm.mf", manifest.as_bytes()));
    [tar(&[ovf, mf, *disk]), tar(&[*disk, ovf, mf])]
}

#[test]
fn disk_with_the_digest_of_the_manifest_is_converted() {
    let disk = mbr_disk(LEN);
    for stored in [disk.clone(), gz(&disk)] {
        for line in lines("disk", &stored) {
            for archive in archives(&line, &("disk", &stored)) {
                assert!(convert(&Opener::new(), &archive).unwrap() == disk, "{line}");
                assert!(convert(&Opener::new(), &gz(&archive)).unwrap() == disk, "{line}");
                let info = inspect(&Opener::new(), &archive).unwrap();
                let notes = findings(&info);
                assert_eq!((notes.len(), info.findings[0].severity), (1, Severity::Note), "{notes:?}");
                assert!(notes[0].1.contains("is verified by a conversion, and not here"), "{notes:?}");
            }
        }
    }
}

#[test]
fn disk_with_another_digest_is_corrupt_unless_verification_is_off() {
    let disk = mbr_disk(LEN);
    let mut other = disk.clone();
    other[LEN - 1] ^= 1;
    for stored in [disk.clone(), gz(&disk)] {
        for line in lines("disk", &other) {
            for archive in archives(&line, &("disk", &stored)) {
                let error = convert(&Opener::new(), &archive).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains("of 'disk' is "), "{error}");
                let unverified = Opener { verify: false, ..Opener::new() };
                assert!(convert(&unverified, &archive).unwrap() == disk);
            }
        }
    }
}

#[test]
fn digest_of_another_member_does_not_concern_the_disk() {
    let disk = mbr_disk(LEN);
    let [line, ..] = lines("other", b"other bytes");
    for archive in archives(&line, &("disk", &disk)) {
        assert!(convert(&naming("disk"), &archive).unwrap() == disk);
        let info = inspect(&Opener::new(), &archive).unwrap();
        assert_eq!(findings(&info), [("manifest", "the manifest has no digest of the disk".to_owned())]);
    }
}

#[test]
fn digest_of_the_descriptor_and_bad_lines_are_findings() {
    let disk = mbr_disk(LEN);
    let [ovf, ..] = lines("vm.ovf", b"another descriptor");
    let [good, ..] = lines("vm.ovf", b"<Envelope/>");
    let [own, ..] = lines("disk", &disk);
    let warnings = |manifest: &str| {
        let mut info = inspect(&Opener::new(), &archives(manifest, &("disk", &disk))[0]).unwrap();
        info.findings.retain(|finding| finding.severity == Severity::Warning);
        findings(&info)
    };
    assert_eq!(warnings(&format!("{good}{own}")), []);
    let found = warnings(&format!("{ovf}{own}"));
    assert!(found.len() == 1 && found[0].1.contains("SHA1 of 'vm.ovf' is "), "{found:?}");
    for bad in ["MD5(disk)= 00", "SHA1(disk)= 00", "SHA1(disk)= xx", "text"] {
        let found = warnings(&format!("{own}\n{bad}\n"));
        assert!(found.len() == 1 && found[0].1.starts_with("line 3 of the manifest"), "{found:?}");
    }
}

#[test]
fn names_in_a_manifest_are_relative_to_its_directory() {
    let disk = mbr_disk(LEN);
    let wrong = "0".repeat(64);
    for (mf, listed, name) in [
        ("vm/vm.mf", "disk", "vm/disk"),
        ("./vm/vm.mf", "disk", "./vm/disk"),
        ("vm/vm.mf", "./disk", "./vm/disk"),
        ("vm/vm.mf", "vm/disk", "vm/disk"),
        ("./vm.mf", "disk", "disk"),
    ] {
        let good = lines(listed, &disk)[1].clone();
        let bad = format!("SHA256({listed})= {wrong}\n");
        let (ovf, archived) = (("vm/vm.ovf", &b"<Envelope/>"[..]), (name, &disk[..]));
        let with = |text: &str| {
            [tar(&[ovf, (mf, text.as_bytes()), archived]), tar(&[ovf, archived, (mf, text.as_bytes())])]
        };
        for archive in with(&good) {
            assert!(convert(&Opener::new(), &archive).unwrap() == disk, "{listed}");
        }
        for archive in with(&bad) {
            for archive in [archive.clone(), gz(&archive)] {
                let error = convert(&Opener::new(), &archive).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{listed} in {mf}: {error}");
            }
        }
    }
}
