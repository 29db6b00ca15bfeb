use super::*;
use diskimg_core::Memory;

/// A tar header for a member of this name, length and kind.
fn header(name: &str, len: u64, kind: u8) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{len:011o}").as_bytes());
    block[148..156].fill(b' ');
    block[156] = kind;
    block[257..263].copy_from_slice(b"ustar\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn member(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = header(name, bytes.len() as u64, kind);
    all.extend_from_slice(bytes);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

fn qcow2(len: usize) -> Vec<u8> {
    let mut bytes = b"QFI\xfb\0\0\0\x03".to_vec();
    bytes.resize(len, 0);
    bytes
}

fn archive(parts: &[Vec<u8>]) -> Memory {
    Memory::new([parts.concat(), vec![0; 1024]].concat())
}

#[test]
fn an_ova_is_known_by_its_first_member_and_lists_its_disks() {
    let ova = archive(&[
        member("box.ovf", b'0', b"<Envelope/>"),
        member("box.mf", b'0', b"SHA1"),
        member("one.qcow2", b'0', &qcow2(700)),
        member("directory", b'5', b""),
        member("two.qcow2", 0, &qcow2(512)),
    ]);
    assert!(is_ova(&ova).unwrap());
    let found = disks(&ova).unwrap();
    let names: Vec<&str> = found.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["one.qcow2", "two.qcow2"]);
    assert_eq!(found[0].range.end - found[0].range.start, 700);
    assert_eq!(choose(found.clone(), Some("two.qcow2")).unwrap().name, "two.qcow2");
    let error = choose(found.clone(), None).unwrap_err();
    assert!(error.to_string().contains("one.qcow2, two.qcow2"), "{error}");
    assert!(choose(found, Some("three")).is_err());
    assert_eq!(choose(Vec::new(), None).unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(!is_ova(&archive(&[member("one.qcow2", b'0', &qcow2(512))])).unwrap());
}

#[test]
fn long_names_come_from_extended_headers() {
    let pax = b"32 path=a-name-from-pax.qcow2.x\n".to_vec();
    assert_eq!(pax.len(), 32);
    let all = archive(&[
        member("x", b'L', b"a-long-name.qcow2\0"),
        member("short", b'0', b"1"),
        member("x", b'x', &pax),
        member("short", b'0', b"22"),
        member("plain", b'0', b"333"),
    ]);
    let found = members(&all).unwrap();
    let names: Vec<&str> = found.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["a-long-name.qcow2", "a-name-from-pax.qcow2.x", "plain"]);
}

#[test]
fn damaged_archives_are_refused_in_bounded_time() {
    let mut checksum = member("box.ovf", b'0', b"x");
    checksum[0] = b'y';
    assert_eq!(members(&archive(&[checksum])).unwrap_err().kind(), ErrorKind::Corrupt);
    let long = header("box.ovf", 1 << 30, b'0');
    assert_eq!(members(&archive(&[long])).unwrap_err().kind(), ErrorKind::Truncated);
    let extended = [header("x", 1 << 20, b'L'), vec![0; 1 << 20]].concat();
    assert_eq!(members(&archive(&[extended])).unwrap_err().kind(), ErrorKind::Limit);
    let endless = header("x", 0, b'0').repeat(5000);
    assert_eq!(members(&archive(&[endless])).unwrap_err().kind(), ErrorKind::Limit);
    for record in ["", "9999 path=x\n", "x", "3 \n", "5 a=b"] {
        let all = archive(&[member("x", b'x', record.as_bytes()), member("y", b'0', b"")]);
        assert_eq!(members(&all).is_ok(), record.is_empty() || record == "3 \n", "{record:?}");
    }
}
