//! What a prober tells of an OVA, and when.

use diskimg::{ErrorKind, Opener, Probed, Prober, Wrapper};
use diskimg_core::conformance::painted;
use proptest::prelude::*;

use crate::common::ova;
use crate::{CHUNKS, archives, gz, image, of_file, probe, told, wanting};

#[test]
fn x01_an_ova_is_told_as_its_file_is_however_it_is_cut() {
    for (what, member, bytes) in archives() {
        let opener = wanting(member);
        let expected = told(&of_file(&opener, &bytes));
        for chunk in CHUNKS {
            let report = probe(&opener, &bytes, chunk);
            assert_eq!(told(&report.image), expected, "{what} by {chunk}");
            assert_eq!(report.pushed, bytes.len() as u64);
        }
        let whole = format!("{:?}", probe(&opener, &bytes, usize::MAX));
        for chunk in CHUNKS {
            assert_eq!(format!("{:?}", probe(&opener, &bytes, chunk)), whole, "{what} by {chunk}");
        }
        let report = probe(&opener, &gz(&bytes), 1000);
        assert_eq!(told(&report.image), expected, "{what} in gz");
        assert_eq!(report.wrapper, Some(Wrapper::Gzip));
        let streamed = opener.inspect_stream(&bytes[..]).map(|inspection| inspection.info);
        assert_eq!(told(&streamed), expected, "{what} read");
    }
}

#[test]
fn an_ova_cut_anywhere_is_told_as_its_file_is() {
    let whole = ova(&[("disk.qcow2", &image("cluster-512.qcow2")), ("box.cert", b"x")]);
    let opener = Opener::new();
    let near = |len: &usize| len % 512 < 2 || len % 512 > 510;
    for len in (0..=whole.len()).filter(near) {
        let found = probe(&opener, &whole[..len], 1000);
        assert_eq!(told(&found.image), told(&of_file(&opener, &whole[..len])), "{len}");
    }
}

#[test]
fn the_disk_that_is_told_of_is_named() {
    let (vmdk, qcow2) = (image("stream.vmdk"), image("cluster-512.qcow2"));
    let bytes = ova(&[("one.vmdk", &vmdk), ("two.qcow2", &qcow2)]);
    let of = |member| {
        let report = probe(&wanting(member), &bytes, 5000);
        (report.member, report.formats.iter().map(|format| format.name()).collect::<Vec<_>>())
    };
    assert_eq!(of(Some("two.qcow2")), (Some("two.qcow2".to_owned()), vec!["qcow2"]));
    assert_eq!(of(Some("one.vmdk")), (Some("one.vmdk".to_owned()), vec!["vmdk"]));
    assert_eq!(of(None), (None, vec!["ova"]));
    assert_eq!(of(Some("none")), (None, vec!["ova"]));
}

#[test]
fn nothing_is_certain_before_the_archive_has_ended() {
    let whole = ova(&[("disk.qcow2", &image("large-sparse.qcow2")), ("second", &image("v3.qcow2"))]);
    let second = whole.len() - 1024 - image("v3.qcow2").len().next_multiple_of(512) - 512;
    let mut prober = Prober::new();
    let mut states = Vec::new();
    for (index, chunk) in whole.chunks(512).enumerate() {
        let state = prober.push(chunk);
        if states.last().is_none_or(|(_, last)| *last != state) {
            states.push((index * 512, state));
        }
        let passed = (index + 1) * 512;
        if passed > 90_000 && passed < second {
            assert_eq!(prober.info().map(|info| info.virtual_size), Some(48 << 20), "{passed}");
        } else if passed > second + 90_000 {
            assert!(prober.info().is_none(), "{passed}");
        }
    }
    let only: Vec<Probed> = states.iter().map(|(_, state)| *state).collect();
    assert_eq!(only, [Probed::More, Probed::Format, Probed::Done]);
    assert_eq!(states[2].0, whole.len() - 1024, "the first block of the end");
    assert_eq!(prober.finish().image.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_disk_that_has_passed_is_told_of_before_the_archive_ends() {
    let disk = image("cluster-512.qcow2");
    let whole = ova(&[("disk.qcow2", &disk), ("box.cert", &painted(0, 100_000))]);
    let mut prober = Prober::new();
    let behind = 1024 + 512 + disk.len();
    prober.push(&whole[..behind - 1]);
    assert!(prober.info().is_none(), "it is shorter than what is looked at first");
    assert_eq!(prober.push(&whole[behind - 1..behind]), Probed::Format);
    let told = prober.info().unwrap().clone();
    assert_eq!(prober.push(&whole[behind..]), Probed::Done);
    assert_eq!(prober.finish().image.unwrap(), told);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_cuts_tell_the_same_as_the_file(
        archive in 0_usize..17,
        damage in proptest::collection::vec((0_usize..8192, any::<u8>()), 0..3),
        wrapped in any::<bool>(),
        sizes in proptest::collection::vec(1_usize..100_000, 1..20),
    ) {
        let (_, member, mut bytes) = archives().swap_remove(archive);
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let opener = wanting(member);
        let expected = told(&of_file(&opener, &bytes));
        let stream = if wrapped { gz(&bytes) } else { bytes };
        let mut prober = Prober::with(&opener);
        let mut rest = &stream[..];
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            prober.push(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(told(&prober.finish().image), expected);
    }
}
