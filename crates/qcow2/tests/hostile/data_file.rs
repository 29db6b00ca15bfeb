//! External data files, which only the caller's resolver opens.

use std::sync::Arc;

use diskimg_core::conformance::{painted, source};
use diskimg_core::{
    BlockSource, ErrorKind, ExtentKind, Memory, OpenOptions, Reference, ReferenceRole, Resolver, Result,
};
use diskimg_qcow2::Qcow2;

use crate::image::{CLUSTER, COMPRESSED, COPIED, DATA_FILE, Image, L2, SIZE, assert_error, checks};

struct OneFile(Vec<u8>);

impl Resolver for OneFile {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        assert_eq!(reference.role, ReferenceRole::DataFile);
        match reference.name.as_slice() {
            b"disk.data" | b"" => Ok(Arc::new(Memory::new(self.0.clone()))),
            _ => Err(reference.denied()),
        }
    }
}

/// An image whose first two clusters are at 0 and 8192 of its data file.
fn external(name: Option<&[u8]>) -> Image {
    Image::new().with(|image| {
        image.u64(72, DATA_FILE);
        image.u64(L2, COPIED);
        image.u64(L2 + 8, COPIED | (2 * CLUSTER));
        if let Some(name) = name {
            image.extension(104, 0x4441_5441, name);
        }
    })
}

fn open(image: &Image, data: Vec<u8>) -> Result<Qcow2> {
    image.open_with(&OpenOptions { resolver: &OneFile(data), ..OpenOptions::default() })
}

#[test]
fn data_file_is_denied_by_default_and_reported() {
    let image = external(Some(b"/etc/hostname"));
    let error = image.refused();
    assert_error(&error, ErrorKind::Denied, Some(112), None);
    assert!(error.to_string().contains("\"/etc/hostname\""), "{error}");
    assert_eq!(checks(&image.inspected()), ["data_file"]);
    assert_eq!(image.inspected().references[0].offset, Some(112));
    let unnamed = external(None);
    assert_error(&unnamed.refused(), ErrorKind::Denied, None, None);
    assert_eq!(checks(&unnamed.inspected()), ["data_file"]);
}

#[test]
fn data_file_name_without_the_feature_is_ignored() {
    let image = Image::new().with(|image| {
        image.extension(104, 0x4441_5441, b"disk.data");
    });
    assert!(image.inspected().references.is_empty());
    assert_eq!(checks(&image.inspected()), ["data_file_ignored"]);
    assert!(image.open().is_ok());
}

#[test]
fn raw_external_feature_without_a_data_file_is_corrupt() {
    let error = Image::new().with(|image| image.u64(88, 2)).refused();
    assert_error(&error, ErrorKind::Corrupt, Some(88), None);
}

#[test]
fn data_clusters_are_read_from_the_data_file_even_at_offset_0() {
    let data = painted(100, 3 * CLUSTER as usize);
    let cluster = CLUSTER as usize;
    let mut bytes = [&data[..cluster], &data[2 * cluster..]].concat();
    bytes.resize(SIZE as usize, 0);
    for name in [Some(&b"disk.data"[..]), None] {
        let disk = open(&external(name), data.clone()).unwrap();
        source(&disk, &bytes);
        let extent = disk.extent_at(CLUSTER..3 * CLUSTER).unwrap();
        assert_eq!((extent.kind, extent.len), (ExtentKind::Data, CLUSTER));
        assert_eq!(extent.location.bytes, Some(&data[2 * cluster..]));
    }
}

#[test]
fn short_data_file_is_truncated() {
    let disk = open(&external(None), vec![1; CLUSTER as usize + 1]).unwrap();
    let error = disk.read_at(CLUSTER, &mut [0; 1]).unwrap_err();
    assert_error(&error, ErrorKind::Truncated, Some(2 * CLUSTER), Some(CLUSTER));
    let mut first = [0; 2];
    disk.read_at(0, &mut first).unwrap();
    assert_eq!(first, [1, 1]);
}

#[test]
fn compressed_cluster_with_a_data_file_is_corrupt() {
    let image = external(None).with(|image| image.u64(L2, COMPRESSED | 0x5000));
    let disk = open(&image, vec![0; 3 * CLUSTER as usize]).unwrap();
    let error = disk.read_at(0, &mut [0; 1]).unwrap_err();
    assert_error(&error, ErrorKind::Corrupt, Some(L2), Some(0));
}

#[test]
fn data_file_that_ends_inside_a_cluster_is_a_finding() {
    use diskimg_core::Image as _;
    let image = external(Some(b"disk.data"));
    let findings = |data: usize| {
        let disk = open(&image, painted(0, data)).unwrap();
        let findings = disk.info().findings.iter().filter(|finding| finding.check == "truncated_cluster");
        findings.map(|finding| (finding.offset.unwrap(), finding.message.clone())).collect::<Vec<_>>()
    };
    assert!(findings(3 * CLUSTER as usize).is_empty());
    let found = findings(2 * CLUSTER as usize + 96);
    assert_eq!(found[0].0, 2 * CLUSTER + 96);
    assert!(found[0].1.contains("guest offset 4192; the missing 4000 bytes"), "{found:?}");
}
