//! What is told of an image before its stream has ended, in bounded memory: the lists in it are as long as the image
//! makes them.

use diskimg_core::{Detail, Finding, ImageInfo, Reference, ReferenceRole, Severity, Snapshot};

/// Bytes of memory that each list of a description may take while the prober keeps it. Bounds of ours: 1000
/// snapshots, 700 files, 500 facts of each; and all of it together with what else is kept is less than 2 MiB.
const SNAPSHOTS: usize = 160 << 10;
const REFERENCES: usize = 128 << 10;
const DETAILS: usize = 320 << 10;
const FINDINGS: usize = 32 << 10;
/// The longest name of a layout.
const SUBFORMAT: usize = 256;

/// A description that takes bounded memory.
pub(super) enum Bounded {
    /// As it was.
    Whole(ImageInfo),
    /// Without the ends of its lists, and with a finding for each that was cut.
    Cut(ImageInfo),
}

impl Bounded {
    pub(super) fn into_info(self) -> ImageInfo {
        match self {
            Self::Whole(info) | Self::Cut(info) => info,
        }
    }
}

/// The same description, if need be with lists that end where they become too long.
pub(super) fn bounded(mut info: ImageInfo) -> Bounded {
    let mut cut = Vec::new();
    let mut tell = |what: &str, kept: usize, all: usize| {
        if kept < all {
            cut.push(format!("{kept} of {all} {what} are listed before the stream has ended"));
        }
    };
    let all = info.snapshots.len();
    keep(&mut info.snapshots, &mut Room(SNAPSHOTS), snapshot_bytes);
    tell("snapshots", info.snapshots.len(), all);

    let all = info.references.len();
    info.references = references(std::mem::take(&mut info.references));
    tell("names of other files", info.references.len(), all);

    let all = info.details.iter().map(|(_, detail)| length(detail)).sum();
    let mut room = Room(DETAILS);
    info.details.retain_mut(|(name, detail)| room.take(name.len()) && shorten(detail, &mut room));
    tell("facts", info.details.iter().map(|(_, detail)| length(detail)).sum(), all);

    let all = info.findings.len();
    keep(&mut info.findings, &mut Room(FINDINGS), finding_bytes);
    tell("findings", info.findings.len(), all);

    let all = usize::from(info.subformat.is_some());
    info.subformat = info.subformat.filter(|name| name.len() <= SUBFORMAT);
    tell("names of layouts", usize::from(info.subformat.is_some()), all);

    if cut.is_empty() {
        return Bounded::Whole(info);
    }
    info.findings.extend(cut.into_iter().map(|message| Finding::new(Severity::Note, "list_cut", message)));
    Bounded::Cut(info)
}

/// Memory that is left for a list.
struct Room(usize);

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        // The allocator rounds up, and has its own notes.
        let left = self.0.checked_sub(bytes.saturating_add(16));
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Keeps the first items, as many as there is room for.
fn keep<T>(list: &mut Vec<T>, room: &mut Room, bytes: impl Fn(&T) -> usize) {
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

/// The references that there is room for. What an image is based on comes before its many files.
fn references(all: Vec<Reference>) -> Vec<Reference> {
    let mut room = Room(REFERENCES);
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

/// Items of all lists in a fact, or the one that it is.
fn length(detail: &Detail) -> usize {
    match detail {
        Detail::List(items) => items.len(),
        _ => 1,
    }
}

/// Shortens the lists in a fact to those items that there is room for; `false` when there is none for what is no
/// list.
fn shorten(detail: &mut Detail, room: &mut Room) -> bool {
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

/// Bytes of memory that a fact takes.
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
    use diskimg_core::{Format, Identity};

    const FORMAT: Format = Format::new("test");

    fn reference(role: ReferenceRole, name: &str) -> Reference {
        Reference {
            role,
            name: name.into(),
            identity: Identity::default(),
            format: None,
            found_in: FORMAT,
            offset: None,
        }
    }

    #[test]
    fn a_description_of_usual_length_stays_as_it_is() {
        let mut info = ImageInfo::new(FORMAT, 1);
        info.references = (0..300).map(|_| reference(ReferenceRole::Extent, "disk-s001.vmdk")).collect();
        let row = Detail::Table(vec![("name".to_owned(), Detail::Text("disk-s001.vmdk".to_owned()))]);
        info.details = vec![("extents".to_owned(), Detail::List(vec![row; 300]))];
        info.findings.push(Finding::new(Severity::Note, "note", "as usual"));
        assert!(matches!(bounded(info.clone()), Bounded::Whole(same) if same == info));
    }

    #[test]
    fn lists_end_where_they_become_too_long_and_a_finding_says_so() {
        let mut info = ImageInfo::new(FORMAT, 1);
        info.references = (0..9000).map(|_| reference(ReferenceRole::Extent, "disk")).collect();
        info.references.push(reference(ReferenceRole::Parent, "parent"));
        info.details = vec![
            ("names".to_owned(), Detail::List(vec![Detail::Text("name".to_owned()); 50_000])),
            ("long".to_owned(), Detail::Text("x".repeat(1 << 20))),
        ];
        let Bounded::Cut(told) = bounded(info) else { panic!("the lists are too long") };
        assert!((100..1500).contains(&told.references.len()), "{}", told.references.len());
        assert_eq!(told.references.last().unwrap().role, ReferenceRole::Parent);
        assert_eq!(told.details.len(), 1);
        assert_eq!(told.findings.len(), 2);
        assert!(told.findings.iter().all(|finding| finding.check == "list_cut"));
        assert_eq!(bounded(told.clone()).into_info(), told, "once is enough");
    }
}
