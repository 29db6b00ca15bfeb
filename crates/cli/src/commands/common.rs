//! Arguments, openers and names that several commands use.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use diskimg::core::DenyReferences;
use diskimg::raw::ImageUse;
use diskimg::{
    Cancel, Disk, Error, Finding, ImageInfo, Input, Inspection, Locking, Opener, ParentFile, Progress,
    Resolver, SearchPath, Severity, SnapshotSelector, StreamInput, Unfollowed, WithinDirectory, driver,
};

use crate::args::{FollowArgs, OpenArgs, Output};
use crate::failure::{About, Failure};
use crate::memory_limit;
use crate::output::is_dash;
use crate::signals::Interrupt;
use crate::stream_source::{self, CancellableReader, is_stream, redirected_file};
use crate::visible::{visible, visible_path};

/// The arguments of all commands.
#[derive(Clone, Copy)]
pub(super) struct CommonArgs {
    pub(super) output: Output,
    pub(super) quiet: bool,
    pub(super) verbose: bool,
}

/// Returns an opener with the options of the arguments.
pub(super) fn opener(args: &OpenArgs, follow: Option<(&FollowArgs, &Path)>) -> Result<Opener, Failure> {
    let mut opener = Opener::new();
    if let Some(name) = &args.format {
        opener.format = Some(driver(name)?.format);
    }
    opener.allow_raw = args.allow_raw;
    opener.member.clone_from(&args.member);
    opener.allow_part = args.allow_part;
    opener.verify = !args.no_verify;
    opener.decompress = !args.no_unwrap;
    if args.no_spool {
        opener.spool = diskimg::Spool::Never;
    }
    if let Some(size) = args.max_size {
        opener.limits.virtual_size = size;
    }
    if args.force_share {
        opener.locking = Locking::Off;
    }
    if let Some(memory) = memory_limit::of_control_group() {
        memory_limit::fit_limits(&mut opener.limits, memory);
    }
    for limit in &args.limits {
        opener.set_limit(limit.kind, limit.value)?;
    }
    if let Some((follow, image)) = follow {
        references(&mut opener, follow, image)?;
    }
    Ok(opener)
}

/// Prints the findings of severity warning on standard error. `file` is named if the command reads several images.
pub(super) fn warn(findings: &[Finding], file: Option<&Path>, common: CommonArgs) {
    let mut stderr = std::io::stderr().lock();
    let file = file.map_or(String::new(), |file| format!("{}: ", visible_path(file)));
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Warning && !common.quiet) {
        let _ = writeln!(stderr, "diskimg: warning: {file}{}", visible(&finding.message));
    }
}

/// Sets the options for the files that `image` refers to.
fn references(opener: &mut Opener, args: &FollowArgs, image: &Path) -> Result<(), Failure> {
    opener.resolver = resolver(args, image)?;
    for file in &args.parent {
        let mut parent = ParentFile::open(file).about(file)?;
        // The names in it are relative to its own directory.
        parent.resolver = Some(resolver(args, file)?);
        opener.parents.push(parent);
    }
    for name in &args.parent_format {
        opener.parent_formats.push(driver(name)?.format);
    }
    opener.allow_parent_mismatch = args.parent_mismatch;
    Ok(())
}

/// Returns the resolver of the names in `file`: to the directories in the arguments, then to its own.
fn resolver(args: &FollowArgs, file: &Path) -> Result<Arc<dyn Resolver>, Failure> {
    let mut directories = SearchPath::default();
    for directory in &args.search_dir {
        directories.push(WithinDirectory::new(directory).about(directory)?.by_last_component());
    }
    if is_stream(file) {
        return Ok(Arc::new(directories));
    }
    let own = WithinDirectory::of_image(file);
    if args.follow {
        directories.push(own.about(file)?);
    } else if args.search_dir.is_empty() {
        return Ok(match own {
            Ok(own) => Arc::new(Unfollowed::new(own)),
            Err(_) => Arc::new(DenyReferences),
        });
    }
    Ok(Arc::new(directories))
}

/// Reads the metadata of the image in a file or stream: of a stream and of a compressed file, those in the head of the
/// image. Warns if another process writes the file.
pub(super) fn inspect_path(opener: &Opener, file: &Path, common: CommonArgs) -> Result<Inspection, Failure> {
    if is_stream(file) {
        warn_of_redirected(opener, file, common);
        let stream = stream_source::open(file).map_err(Error::from).about(file)?;
        return opener.inspect_stream(stream).about(shown(file));
    }
    let mut opener = opener.clone();
    opener.heads_only = true;
    let inspection = opener.inspect(file).about(file)?;
    warn_in_use(inspection.in_use.as_slice(), common);
    Ok(inspection)
}

/// Reads all metadata of the image in a file or stream, also those that only the end of a stream shows. Warns if another
/// process writes the file.
pub(super) fn inspect_whole(
    opener: &Opener,
    file: &Path,
    common: CommonArgs,
    (interrupt, progress): (&Interrupt, &dyn Progress),
) -> Result<Inspection, Failure> {
    if is_stream(file) {
        warn_of_redirected(opener, file, common);
        let stream = CancellableReader::open(file, Arc::clone(&interrupt.cancel));
        let stream = stream.map_err(Error::from).about(file)?;
        return opener.inspect_whole_stream(stream, progress).about(shown(file));
    }
    let inspection = opener.inspect_with(file, progress).about(file)?;
    warn_in_use(inspection.in_use.as_slice(), common);
    Ok(inspection)
}

/// Prints a warning if another process writes the file that standard input is redirected from.
fn warn_of_redirected(opener: &Opener, file: &Path, common: CommonArgs) {
    let in_use = check_redirected(opener, file, ImageUse::Describe).err().map(|error| error.to_string());
    warn_in_use(in_use.as_slice(), common);
}

/// Prints a warning for each file that another process writes.
pub(super) fn warn_in_use(messages: &[String], common: CommonArgs) {
    for message in messages.iter().filter(|_| !common.quiet) {
        eprintln!("diskimg: warning: {}", visible(message));
    }
}

/// Checks that no other process writes the file that standard input is redirected from, if it is one. No lock is taken:
/// it would last as long as another process, such as a shell, has the same open file.
fn check_redirected(opener: &Opener, file: &Path, usage: ImageUse) -> diskimg::Result<()> {
    match redirected_file(file) {
        Some(source) if opener.locking != Locking::Off => usage.ask(&source, shown(file).display()),
        _ => Ok(()),
    }
}

/// Opens the image in a file or stream, as a stream or for random access.
pub(super) fn input(opener: &Opener, file: &Path, cancel: &Arc<Cancel>) -> Result<Input, Failure> {
    match is_stream(file) {
        true => stream(opener, file, cancel).map(Input::Stream),
        false => opener.input(file).about(file),
    }
}

/// Opens the image in a stream.
pub(super) fn stream(opener: &Opener, file: &Path, cancel: &Arc<Cancel>) -> Result<StreamInput, Failure> {
    check_redirected(opener, file, ImageUse::Read).about(shown(file))?;
    let reader = CancellableReader::open(file, Arc::clone(cancel)).map_err(Error::from).about(file)?;
    let input = opener.stream(reader).about(shown(file))?;
    let origin = if is_dash(file) { Path::new("/dev/stdin") } else { file };
    Ok(match origin.metadata() {
        Ok(origin) => input.read_from(&origin),
        Err(_) => input,
    })
}

/// Opens the disk in a file or stream for random access. A stream is stored in a temporary file first.
pub(super) fn disk(opener: &Opener, file: &Path, interrupt: &Interrupt) -> Result<Disk, Failure> {
    input(opener, file, &interrupt.cancel)?.into_disk(&*interrupt.cancel).about(shown(file))
}

/// Prints a warning if the file is only part of a larger disk. For commands that accept a part anyway.
pub(super) fn warn_of_part(info: &ImageInfo, common: CommonArgs) {
    let part = info.findings.iter().find(|finding| info.is_part && finding.check == "part");
    warn(part.map(std::slice::from_ref).unwrap_or_default(), None, common);
}

/// Returns the name of a file for error messages.
pub(super) fn shown(file: &Path) -> &Path {
    if is_dash(file) { Path::new("standard input") } else { file }
}

/// Parses the value of `-l`.
pub(super) fn selector(text: &str) -> SnapshotSelector {
    for part in text.split(',') {
        if let Some(id) = part.strip_prefix("snapshot.id=") {
            return SnapshotSelector::Id(id.to_owned());
        }
        if let Some(name) = part.strip_prefix("snapshot.name=") {
            return SnapshotSelector::Name(name.to_owned());
        }
    }
    SnapshotSelector::IdOrName(text.to_owned())
}
