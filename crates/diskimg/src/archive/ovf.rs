//! The descriptor of an OVF package: its files and disks.
//!
//! Source: DSP0243 2.1 sections 7.1 (`References`: `File` with `id`, `href`, `size`, `compression`, `chunkSize`) and
//! 9.1 (`DiskSection`: `Disk` with `diskId`, `fileRef`, `capacity`, `capacityAllocationUnits`, `parentRef`). Version
//! 0.9, which oVirt writes, has `Section` instead of `DiskSection`, and empty attributes. Namespaces differ between
//! versions and are not compared.

use roxmltree::{Document, Node, ParsingOptions};

use super::names::{MemberId, MemberIds, beside};

/// The maximum number of XML nodes. Our limit.
const MAX_NODES: u32 = 200_000;

/// A descriptor.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Ovf {
    pub(super) files: Vec<OvfFile>,
    pub(super) disks: Vec<OvfDisk>,
}

/// A file that a descriptor refers to.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct OvfFile {
    id: String,
    /// Its name as the descriptor has it, or a URL.
    pub(super) href: String,
    /// Its length in bytes.
    pub(super) size: Option<u64>,
    pub(super) compression: Option<String>,
    /// The length in bytes of the parts that it is split into.
    pub(super) chunk_size: Option<String>,
    /// The members that its name may mean, the most likely first. Empty until [`Ovf::locate`].
    pub(super) ids: Vec<MemberId>,
}

/// A disk of a descriptor.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct OvfDisk {
    pub(super) id: String,
    /// The id of its file. `None` for a disk that is empty at first.
    pub(super) file_ref: Option<String>,
    pub(super) capacity: Option<OvfCapacity>,
    /// The id of the disk that it is a difference to.
    pub(super) parent_ref: Option<String>,
}

/// The capacity of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OvfCapacity {
    pub(super) bytes: u64,
    /// The unit that it is given in, in bytes.
    pub(super) unit: u64,
}

impl Ovf {
    /// Parses a descriptor.
    ///
    /// # Errors
    /// The reason, for text that is not well-formed, has a document type, or too many nodes.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
        let options =
            ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
        let mut ovf = Self::default();
        for node in document.descendants().filter(Node::is_element) {
            let parent = node.parent_element().map_or("", |parent| parent.tag_name().name());
            match (node.tag_name().name(), parent) {
                ("File", "References") => ovf.files.extend(OvfFile::parse(node)),
                ("Disk", "DiskSection" | "Section") => ovf.disks.push(OvfDisk::parse(node)),
                _ => {}
            }
        }
        Ok(ovf)
    }

    /// Finds the ids of the files. Their names are relative to the directory of the descriptor (DSP0243 2.1 section 7.1);
    /// a name that is relative to the archive counts if there is no such file.
    pub(super) fn locate(&mut self, descriptor: &str, ids: &MemberIds) {
        for file in &mut self.files {
            let names = [Some(file.href.clone()), file.decoded()];
            let relative = names.iter().flatten().map(|name| ids.of(&beside(descriptor, name)));
            file.ids = relative.chain(names.iter().flatten().map(|name| ids.of(name))).collect();
        }
    }

    /// Returns the file of a disk.
    pub(super) fn file_of(&self, disk: &OvfDisk) -> Option<&OvfFile> {
        let id = disk.file_ref.as_ref()?;
        self.files.iter().find(|file| file.id == *id)
    }
}

impl OvfFile {
    fn parse(node: Node<'_, '_>) -> Option<Self> {
        Some(Self {
            id: attribute(node, "id").unwrap_or_default(),
            href: attribute(node, "href")?,
            size: attribute(node, "size").and_then(|size| size.parse().ok()),
            compression: attribute(node, "compression"),
            chunk_size: attribute(node, "chunkSize"),
            ids: Vec::new(),
        })
    }

    /// The name of the file, if the reference is a URL-encoded name.
    fn decoded(&self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut rest = self.href.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            let code = after.first_chunk::<2>().filter(|_| *byte == b'%');
            match code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()) {
                Some(byte) => {
                    bytes.push(byte);
                    rest = after.get(2..).unwrap_or_default();
                }
                None => {
                    bytes.push(*byte);
                    rest = after;
                }
            }
        }
        String::from_utf8(bytes).ok().filter(|name| *name != self.href)
    }

    /// Returns true if the bytes of the file are said to be compressed with gzip.
    pub(super) fn is_gzip(&self) -> bool {
        self.compression.as_deref().is_some_and(|method| method.eq_ignore_ascii_case("gzip"))
    }

    /// A compression that is not supported.
    pub(super) fn unsupported_compression(&self) -> Option<&str> {
        let method = self.compression.as_deref()?;
        (!self.is_gzip() && !method.eq_ignore_ascii_case("identity")).then_some(method)
    }
}

impl OvfDisk {
    fn parse(node: Node<'_, '_>) -> Self {
        let capacity: Option<u64> = attribute(node, "capacity").and_then(|capacity| capacity.parse().ok());
        let unit = attribute(node, "capacityAllocationUnits").map_or(Some(1), |units| unit(&units));
        let bytes = capacity.zip(unit).and_then(|(capacity, unit)| capacity.checked_mul(unit));
        Self {
            id: attribute(node, "diskId").unwrap_or_default(),
            file_ref: attribute(node, "fileRef"),
            capacity: bytes.zip(unit).map(|(bytes, unit)| OvfCapacity { bytes, unit }),
            parent_ref: attribute(node, "parentRef"),
        }
    }
}

/// Returns an attribute that is not empty.
fn attribute(node: Node<'_, '_>, name: &str) -> Option<String> {
    let found = node.attributes().find(|attribute| attribute.name() == name)?;
    Some(found.value().trim().to_owned()).filter(|value| !value.is_empty())
}

/// Parses an allocation unit: `byte`, `byte * 2^30`.
fn unit(text: &str) -> Option<u64> {
    let text: String =
        text.chars().filter(|char| !char.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let factor = text.strip_prefix("bytes").or_else(|| text.strip_prefix("byte"))?;
    if factor.is_empty() {
        return Some(1);
    }
    let factor = factor.strip_prefix('*')?;
    match factor.split_once('^') {
        Some((base, exponent)) => base.parse::<u64>().ok()?.checked_pow(exponent.parse().ok()?),
        None => factor.parse().ok(),
    }
}
