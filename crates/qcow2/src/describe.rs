//! The description of an image as [`ImageInfo`].

use diskimg_core::{Budget, Detail, Finding, ImageInfo, Limits, Printable, Reference};

use crate::bitmap::{self, Bitmap};
use crate::errors::FORMAT;
use crate::extensions::IgnoredExtensions;
use crate::features::{self, FeatureKind};
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;
use crate::header::{Encryption, Header, MAX_REFCOUNT_TABLE_BYTES};
use crate::l1;
use crate::luks;
use crate::selected_l1::SelectedL1;
use crate::snapshot;

/// Describes an image whose header was read. Reads the snapshot table and the bitmap directory; damage in them
/// becomes a finding.
pub(crate) fn describe(
    parsed: &FirstCluster,
    limits: &Limits,
    budget: &Budget,
    window: &mut FileWindow<'_>,
) -> ImageInfo {
    let header = &parsed.header;
    let mut info = ImageInfo::new(FORMAT, header.virtual_size());
    info.version = Some(header.version);
    info.allocation_unit = Some(header.geometry.cluster_size());
    info.compression = Some(header.compression.name());
    info.encryption = header.encryption.map(Encryption::name);
    info.dirty = header.has(features::DIRTY);
    info.corrupt = header.has(features::CORRUPT);
    info.references = parsed.backing.iter().chain(&parsed.data_file).cloned().collect();
    add_findings(parsed, limits, window.file_size(), &mut info.findings);
    let (listed, error) = snapshot::list(header, limits, budget, window);
    info.snapshots = listed;
    if let Some(error) = error {
        info.findings
            .push(Finding::warning("snapshots", format!("not all snapshots can be listed: {error}")));
    }
    let bitmaps = bitmaps(parsed, budget, window, &mut info.findings);
    let encryption = encryption(parsed, window, &mut info.findings);
    info.details = details(parsed, &bitmaps, encryption);
    info
}

fn add_findings(parsed: &FirstCluster, limits: &Limits, file_size: u64, findings: &mut Vec<Finding>) {
    let header = &parsed.header;
    if let Some(reference) = &parsed.backing {
        findings.push(external_file("backing_file", reference));
    }
    if let Some(reference) = &parsed.data_file {
        findings.push(external_file("data_file", reference));
    }
    if let Some(words) = features::unknown_in_words(header.incompatible, &parsed.extensions.feature_names) {
        let message = format!("the image needs unknown features: {words}");
        findings.push(Finding::hazard("unknown_features", message).at(72));
    }
    if let Err(error) = limits.check_virtual_size(header.virtual_size()) {
        findings.push(Finding::hazard("virtual_size", error.to_string()).at(24));
    }
    if header.size != header.virtual_size() {
        let message = format!(
            "the size of {} bytes is not a multiple of 512 and is rounded down to {}, as in QEMU",
            header.size,
            header.virtual_size()
        );
        findings.push(Finding::note("size_rounded", message).at(24));
    }
    let l1 = SelectedL1::active(header).mapping_bytes(header);
    if !l1.is_empty() && l1.end.0 > file_size {
        findings.push(
            Finding::warning("truncated", l1::truncated_table(&l1, file_size).to_string()).at(l1.start.0),
        );
    }
    if let Some(error) = parsed.encrypted() {
        findings.push(Finding::warning("encrypted", error.to_string()).at(32));
    }
    if header.has(features::CORRUPT) {
        findings.push(Finding::warning("corrupt", "a writer marked the image as corrupt").at(72));
    }
    if header.has(features::DIRTY) {
        findings
            .push(Finding::note("dirty", "the image was not closed cleanly; reading is not affected").at(72));
    }
    if parsed.data_file.is_none() && parsed.extensions.data_file.is_some() {
        findings
            .push(Finding::note("data_file_ignored", "a data file is named, but the image does not use one"));
    }
    findings.extend(refcount_table(header));
    findings.extend(ignored(parsed));
}

/// Reports what is unknown or repeated and ignored.
fn ignored(parsed: &FirstCluster) -> impl Iterator<Item = Finding> {
    let header = &parsed.header;
    let names = &parsed.extensions.feature_names;
    let unknown = |kind, value, known, field, at| {
        let words = features::unknown_of_kind(kind, value, known, names)?;
        Some(
            Finding::note("ignored_features", format!("unknown {field} features are ignored: {words}"))
                .at(at),
        )
    };
    let compatible = FeatureKind::Compatible;
    let compatible = unknown(compatible, header.compatible, features::LAZY_REFCOUNTS, "compatible", 80);
    let known = features::BITMAPS | features::RAW_EXTERNAL;
    let autoclear = unknown(FeatureKind::Autoclear, header.autoclear, known, "autoclear", 88);
    let extensions = |ignored: IgnoredExtensions, what| {
        let (kind, at) = ignored.first?;
        let message =
            format!("{} {what} header extensions are ignored, the first of type {kind:#x}", ignored.count);
        Some(Finding::note("ignored_extensions", message).at(at))
    };
    let unknown = extensions(parsed.extensions.unknown, "unknown");
    let repeated = extensions(parsed.extensions.repeated, "repeated");
    [compatible, autoclear, unknown, repeated].into_iter().flatten()
}

fn external_file(check: &'static str, reference: &Reference) -> Finding {
    let name = Printable::new(&reference.name);
    let message = match &reference.format {
        _ if reference.name.is_empty() => {
            format!("the image needs a {} and does not name it", reference.role.name())
        }
        None => format!("the image names a {}: {name}", reference.role.name()),
        Some(format) => format!(
            "the image names a {}: {name} of format {}",
            reference.role.name(),
            Printable::new(format.as_bytes())
        ),
    };
    let mut finding = Finding::hazard(check, message);
    finding.offset = reference.offset;
    finding
}

/// Reports a refcount table that QEMU rejects. Reading does not need the table.
fn refcount_table(header: &Header) -> Option<Finding> {
    let bytes = header.refcount_table_bytes();
    let message = match header.refcount_table_clusters {
        0 => "the image has no refcount table".to_owned(),
        _ if bytes > MAX_REFCOUNT_TABLE_BYTES => format!(
            "the refcount table has {bytes} bytes, more than the {MAX_REFCOUNT_TABLE_BYTES} that QEMU reads"
        ),
        _ => return None,
    };
    Some(Finding::warning("refcount_table", message).at(56))
}

fn bitmaps(
    parsed: &FirstCluster,
    budget: &Budget,
    window: &mut FileWindow<'_>,
    findings: &mut Vec<Finding>,
) -> Vec<Bitmap> {
    // Without the bit, the last writer did not update the bitmaps, so they are invalid.
    if parsed.header.autoclear & features::BITMAPS == 0 {
        return Vec::new();
    }
    let listed = match parsed.extensions.bitmaps {
        None => Err("the bitmaps feature is set without its header extension".to_owned()),
        Some(Err(len)) => Err(format!("the bitmaps extension has {len} bytes instead of 24")),
        Some(Ok(extension)) => bitmap::list(extension, budget, window).map_err(|error| error.to_string()),
    };
    listed.unwrap_or_else(|why| {
        findings.push(Finding::warning("bitmaps", format!("the bitmaps cannot be listed: {why}")));
        Vec::new()
    })
}

/// Describes the encryption: the name of the method and, for LUKS, the LUKS header.
fn encryption(
    parsed: &FirstCluster,
    window: &mut FileWindow<'_>,
    findings: &mut Vec<Finding>,
) -> Option<Detail> {
    let method = parsed.header.encryption?;
    let name_alone = || vec![("format".to_owned(), Detail::Text(method.name().to_owned()))];
    let rows = match parsed.extensions.crypto_header {
        Some(at) => luks::details(at, window).unwrap_or_else(|error| {
            findings.push(Finding::warning("encryption", error.to_string()).at(at.offset));
            name_alone()
        }),
        None => name_alone(),
    };
    Some(Detail::Table(rows))
}

fn text(bytes: &[u8]) -> Detail {
    Detail::Text(String::from_utf8_lossy(bytes).into_owned())
}

/// Returns what `qemu-img info` reports as format-specific, in its order.
fn details(parsed: &FirstCluster, bitmaps: &[Bitmap], encryption: Option<Detail>) -> Vec<(String, Detail)> {
    let header = &parsed.header;
    let version_3 = header.version >= 3;
    let flag = |set: bool| Detail::Flag(set);
    let mut all: Vec<(&str, Detail)> = Vec::new();
    all.push(("compat", Detail::Text(if version_3 { "1.1" } else { "0.10" }.to_owned())));
    all.push(("compression-type", Detail::Text(header.compression.name().to_owned())));
    if version_3 {
        all.push(("lazy-refcounts", flag(header.compatible & features::LAZY_REFCOUNTS != 0)));
    }
    if !bitmaps.is_empty() {
        all.push(("bitmaps", Detail::List(bitmaps.iter().map(bitmap_detail).collect())));
    }
    all.push(("refcount-bits", Detail::Number(1 << header.refcount_order)));
    if let Some(encryption) = encryption {
        all.push(("encrypt", encryption));
    }
    if let Some(reference) = &parsed.data_file {
        all.push(("data-file", text(&reference.name)));
        all.push(("data-file-raw", flag(header.autoclear & features::RAW_EXTERNAL != 0)));
    }
    if version_3 {
        all.push(("corrupt", flag(header.has(features::CORRUPT))));
        all.push(("extended-l2", flag(header.geometry.extended_l2())));
    }
    all.into_iter().map(|(name, detail)| (name.to_owned(), detail)).collect()
}

fn bitmap_detail(bitmap: &Bitmap) -> Detail {
    let flags = [("in-use", bitmap.in_use), ("auto", bitmap.auto)];
    let flags = flags.iter().filter(|(_, set)| *set).map(|(name, _)| Detail::Text((*name).to_owned()));
    Detail::Table(vec![
        ("flags".to_owned(), Detail::List(flags.collect())),
        ("name".to_owned(), text(&bitmap.name)),
        ("granularity".to_owned(), Detail::Number(bitmap.granularity)),
    ])
}
