//! Probing an OVA.

use diskimg::{ErrorKind, Opener, Probed, Prober, Wrapper};
use diskimg_core::conformance::painted;
use proptest::prelude::*;

use crate::common::ova;
use crate::{CHUNKS, archives, described, gz, image, of_file, probe, requesting};

#[test]
fn streamed_ova_is_described_like_its_file_for_any_split() {
    for (what, member, bytes) in archives() {
        let opener = requesting(member);
        let expected = described(&of_file(&opener, &bytes));
        for chunk in CHUNKS {
            let report = probe(&opener, &bytes, chunk);
            assert_eq!(described(&report.image), expected, "{what} by {chunk}");
            assert_eq!(report.pushed, bytes.len() as u64);
        }
        let whole = format!("{:?}", probe(&opener, &bytes, usize::MAX));
        for chunk in CHUNKS {
            assert_eq!(format!("{:?}", probe(&opener, &bytes, chunk)), whole, "{what} by {chunk}");
        }
        let report = probe(&opener, &gz(&bytes), 1000);
        assert_eq!(described(&report.image), expected, "{what} in gz");
        assert_eq!(report.wrapper, Some(Wrapper::Gzip));
        let streamed = opener.inspect_stream(&bytes[..]).map(|inspection| inspection.info);
        assert_eq!(described(&streamed), expected, "{what} read");
    }
}

#[test]
fn truncated_ova_is_described_like_its_file() {
    let whole = ova(&[("disk.qcow2", &image("cluster-512.qcow2")), ("box.cert", b"x")]);
    let opener = Opener::new();
    let near = |len: &usize| len % 512 < 2 || len % 512 > 510;
    for len in (0..=whole.len()).filter(near) {
        let found = probe(&opener, &whole[..len], 1000);
        assert_eq!(described(&found.image), described(&of_file(&opener, &whole[..len])), "{len}");
    }
}

#[test]
fn report_names_the_member() {
    let (vmdk, qcow2) = (image("stream.vmdk"), image("cluster-512.qcow2"));
    let bytes = ova(&[("one.vmdk", &vmdk), ("two.qcow2", &qcow2)]);
    let of = |member| {
        let report = probe(&requesting(member), &bytes, 5000);
        (report.member, report.formats.iter().map(|format| format.name()).collect::<Vec<_>>())
    };
    assert_eq!(of(Some("two.qcow2")), (Some("two.qcow2".to_owned()), vec!["qcow2"]));
    assert_eq!(of(Some("one.vmdk")), (Some("one.vmdk".to_owned()), vec!["vmdk"]));
    assert_eq!(of(None), (None, vec!["ova"]));
    assert_eq!(of(Some("none")), (None, vec!["ova"]));
}

#[test]
fn size_is_uncertain_until_the_archive_ends() {
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
fn complete_disk_is_described_before_the_archive_ends() {
    let disk = image("cluster-512.qcow2");
    let whole = ova(&[("disk.qcow2", &disk), ("box.cert", &painted(0, 100_000))]);
    let mut prober = Prober::new();
    let after_disk = 1024 + 512 + disk.len();
    prober.push(&whole[..after_disk - 1]);
    assert!(prober.info().is_none(), "it is shorter than the head");
    assert_eq!(prober.push(&whole[after_disk - 1..after_disk]), Probed::Format);
    let described = prober.info().unwrap().clone();
    assert_eq!(prober.push(&whole[after_disk..]), Probed::Done);
    assert_eq!(prober.finish().image.unwrap(), described);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn result_is_that_of_the_file_for_any_split(
        archive in 0_usize..19,
        damage in proptest::collection::vec((0_usize..8192, any::<u8>()), 0..3),
        wrapped in any::<bool>(),
        sizes in proptest::collection::vec(1_usize..100_000, 1..20),
    ) {
        let (_, member, mut bytes) = archives().swap_remove(archive);
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let opener = requesting(member);
        let expected = described(&of_file(&opener, &bytes));
        let stream = if wrapped { gz(&bytes) } else { bytes };
        let split = SplitStream { rest: &stream, sizes: sizes.clone(), next: 0 };
        let streamed = opener.inspect_whole_stream(split, &()).map(|inspection| inspection.info);
        prop_assert_eq!(described(&streamed), expected);
        // A prober does not compare tables.
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
        let at_once = probe(&opener, &stream, usize::MAX);
        prop_assert_eq!(described(&prober.finish().image), described(&at_once.image));
    }
}

/// A stream whose reads return pieces of these sizes in turn.
struct SplitStream<'a> {
    rest: &'a [u8],
    sizes: Vec<usize>,
    next: usize,
}

impl std::io::Read for SplitStream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let size = self.sizes[self.next % self.sizes.len()].min(buf.len()).min(self.rest.len());
        self.next += 1;
        buf[..size].copy_from_slice(&self.rest[..size]);
        self.rest = &self.rest[size..];
        Ok(size)
    }
}
