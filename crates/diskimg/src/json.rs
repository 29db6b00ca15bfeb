//! The description of an image as JSON, in the form of `qemu-img info --output=json`. Our additions are under
//! `"diskimg"`.
//!
//! Used by all front ends that print JSON. Names from an image are included as they are, with invalid UTF-8
//! replaced. [`escape`] makes the text safe to print; a program that prints the decoded names has to escape them itself.

use diskimg_codec::Wrapper;
use diskimg_core::{Detail, Finding, ImageInfo, Reference, ReferenceRole, Severity, Snapshot, is_hidden};
use serde_json::{Value, json};

use crate::inspection::Inspection;

/// Returns the object that `qemu-img info --output=json` prints, with `"diskimg"` at its end. `filename` is the name of
/// the image; names in the image are printed relative to it.
///
/// ```
/// use diskimg::{Memory, Opener, json};
/// let mut opener = Opener::new();
/// opener.allow_raw = true;
/// let inspection = opener.inspect_source(&Memory::new(vec![1; 512]))?;
/// assert_eq!(json::info(&inspection, "disk")["virtual-size"], 512);
/// # Ok::<(), diskimg::Error>(())
/// ```
#[must_use]
pub fn info(inspection: &Inspection, filename: &str) -> Value {
    let info = &inspection.info;
    let (backing, format) = (backing(info), info.format.name());
    let children = || children(inspection, filename);
    let specific = || json!({ "type": format, "data": table(&info.details, filename) });
    let snapshots = || info.snapshots.iter().map(snapshot).collect::<Value>();
    let mut object = json!({
        "children": inspection.file_size.map(|_| children()),
        "backing-filename-format": backing.and_then(|backing| backing.format.as_ref()),
        "snapshots": (!info.snapshots.is_empty()).then(snapshots),
        "virtual-size": whole_sectors(info.virtual_size),
        "filename": filename,
        "cluster-size": info.allocation_unit,
        "format": format,
        "actual-size": inspection.allocated_in_all_files(),
        "format-specific": (!info.details.is_empty()).then(specific),
        "full-backing-filename": backing.map(|backing| full_name(filename, &backing.name_lossy())),
        "backing-filename": backing.map(Reference::name_lossy),
        "encrypted": info.encryption.is_some().then_some(true),
        "dirty-flag": info.dirty,
        "diskimg": additions(inspection),
    });
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

/// Escapes the [hidden characters](diskimg_core::is_hidden) in JSON text, which JSON allows in strings: names in an image
/// could control the terminal that prints it. Parsing the result returns the same values.
///
/// ```
/// use diskimg::json::escape;
/// assert_eq!(escape("\"a\u{202e}\u{9b}\u{e0041}\""), r#""a\u202e\u009b\udb40\udc41""#);
/// ```
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // In JSON text, a character below a space is white space between values: it is escaped in strings.
        if c < ' ' || !is_hidden(c) {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            escaped.push_str(&format!("\\u{unit:04x}"));
        }
    }
    escaped
}

/// The backing file or parent that an image names, if any.
#[must_use]
pub fn backing(info: &ImageInfo) -> Option<&Reference> {
    info.references.iter().find(|reference| match reference.role {
        ReferenceRole::Backing => true,
        // A parent may be recorded only by its UUID.
        ReferenceRole::Parent => !reference.name.is_empty(),
        _ => false,
    })
}

/// The name of a [`Detail::File`], relative to the name of the image. For display, never for opening.
#[must_use]
pub fn file_name(image: &str, name: &str) -> String {
    if name.is_empty() { image.to_owned() } else { full_name(image, name) }
}

/// Resolves a name in an image relative to the name of the image, as `qemu-img` does. A name with a protocol is not
/// relative. For display, never for opening.
#[must_use]
pub fn full_name(image: &str, name: &str) -> String {
    let with_protocol = name.split('/').next().is_some_and(|first| first.contains(':'));
    match image.rsplit_once('/') {
        Some((directory, _)) if !name.starts_with('/') && !with_protocol => format!("{directory}/{name}"),
        _ => name.to_owned(),
    }
}

/// The files of an image: the extents, the last one first as in QEMU, then its own.
fn children(inspection: &Inspection, filename: &str) -> Value {
    let others = inspection.other_files.iter().enumerate().rev().map(|(index, file)| {
        let name = full_name(filename, &file.name);
        json!({ "name": format!("extents.{index}"), "info": file_node(&name, file.file_size, file.allocated_size) })
    });
    let own = file_node(filename, inspection.file_size, inspection.allocated_size);
    others.chain([json!({ "name": "file", "info": own })]).collect()
}

fn file_node(filename: &str, size: Option<u64>, allocated: Option<u64>) -> Value {
    let mut node = json!({
        "children": [],
        "virtual-size": size.map(whole_sectors),
        "filename": filename,
        "format": "file",
        "actual-size": allocated,
        "format-specific": { "type": "file", "data": {} },
        "dirty-flag": false,
    });
    if let Some(members) = node.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    node
}

/// Rounds a size up to whole sectors, as QEMU does. The exact sizes are among our additions.
#[must_use]
pub fn whole_sectors(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(512).unwrap_or(bytes)
}

fn snapshot(snapshot: &Snapshot) -> Value {
    const SECOND: u64 = 1_000_000_000;
    let mut object = json!({
        "vm-clock-nsec": snapshot.vm_clock_nanoseconds % SECOND,
        "name": snapshot.name,
        "date-sec": snapshot.date_seconds,
        "date-nsec": snapshot.date_nanoseconds,
        "vm-clock-sec": snapshot.vm_clock_nanoseconds / SECOND,
        "id": snapshot.id,
        "vm-state-size": snapshot.vm_state_size,
    });
    if let (Some(icount), Some(object)) = (snapshot.icount, object.as_object_mut()) {
        object.insert("icount".into(), json!(icount));
    }
    object
}

/// The members that `qemu-img` does not print.
fn additions(inspection: &Inspection) -> Value {
    let (info, archive) = (&inspection.info, inspection.archive.as_ref());
    let mut additions = json!({
        "virtual-size": info.virtual_size,
        "file-size": inspection.file_size,
        "wrapper": inspection.wrapper.map(Wrapper::name),
        "archive": archive.map(|archive| archive.archive.name()),
        "member": archive.map(|archive| &archive.name),
        "member-wrapper": archive.and_then(|archive| archive.wrapper).map(Wrapper::name),
        "content": info.content,
        "cdrom": info.is_optical_disc,
        "encryption": info.encryption,
        "part": info.is_part,
        "references": info.references.iter().map(reference).collect::<Value>(),
        "findings": info.findings.iter().map(finding).collect::<Value>(),
    });
    if let (Some(_), Some(members)) = (&inspection.in_use, additions.as_object_mut()) {
        members.insert("in-use".into(), true.into());
    }
    additions
}

fn reference(reference: &Reference) -> Value {
    json!({
        "role": reference.role.name(),
        "name": reference.name_lossy(),
        "uuid": reference.identity.uuid_text(),
        "format": reference.format,
        "offset": reference.offset,
    })
}

/// Returns a finding as an object: `severity`, `check`, `message`, `offset`.
#[must_use]
pub fn finding(finding: &Finding) -> Value {
    json!({
        "severity": severity(finding.severity),
        "check": finding.check,
        "message": finding.message,
        "offset": finding.offset,
    })
}

/// The severity of a finding in one word: `note`, `warning`, `unsafe`.
#[must_use]
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Unsafe => "unsafe",
    }
}

fn table(details: &[(String, Detail)], image: &str) -> Value {
    details.iter().map(|(name, detail)| (name.clone(), self::detail(detail, image))).collect()
}

fn detail(detail: &Detail, image: &str) -> Value {
    match detail {
        Detail::Flag(flag) => json!(flag),
        Detail::Number(number) => json!(number),
        Detail::Text(text) => json!(text),
        Detail::File(name) => json!(file_name(image, name)),
        Detail::List(list) => list.iter().map(|item| self::detail(item, image)).collect(),
        Detail::Table(details) => table(details, image),
    }
}
