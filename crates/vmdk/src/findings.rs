//! Findings on the head of an image, known without opening the files it names.

use diskimg_core::{Finding, ImageInfo, Limits, Printable};

use crate::create_type::CreateType;
use crate::descriptor::Descriptor;
use crate::encoding;
use crate::extent_line::{Access, ExtentLine};
use crate::file_head::{FileHead, FileKind};
use crate::own_size::{self, own_mismatch};
use crate::part::part_finding;
use crate::references::{is_device_extent, leaves_directory, parent_reference};

/// Returns the findings on an image that `info` describes.
pub(crate) fn findings(head: &FileHead, info: &ImageInfo, limits: &Limits) -> Vec<Finding> {
    let mut all: Vec<Finding> = part_finding(head).into_iter().collect();
    match &head.descriptor {
        Ok(Some(descriptor)) => {
            add_file_findings(head, descriptor, &mut all);
            all.extend(own_size_mismatch(head, descriptor));
            all.extend(descriptor.unreadable());
            add_descriptor_findings(descriptor, &mut all);
            add_notes(head, descriptor, &mut all);
        }
        Ok(None) => {}
        Err(error) => {
            let message = format!("the descriptor cannot be read: {error}");
            all.push(Finding::warning("descriptor", message).at(head.descriptor_at.0));
        }
    }
    if let FileKind::Hosted(header) = &head.kind {
        if header.unknown_flags() != 0 {
            let message =
                format!("flags {:#x} of the header have no meaning and are ignored", header.unknown_flags());
            all.push(Finding::note("flags", message).at(8));
        }
    }
    if let Err(error) = limits.check_virtual_size(info.virtual_size) {
        all.push(Finding::hazard("virtual_size", error.to_string()));
    }
    if info.dirty {
        all.push(Finding::note("dirty", "the image was not closed cleanly; reading is not affected").at(72));
    }
    all
}

/// Adds findings on the extents: one for each kind of problem, whatever their number.
fn add_file_findings(head: &FileHead, descriptor: &Descriptor, all: &mut Vec<Finding>) {
    let lines = &descriptor.extents;
    if head.has_other_files() {
        let named: Vec<(&ExtentLine, &[u8])> =
            lines.iter().filter_map(|line| Some((line, line.name.as_deref()?))).collect();
        if let Some((line, name)) = named.iter().find(|(_, name)| leaves_directory(name)) {
            let message =
                format!("the image names an extent outside its directory: {}", Printable::new(name));
            all.push(Finding::hazard("extents", message).at(line.at));
        } else if let Some((line, name)) = named.first() {
            let name = Printable::new(name);
            let message = match named.len() {
                1 => format!("the disk is in another file, {name}"),
                count => format!("the disk is in {count} other files, the first is {name}"),
            };
            all.push(Finding::hazard("extents", message).at(line.at));
        }
        if let Some((line, _)) = named.iter().find(|(line, name)| is_device_extent(line, name)) {
            let message = "an extent is a device of the host, which is never opened";
            all.push(Finding::hazard("device", message).at(line.at));
        }
        if !matches!(head.kind, FileKind::Text) {
            let message = "the file contains no disk, and its descriptor names other files";
            all.push(Finding::hazard("descriptor", message).at(12));
        }
    }
    if let Some(line) = lines.iter().find(|line| line.access == Access::NoAccess) {
        all.push(
            Finding::warning("no_access", "an extent is marked NOACCESS and reads as zeros").at(line.at),
        );
    }
}

/// The finding on a header and an embedded descriptor that differ in the size of the disk.
fn own_size_mismatch(head: &FileHead, descriptor: &Descriptor) -> Option<Finding> {
    let FileKind::Hosted(header) = &head.kind else { return None };
    let [line] = descriptor.extents.as_slice() else { return None };
    let own = !header.is_descriptor_only() && line.access != Access::NoAccess;
    own_mismatch(header.capacity(), header.grain_bytes(), line).filter(|_| own)
}

/// The finding on an extent of an image of several files whose header gives `capacity` bytes, and whose line gives another size.
pub(crate) fn size_mismatch(capacity: u64, line: &ExtentLine) -> Finding {
    let bytes = line.bytes();
    let message = format!(
        "the extent's header gives {capacity} bytes and the descriptor {bytes}: the smaller size is used"
    );
    Finding::warning(own_size::CHECK, message).at(line.at)
}

/// Adds notes on what is odd in the descriptor and does not change the disk.
fn add_notes(head: &FileHead, descriptor: &Descriptor, all: &mut Vec<Finding>) {
    all.extend(descriptor.notes.iter().cloned());
    if let Some((_, at)) = descriptor.unknown_keys.first() {
        let names = descriptor.unknown_keys.iter().map(|(key, _)| Printable::new(key).to_string());
        let names = names.collect::<Vec<_>>().join(", ");
        let message = format!("keys of the descriptor that are not known: {names}");
        all.push(Finding::note("unknown_key", message).at(*at));
    }
    if descriptor.parent_cid == Some(0) && parent_reference(descriptor).is_none() {
        let message = "parentCID is 00000000 and nothing else names a parent: there is none";
        all.push(Finding::note("parent_cid", message));
    }
    let nameless = |line: &&ExtentLine| line.name.as_ref().is_some_and(Vec::is_empty);
    if let Some(line) = descriptor.extents.iter().find(nameless).filter(|_| !head.has_other_files()) {
        all.push(Finding::note("unnamed_extent", "the extent line gives the file no name").at(line.at));
    }
}

fn add_descriptor_findings(descriptor: &Descriptor, all: &mut Vec<Finding>) {
    if let Some(reference) = parent_reference(descriptor) {
        let message = match reference.name.as_slice() {
            [] => "the image is based on a parent and does not name its file".to_owned(),
            name => format!("the image is based on a parent: {}", Printable::new(name)),
        };
        let mut finding = Finding::hazard("parent", message);
        finding.offset = reference.offset;
        all.push(finding);
    }
    let create_type = descriptor.create_type.as_ref().map(CreateType::parse);
    if let Some(Err(error)) = create_type {
        all.push(Finding::warning("descriptor", error.to_string()));
    }
    let names = descriptor.extents.iter().filter_map(|line| line.name.as_deref());
    let hint = descriptor.parent_file_name_hint.as_ref().map(|hint| hint.bytes.as_slice());
    if names.chain(hint).any(|name| std::str::from_utf8(name).is_err()) {
        let encoding = descriptor.encoding().unwrap_or(b"none");
        let lookup = match encoding::is_known(encoding) {
            true => "extents are looked up in UTF-8, and then by their bytes",
            false => "they are looked up by their bytes only",
        };
        let name = Printable::new(encoding);
        let message = format!("file names are not UTF-8 (encoding {name}): {lookup}");
        all.push(Finding::note("encoding", message));
    }
}
