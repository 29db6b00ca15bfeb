//! What an image says about itself, as [`ImageInfo`].

use diskimg_core::{Detail, Finding, ImageInfo, Limits, Printable, Reference, ReferenceRole, Severity};

use crate::create_type::{Layout, is_device};
use crate::descriptor::{Descriptor, NO_PARENT};
use crate::encoding;
use crate::errors::FORMAT;
use crate::extent_line::{Access, ExtentLine, ExtentType};
use crate::extents::{Content, Parts};
use crate::parsed::{Kind, Parsed, identity, parent};
use crate::sesparse::SeSparseHeader;
use crate::sparse_header::COMPRESSED;

/// What is known of the files of an image once they are open.
pub(crate) struct Opened {
    size: u64,
    /// For each part, in the order of the descriptor's lines: its size, and for a sparse extent the bytes of
    /// a grain and whether grains are compressed.
    files: Vec<(u64, Option<(u64, bool)>)>,
}

impl Opened {
    pub(crate) fn new(parts: &Parts) -> Self {
        let files = parts.all.iter().map(|part| match &part.content {
            Content::Sparse(extent) => (part.len, Some((extent.grain_bytes, extent.is_compressed()))),
            Content::Zero | Content::Flat { .. } => (part.len, None),
        });
        Self { size: parts.size, files: files.collect() }
    }
}

/// Describes an image by its own file and, if they are open, the files it names.
pub(crate) fn describe(parsed: &Parsed, limits: &Limits, opened: Option<&Opened>) -> ImageInfo {
    let descriptor = parsed.readable();
    let (size, grain, compressed) = own_disk(parsed);
    let mut info = ImageInfo::new(FORMAT, opened.map_or(size, |opened| opened.size));
    info.version = match &parsed.kind {
        Kind::Hosted(header) => Some(header.version),
        Kind::Cowd(header) => Some(header.version),
        Kind::SeSparse(_) => Some(2),
        Kind::Text => descriptor.map(|descriptor| descriptor.version),
    };
    let opened_grain = opened.and_then(|opened| opened.files.iter().find_map(|(_, sparse)| *sparse));
    info.allocation_unit = grain.or(opened_grain.map(|(bytes, _)| bytes));
    info.compression = (compressed || opened_grain.is_some_and(|(_, packed)| packed)).then_some("deflate");
    info.dirty = matches!(&parsed.kind, Kind::Hosted(header) if header.unclean_shutdown);
    if let Some(descriptor) = descriptor {
        info.subformat = descriptor.create_type.as_ref().map(|value| text(value.bytes.trim_ascii()));
        info.identity = identity(descriptor);
        info.encryption = descriptor.encryption.as_ref().map(|_| "vmware");
        if has_other_files(parsed) {
            info.references = references(descriptor);
        }
        info.references.extend(parent_reference(descriptor));
        let own = grain.map(|grain| Own { size, grain, compressed });
        info.details = details(descriptor, own.as_ref(), opened);
    }
    info.findings = findings(parsed, &info, limits);
    info
}

/// The disk that the file itself claims to hold, or to put together: its size, the bytes of a grain, and
/// whether grains are compressed.
fn own_disk(parsed: &Parsed) -> (u64, Option<u64>, bool) {
    let lines = parsed.readable().map(|descriptor| descriptor.extents.as_slice()).unwrap_or_default();
    let sum = lines.iter().fold(0_u64, |sum, line| sum.saturating_add(line.bytes()));
    let smaller = |capacity: u64| match lines {
        [line] => capacity.min(line.bytes()),
        _ => capacity,
    };
    match &parsed.kind {
        Kind::Text => (sum, None, false),
        Kind::Hosted(header) if header.is_descriptor_only() => (sum, None, false),
        Kind::Hosted(header) => {
            (smaller(header.capacity()), Some(header.grain_bytes()), header.has(COMPRESSED))
        }
        Kind::Cowd(header) => (smaller(header.capacity()), Some(header.grain_bytes()), false),
        Kind::SeSparse(header) => (smaller(header.capacity()), Some(SeSparseHeader::grain_bytes()), false),
    }
}

/// Whether the extents of the descriptor are other files, and not the one it stands in.
fn has_other_files(parsed: &Parsed) -> bool {
    match &parsed.kind {
        Kind::Text => true,
        Kind::Hosted(header) => header.is_descriptor_only(),
        Kind::Cowd(_) | Kind::SeSparse(_) => false,
    }
}

/// The files that a descriptor names, in its order.
pub(crate) fn references(descriptor: &Descriptor) -> Vec<Reference> {
    let named = descriptor.extents.iter().filter_map(|line| line.name.as_ref().map(|name| (line, name)));
    named.map(|(line, name)| reference(line, name)).collect()
}

/// The file `name` of a line.
pub(crate) fn reference(line: &ExtentLine, name: &[u8]) -> Reference {
    Reference {
        role: ReferenceRole::Extent,
        name: name.to_vec(),
        identity: diskimg_core::Identity::default(),
        format: None,
        found_in: FORMAT,
        offset: Some(line.at),
    }
}

fn parent_reference(descriptor: &Descriptor) -> Option<Reference> {
    let hint = descriptor.parent_file_name_hint.as_ref();
    parent(descriptor).map(|identity| Reference {
        role: ReferenceRole::Parent,
        name: hint.map(|hint| hint.bytes.clone()).unwrap_or_default(),
        identity,
        format: Some(FORMAT.name().to_owned()),
        found_in: FORMAT,
        offset: hint.map(|hint| hint.at),
    })
}

pub(crate) fn warning(check: &'static str, message: impl Into<String>) -> Finding {
    Finding::new(Severity::Warning, check, message)
}

fn findings(parsed: &Parsed, info: &ImageInfo, limits: &Limits) -> Vec<Finding> {
    let mut all = Vec::new();
    match &parsed.descriptor {
        Ok(Some(descriptor)) => {
            add_extent_findings(parsed, descriptor, &mut all);
            all.extend(own_mismatch(parsed, descriptor));
            add_descriptor_findings(descriptor, &mut all);
        }
        Ok(None) => all.push(warning(
            "descriptor",
            "the file is one extent of an image whose descriptor is another file",
        )),
        Err(error) => {
            let message = format!("the descriptor cannot be read: {error}");
            all.push(warning("descriptor", message).at(parsed.descriptor_at));
        }
    }
    if let Err(error) = limits.check_virtual_size(info.virtual_size) {
        all.push(Finding::new(Severity::Unsafe, "virtual_size", error.to_string()));
    }
    if info.dirty {
        let message = "the image was not closed cleanly; reading is not affected";
        all.push(Finding::new(Severity::Note, "dirty", message).at(72));
    }
    all
}

/// Findings on the files that make up the disk: one for each kind of trouble, whatever their number.
fn add_extent_findings(parsed: &Parsed, descriptor: &Descriptor, all: &mut Vec<Finding>) {
    let lines = &descriptor.extents;
    if has_other_files(parsed) {
        let named: Vec<(&ExtentLine, &[u8])> =
            lines.iter().filter_map(|line| Some((line, line.name.as_deref()?))).collect();
        if let Some((line, name)) = named.iter().find(|(_, name)| reaches_out(name)) {
            let message = format!("the image names an extent outside its folder: {}", Printable::new(name));
            all.push(Finding::new(Severity::Unsafe, "extents", message).at(line.at));
        } else if let Some((line, name)) = named.first() {
            let message =
                format!("the disk is in {} other files, from {} on", named.len(), Printable::new(name));
            all.push(Finding::new(Severity::Unsafe, "extents", message).at(line.at));
        }
        if let Some((line, _)) = named.iter().find(|(line, name)| is_raw(line, name)) {
            let message = "the image is, or has, a device of the host, which is never opened";
            all.push(Finding::new(Severity::Unsafe, "device", message).at(line.at));
        }
        if !matches!(parsed.kind, Kind::Text) {
            let message = "the header has no disk of its own, and the descriptor names other files";
            all.push(Finding::new(Severity::Unsafe, "descriptor", message).at(12));
        }
    }
    if let Some(line) = lines.iter().find(|line| line.access == Access::NoAccess) {
        let message = "an extent may not be accessed and reads as zeros";
        all.push(Finding::new(Severity::Note, "no_access", message).at(line.at));
    }
}

/// Where a header and the one line of the descriptor behind it disagree on the size of the disk.
fn own_mismatch(parsed: &Parsed, descriptor: &Descriptor) -> Option<Finding> {
    let Kind::Hosted(header) = &parsed.kind else { return None };
    let [line] = descriptor.extents.as_slice() else { return None };
    let own = !header.is_descriptor_only() && line.access != Access::NoAccess;
    (own && line.bytes() != header.capacity()).then(|| size_mismatch(header.capacity(), line))
}

/// The finding on an extent whose header says `capacity` bytes, and its line another size.
pub(crate) fn size_mismatch(capacity: u64, line: &ExtentLine) -> Finding {
    let bytes = line.bytes();
    let message = format!(
        "the extent's header says {capacity} bytes and the descriptor {bytes}: the smaller one counts"
    );
    warning("size_mismatch", message).at(line.at)
}

fn add_descriptor_findings(descriptor: &Descriptor, all: &mut Vec<Finding>) {
    if let Some(reference) = parent_reference(descriptor) {
        let message = match reference.name.as_slice() {
            [] => "the image is based on a parent and does not name its file".to_owned(),
            name => format!("the image is based on a parent: {}", Printable::new(name)),
        };
        let finding = Finding::new(Severity::Unsafe, "parent", message);
        all.push(match reference.offset {
            Some(offset) => finding.at(offset),
            None => finding,
        });
    }
    let create_type = descriptor.create_type.as_ref().map(Layout::of);
    if let Some(Err(error)) = create_type {
        all.push(warning("descriptor", error.to_string()));
    }
    let names = descriptor.extents.iter().filter_map(|line| line.name.as_deref());
    let hint = descriptor.parent_file_name_hint.as_ref().map(|hint| hint.bytes.as_slice());
    if names.chain(hint).any(|name| std::str::from_utf8(name).is_err()) {
        let encoding = descriptor.encoding().unwrap_or(b"none");
        let looked_for = match encoding::is_known(encoding) {
            true => "those of extents are looked for in UTF-8, and then by their bytes",
            false => "they are looked for by their bytes alone",
        };
        let name = Printable::new(encoding);
        let message = format!("file names are not UTF-8 (encoding {name}): {looked_for}");
        all.push(Finding::new(Severity::Note, "encoding", message));
    }
}

fn is_raw(line: &ExtentLine, name: &[u8]) -> bool {
    matches!(line.kind, ExtentType::VmfsRdm | ExtentType::VmfsRaw) || is_device(name)
}

/// Whether a name leads out of the folder of its image: an absolute path, a drive, a URL, or a step upwards.
fn reaches_out(name: &[u8]) -> bool {
    let separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    name.first().is_some_and(separator)
        || name.contains(&b':')
        || name.contains(&0)
        || name.split(separator).any(|step| step == b"..")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The disk in the file that the descriptor stands in: its bytes, those of a grain, and whether grains are
/// compressed.
struct Own {
    size: u64,
    grain: u64,
    compressed: bool,
}

/// The facts that `qemu-img info` tells as format specific, in its order.
fn details(descriptor: &Descriptor, own: Option<&Own>, opened: Option<&Opened>) -> Vec<(String, Detail)> {
    let mut all: Vec<(&str, Detail)> = Vec::new();
    if let Some(cid) = descriptor.cid {
        all.push(("cid", Detail::Number(cid.into())));
    }
    all.push(("parent-cid", Detail::Number(descriptor.parent_cid.unwrap_or(NO_PARENT).into())));
    if let Some(create_type) = &descriptor.create_type {
        all.push(("create-type", Detail::Text(text(create_type.bytes.trim_ascii()))));
    }
    let lines = descriptor.extents.iter().zip(0_usize..);
    let extents = lines.map(|(line, number)| {
        let opened = opened.and_then(|opened| opened.files.get(number)).copied();
        extent_detail(line, own, opened)
    });
    all.push(("extents", Detail::List(extents.collect())));
    all.into_iter().map(|(name, detail)| (name.to_owned(), detail)).collect()
}

fn extent_detail(line: &ExtentLine, own: Option<&Own>, opened: Option<(u64, Option<(u64, bool)>)>) -> Detail {
    let sparse = own.map(|own| (own.grain, own.compressed)).or(opened.and_then(|(_, sparse)| sparse));
    let size = opened.map_or(own.map_or(line.bytes(), |own| own.size), |(size, _)| size);
    let mut rows: Vec<(&str, Detail)> = Vec::new();
    if sparse.is_some_and(|(_, compressed)| compressed) {
        rows.push(("compressed", Detail::Flag(true)));
    }
    rows.push(("virtual-size", Detail::Number(size)));
    // What the file was once called says nothing of what it is called.
    let name = if own.is_some() { String::new() } else { text(line.name.as_deref().unwrap_or_default()) };
    rows.push(("filename", Detail::File(name)));
    if let Some((grain, _)) = sparse {
        rows.push(("cluster-size", Detail::Number(grain)));
    }
    // QEMU leaves it empty for the one file of an image.
    let format = if own.is_some() { "" } else { line.kind.name() };
    rows.push(("format", Detail::Text(format.to_owned())));
    Detail::Table(rows.into_iter().map(|(name, detail)| (name.to_owned(), detail)).collect())
}
