//! An opened disk: an image with all layers below it.

use std::ops::Range;
use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{
    BlockSource, Chain, Extent, Finding, Image, ImageInfo, Location, Printable, ReferenceRole, Result,
};

use crate::archive::{ArchiveMember, MemberVerification};
use crate::finding_log::merge;
use crate::host_id::HostId;
use crate::inspection::{FileSizes, Inspection};
use crate::opened_files::OpenedFiles;

/// An opened image with all layers below it: the disk as a guest sees it.
///
/// Cheap to clone; clones share caches. Readable from any thread.
///
/// ```
/// use diskimg::{BlockSource, Image, Opener};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("disk.vdi");
/// # diskimg::Target::file(&path, diskimg::driver("vdi")?.format).create(Some(1 << 20))?.finish()?;
/// let disk = Opener::new().open(&path)?;
/// assert_eq!((disk.info().format.name(), disk.size()), ("vdi", 1 << 20));
/// assert_eq!(disk.layers().len(), 1);
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone)]
pub struct Disk {
    layers: Vec<Arc<dyn Image>>,
    top: Arc<dyn Image>,
    whole: Arc<dyn BlockSource>,
    /// The names of the files of the layers below the image.
    names: Vec<Option<String>>,
    wrapper: Option<Wrapper>,
    archive: Option<ArchiveMember>,
    /// The digests of the member that a conversion compares.
    verification: Option<Arc<MemberVerification>>,
    /// The findings about the stream or archive that the image was read from, and about the chain.
    more_findings: Vec<Finding>,
    file: Arc<dyn BlockSource>,
    /// The sizes of the file; if the image is compressed, those of the compressed file.
    pub(crate) sizes: FileSizes,
    /// The compressed file that the image was in.
    pub(crate) origin: Option<HostId>,
    opened: Arc<OpenedFiles>,
    in_use: Vec<String>,
}

/// A layer below the image.
pub(crate) struct NamedLayer {
    pub(crate) image: Arc<dyn Image>,
    /// The name of its file, if known.
    pub(crate) name: Option<String>,
}

impl Disk {
    /// A disk of these layers, top first. `file` holds the first layer; `opened` are all other opened files.
    pub(crate) fn new(
        file: Arc<dyn BlockSource>,
        opened: OpenedFiles,
        top: Arc<dyn Image>,
        below: Vec<NamedLayer>,
        wrapper: Option<Wrapper>,
        archive: Option<ArchiveMember>,
    ) -> Result<Self> {
        let mut layers = vec![Arc::clone(&top)];
        let mut names = Vec::new();
        for layer in below {
            layers.push(layer.image);
            names.push(layer.name);
        }
        let source = |layer: &Arc<dyn Image>| Arc::new(Arc::clone(layer)) as Arc<dyn BlockSource>;
        let whole = match layers.as_slice() {
            [one] => source(one),
            _ => Arc::new(Chain::new(layers.iter().map(source).collect())?),
        };
        let sizes = FileSizes::of(&file);
        let in_use = opened.in_use();
        let (more_findings, origin, opened) = (Vec::new(), None, Arc::new(opened));
        Ok(Self {
            layers,
            top,
            whole,
            names,
            wrapper,
            archive,
            verification: None,
            more_findings,
            file,
            sizes,
            origin,
            opened,
            in_use,
        })
    }

    /// The layers, top first: the image itself, then its backing files or parents.
    #[must_use]
    pub fn layers(&self) -> &[Arc<dyn Image>] {
        &self.layers
    }

    /// The name of the file of a layer below the image, for messages: of [`Disk::layers`] 1 and above. `None` if it is
    /// unknown. Not escaped.
    #[must_use]
    pub fn layer_name(&self, layer: usize) -> Option<&str> {
        self.names.get(layer.checked_sub(1)?)?.as_deref()
    }

    /// The file of the image itself, decompressed: header, tables and data.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn BlockSource> {
        &self.file
    }

    /// True if bytes of the disk may come from this host file or block device: the image's own or one that it
    /// refers to.
    pub(crate) fn reads_from(&self, file: &std::fs::Metadata) -> bool {
        let wanted = HostId::of(file);
        let is_wanted = |id: Option<HostId>| id.is_some() && id == wanted;
        is_wanted(self.origin)
            || is_wanted(HostId::of_source(&self.file))
            || self.opened.any(|source| is_wanted(HostId::of_source(source)))
    }

    /// Adds the message about a process that writes the file of the image.
    pub(crate) fn with_in_use(mut self, in_use: Option<String>) -> Self {
        self.in_use.extend(in_use);
        self
    }

    /// The messages about files of the disk that other processes have locked for writing, if the image was opened with
    /// [`Locking::Report`](crate::Locking::Report).
    #[must_use]
    pub fn in_use(&self) -> &[String] {
        &self.in_use
    }

    /// The description of the image, as [`Opener::inspect`](crate::Opener::inspect) returns it.
    #[must_use]
    pub fn inspection(&self) -> Inspection {
        let mut info = self.top.info().clone();
        merge(&mut info.findings, self.more_findings.iter().cloned());
        Inspection::new(info, self.wrapper, self.sizes).in_archive(self.archive.clone())
    }

    /// The findings about all layers, top first. The message of a finding about a layer below begins with the name of
    /// its file.
    ///
    /// ```
    /// use diskimg::{Opener, Severity};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
    /// let disk = Opener::new().open(&path)?;
    /// for finding in disk.findings().iter().filter(|finding| finding.severity == Severity::Warning) {
    ///     eprintln!("warning: {}", finding.message);
    /// }
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut all = self.inspection().info.findings;
        let below = self.layers.iter().zip(self.layers.iter().skip(1)).zip(&self.names);
        for ((above, layer), name) in below {
            let mut references = above.info().references.iter();
            let role = references.find(|reference| reference.role.is_below()).map(|reference| reference.role);
            let role = role.unwrap_or(ReferenceRole::Parent).name();
            let name = name
                .as_ref()
                .map_or(format!("the {role}"), |name| format!("{role} {}", Printable::new(name.as_bytes())));
            all.extend(layer.info().findings.iter().map(|finding| {
                let mut named = finding.clone();
                named.message = format!("{name}: {}", finding.message);
                named
            }));
        }
        all
    }

    /// Adds findings about the stream that the image was read from, or about the chain.
    pub(crate) fn add_findings(&mut self, findings: Vec<Finding>) {
        merge(&mut self.more_findings, findings);
    }

    /// The compression of the file, if any.
    #[must_use]
    pub fn wrapper(&self) -> Option<Wrapper> {
        self.wrapper
    }

    /// The name of the disk's member in its archive; not yet escaped for a terminal.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.archive.as_ref().map(|archive| archive.name.as_str())
    }

    /// The member of an archive that the disk is read from, if any.
    #[must_use]
    pub fn archive(&self) -> Option<&ArchiveMember> {
        self.archive.as_ref()
    }

    /// Sets the digests that a conversion compares.
    pub(crate) fn verify_with(&mut self, verification: Option<MemberVerification>) {
        self.verification = verification.map(Arc::new);
    }

    /// The digests that a conversion compares.
    pub(crate) fn verification(&self) -> Option<&MemberVerification> {
        self.verification.as_deref()
    }
}

impl BlockSource for Disk {
    fn size(&self) -> u64 {
        self.whole.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.whole.read_at(offset, buf)
    }
    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        self.whole.extent_at(range)
    }
    fn locate(&self, range: Range<u64>) -> Location<'_> {
        self.whole.locate(range)
    }
    fn decode_unit(&self) -> u64 {
        self.whole.decode_unit()
    }
}

impl Image for Disk {
    fn info(&self) -> &ImageInfo {
        self.top.info()
    }
}
