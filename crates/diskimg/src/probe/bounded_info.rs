//! The description of an image before its stream has ended, in bounded memory. The image determines the length of its
//! lists.

use diskimg_core::{Detail, Finding, ImageInfo, Reference, ReferenceRole, Severity, Snapshot};

/// The memory in bytes for each list of a description that a prober stores. Our limits: 1000 snapshots, 700 files, and
/// 500 facts of each file. With everything else that a prober retains it is less than 2 MiB.
const SNAPSHOTS: usize = 160 << 10;
const REFERENCES: usize = 128 << 10;
const DETAILS: usize = 320 << 10;
const FINDINGS: usize = 32 << 10;
/// The longest name of a subformat in bytes.
const SUBFORMAT: usize = 256;

/// A description in bounded memory.
pub(super) enum BoundedInfo {
    /// The unchanged description.
    Whole(ImageInfo),
    /// A description with shortened lists, and a finding for each of them.
    Shortened(ImageInfo),
}

impl BoundedInfo {
    pub(super) fn into_info(self) -> ImageInfo {
        match self {
            Self::Whole(info) | Self::Shortened(info) => info,
        }
    }
}

/// Shortens the lists of a description that are too long.
pub(super) fn bounded(mut info: ImageInfo) -> BoundedInfo {
    let all = counts(&info);
    truncate(&mut info.snapshots, &mut ListRoom(SNAPSHOTS), snapshot_bytes);
    info.references = references(std::mem::take(&mut info.references));
    let mut room = ListRoom(DETAILS);
    info.details.retain_mut(|(name, detail)| room.take(name.len()) && shorten(detail, &mut room));
    truncate(&mut info.findings, &mut ListRoom(FINDINGS), finding_bytes);
    info.subformat = info.subformat.filter(|name| name.len() <= SUBFORMAT);
    let kept = counts(&info);
    if kept == all {
        return BoundedInfo::Whole(info);
    }
    for ((what, kept), (_, all)) in kept.into_iter().zip(all).filter(|(kept, all)| kept != all) {
        let message = format!("{kept} of {all} {what} are listed before the stream has ended");
        info.findings.push(Finding::new(Severity::Note, "list_cut", message));
    }
    BoundedInfo::Shortened(info)
}

/// The lengths of the lists of a description.
fn counts(info: &ImageInfo) -> [(&'static str, usize); 5] {
    [
        ("snapshots", info.snapshots.len()),
        ("names of other files", info.references.len()),
        ("facts", info.details.iter().map(|(_, detail)| length(detail)).sum()),
        ("findings", info.findings.len()),
        ("names of layouts", usize::from(info.subformat.is_some())),
    ]
}

/// The memory left for a list.
struct ListRoom(usize);

impl ListRoom {
    fn take(&mut self, bytes: usize) -> bool {
        // The allocator rounds up and stores its own data.
        let left = self.0.checked_sub(bytes.saturating_add(16));
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Truncates a list to the items that there is room for.
fn truncate<T>(list: &mut Vec<T>, room: &mut ListRoom, bytes: impl Fn(&T) -> usize) {
    let fits = list.iter().take_while(|item| room.take(bytes(item))).count();
    list.truncate(fits);
    list.shrink_to_fit();
}

fn finding_bytes(finding: &Finding) -> usize {
    size_of::<Finding>().saturating_add(finding.message.len())
}

fn snapshot_bytes(snapshot: &Snapshot) -> usize {
    size_of::<Snapshot>()
        .saturating_add(snapshot.id.len())
        .saturating_add(snapshot.name.len())
        .saturating_add(32)
}

/// Returns the references that there is room for. Backing files and parents come before extents.
fn references(all: Vec<Reference>) -> Vec<Reference> {
    let mut room = ListRoom(REFERENCES);
    let mut fits = |reference: &Reference| {
        let format = reference.format.as_ref().map_or(0, String::len);
        room.take(size_of::<Reference>().saturating_add(reference.name.len()).saturating_add(format))
    };
    let is_file = |reference: &Reference| reference.role == ReferenceRole::Extent;
    let marks: Vec<bool> = all.iter().map(|reference| !is_file(reference) && fits(reference)).collect();
    let mut full = false;
    let marked = all.into_iter().zip(marks);
    let kept = marked.filter(|(reference, mark)| {
        full |= !mark && is_file(reference) && !fits(reference);
        *mark || is_file(reference) && !full
    });
    let mut kept: Vec<Reference> = kept.map(|(reference, _)| reference).collect();
    kept.shrink_to_fit();
    kept
}

/// The number of items in a fact.
fn length(detail: &Detail) -> usize {
    match detail {
        Detail::List(items) => items.len(),
        _ => 1,
    }
}

/// Shortens a list to the items that there is room for. Returns false if there is no room for any other fact.
fn shorten(detail: &mut Detail, room: &mut ListRoom) -> bool {
    match detail {
        Detail::List(items) => {
            let fits = items.iter_mut().take_while(|item| room.take(detail_bytes(item))).count();
            items.truncate(fits);
            items.shrink_to_fit();
            true
        }
        other => room.take(detail_bytes(other)),
    }
}

/// The memory of a fact in bytes.
fn detail_bytes(detail: &Detail) -> usize {
    let more = match detail {
        Detail::Flag(_) | Detail::Number(_) => 0,
        Detail::Text(text) | Detail::File(text) => text.len().saturating_add(16),
        Detail::List(items) => items.iter().map(detail_bytes).fold(16, usize::saturating_add),
        Detail::Table(rows) => rows
            .iter()
            .map(|(name, value)| detail_bytes(value).saturating_add(name.len()).saturating_add(40))
            .fold(16, usize::saturating_add),
    };
    size_of::<Detail>().saturating_add(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::Format;

    const FORMAT: Format = Format::new("test");

    fn reference(role: ReferenceRole, name: &str) -> Reference {
        Reference::new(role, name, FORMAT)
    }

    #[test]
    fn description_of_usual_length_is_unchanged() {
        let mut info = ImageInfo::new(FORMAT, 1);
        info.references = (0..300).map(|_| reference(ReferenceRole::Extent, "disk-s001.vmdk")).collect();
        let row = Detail::Table(vec![("name".to_owned(), Detail::Text("disk-s001.vmdk".to_owned()))]);
        info.details = vec![("extents".to_owned(), Detail::List(vec![row; 300]))];
        info.findings.push(Finding::new(Severity::Note, "note", "usual"));
        assert!(matches!(bounded(info.clone()), BoundedInfo::Whole(same) if same == info));
    }

    #[test]
    fn lists_that_are_too_long_are_shortened_with_a_finding() {
        let mut info = ImageInfo::new(FORMAT, 1);
        info.references = (0..9000).map(|_| reference(ReferenceRole::Extent, "disk")).collect();
        info.references.push(reference(ReferenceRole::Parent, "parent"));
        info.details = vec![
            ("names".to_owned(), Detail::List(vec![Detail::Text("name".to_owned()); 50_000])),
            ("long".to_owned(), Detail::Text("x".repeat(1 << 20))),
        ];
        let BoundedInfo::Shortened(short) = bounded(info) else { panic!("the lists are too long") };
        assert!((100..1500).contains(&short.references.len()), "{}", short.references.len());
        assert_eq!(short.references.last().unwrap().role, ReferenceRole::Parent);
        assert_eq!(short.details.len(), 1);
        assert_eq!(short.findings.len(), 2);
        assert!(short.findings.iter().all(|finding| finding.check == "list_cut"));
        assert_eq!(bounded(short.clone()).into_info(), short, "once is enough");
    }
}
