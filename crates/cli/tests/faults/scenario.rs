//! A conversion that is run with one fault after another.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::content::{DiskContent, noise};
use crate::rule::{Found, Observed, violation};
use crate::strace::{self, CallCounts, Fault, Injected, TracedCommand};

/// Names in the first call of the command itself.
const START: [&str; 3] = ["\"disk.raw\"", "\"target\"", "\"/dev/loop"];

/// The kind of target.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// The file `target` of this format, in its own or several files.
    File(&'static str),
    /// The raw file `target`, which keeps its length.
    InPlace,
    RawDevice(&'a LoopDevice),
    /// An image of this format on a device.
    Device(&'static str, &'a LoopDevice),
    Stdout,
}

/// A conversion, and the files before it.
pub(crate) struct Scenario<'a> {
    name: String,
    target: Target<'a>,
    /// The files of each run, which are copied to its directory.
    files: tempfile::TempDir,
    args: Vec<String>,
    stdin: Option<&'static str>,
    /// The content of the old target, if any.
    old: Option<DiskContent>,
    new: Option<DiskContent>,
    old_bytes: Vec<u8>,
    /// A rule of `strace` for each run.
    always: Option<String>,
}

impl<'a> Scenario<'a> {
    pub(crate) fn new(name: &str, target: Target<'a>) -> Self {
        Self {
            name: name.to_owned(),
            target,
            files: tempfile::tempdir().unwrap(),
            args: Vec::new(),
            stdin: None,
            old: None,
            new: None,
            old_bytes: Vec::new(),
            always: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The source `disk.raw` has these bytes.
    pub(crate) fn source(&mut self, bytes: &[u8]) {
        std::fs::write(self.path("disk.raw"), bytes).unwrap();
        self.new = Some(DiskContent::of_bytes(bytes));
    }

    /// The source has 64 KiB of data in each GiB.
    pub(crate) fn large_source(&mut self, size: u64) {
        let path = self.path("disk.raw");
        sparse(&path, size, 1);
        self.new = Some(DiskContent::open(&path, "raw").unwrap());
    }

    /// The source is a gz stream on standard input.
    pub(crate) fn compress_source(&mut self) {
        assert!(Command::new("gzip").arg(self.path("disk.raw")).status().unwrap().success());
        self.stdin = Some("disk.raw.gz");
    }

    /// The target is an image of this format with other data.
    pub(crate) fn old_image(&mut self, format: &'static str, options: &[&str], size: u64) {
        sparse(&self.path("old"), size, 5);
        let args = [&["convert", "-f", "raw", "-O", format], options, &["old", "target"]].concat();
        self.prepare(&args);
        std::fs::remove_file(self.path("old")).unwrap();
        self.old = Some(DiskContent::open(&self.path("target"), format).unwrap());
    }

    /// The target is an image of this format without data.
    pub(crate) fn empty_image(&mut self, format: &'static str, options: &[&str], size: u64) {
        let size = size.to_string();
        self.prepare(&[&["create", "-f", format], options, &["target", &size]].concat());
        self.old = Some(DiskContent::open(&self.path("target"), format).unwrap());
    }

    fn prepare(&self, args: &[&str]) {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("diskimg"));
        let output = command.current_dir(self.files.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The target has these bytes.
    pub(crate) fn old_bytes(&mut self, bytes: &[u8]) {
        bytes.clone_into(&mut self.old_bytes);
        if matches!(self.target, Target::InPlace) {
            std::fs::write(self.path("target"), bytes).unwrap();
        }
        self.old = Some(DiskContent::of_bytes(bytes));
    }

    pub(crate) fn convert(&mut self, args: &[&str]) {
        // One worker makes the calls of each run the same.
        self.convert_with_threads("1", args);
    }

    pub(crate) fn convert_with_threads(&mut self, threads: &str, args: &[&str]) {
        let all = [&["convert", "-m", threads], args].concat();
        self.args = all.into_iter().map(str::to_owned).collect();
    }

    /// The conversion runs as on a file system where every file has a name.
    pub(crate) fn without_nameless_files(&mut self) {
        if !strace::is_available() {
            return;
        }
        self.always = Some(strace::without_nameless_files(&self.log()));
        assert!(self.log().contains(".diskimg-"), "{}: {:?}", self.name, self.always);
    }

    /// The conversion runs as on a file system that neither exchanges two files nor renames to a free name only.
    pub(crate) fn without_rename_flags(&mut self) {
        self.always = Some("inject=renameat2:error=EINVAL".to_owned());
    }

    /// The log of a run without a fault. The target must be complete after it.
    fn log(&self) -> String {
        let directory = self.start();
        let log = self.traced(directory.path()).log(&self.path("log"));
        let after = self.observe(directory.path());
        assert_eq!(after.found, Found::New, "{}: {:?}", self.name, after.names);
        log
    }

    /// The names after a run without a fault.
    fn new_names(&self) -> Vec<String> {
        let directory = self.start();
        self.traced(directory.path()).log(&self.path("log"));
        names(directory.path())
    }

    /// Runs the conversion with each fault.
    pub(crate) fn run(&self) {
        if !strace::is_available() {
            return;
        }
        let counts = CallCounts::parse(&self.log(), &START);
        let new_names = self.new_names();
        let all = std::env::var_os("DISKIMG_FAULTS").is_some_and(|value| value == "all");
        let (mut violations, mut runs) = (Vec::new(), 0);
        // A second rule for the same call would replace the first.
        let ruled = |call: &str| self.always.as_ref().is_some_and(|rule| rule.contains(&format!("={call}:")));
        let is_free = |fault: &Fault| !ruled(&fault.call);
        for fault in counts.faults(all).into_iter().filter(is_free) {
            runs += 1;
            if let Err(problem) = self.run_once(&fault, &new_names) {
                violations.push(format!("{}: {fault:?}: {problem}", self.name));
            }
        }
        println!("{}: {runs} faults, {} violations", self.name, violations.len());
        assert!(violations.is_empty(), "{}", violations.join("\n"));
    }

    /// Runs the conversion with an error of the last call of this name, which it must survive.
    pub(crate) fn run_without_last(&self, call: &str, error: &'static str) {
        if !strace::is_available() {
            return;
        }
        let number = CallCounts::parse(&self.log(), &START).of(call);
        let fault =
            Fault { call: call.to_owned(), number, injected: Injected::Error(error), is_startup: false };
        let directory = self.start();
        let ended = self.traced(directory.path()).run_with(&fault);
        let observed = self.observe(directory.path());
        assert_eq!((ended.code, &observed.found), (Some(0), &Found::New), "{ended:?}");
        assert_eq!(observed.names, self.new_names());
    }

    fn run_once(&self, fault: &Fault, new_names: &[String]) -> Result<(), String> {
        let directory = self.start();
        let before = names(directory.path());
        let ended = self.traced(directory.path()).run_with(fault);
        let observed = self.observe(directory.path());
        let seen = violation(fault, &ended, &observed, &before, new_names);
        seen.map_or(Ok(()), |problem| Err(format!("{problem}: {ended:?} {observed:?}")))
    }

    /// Creates the directory of a run.
    fn start(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in names(self.files.path()).iter().filter(|name| *name != "log") {
            copy_sparse(&self.path(name), &directory.path().join(name));
        }
        if let Target::RawDevice(device) | Target::Device(_, device) = self.target {
            device.write(&self.old_bytes);
        }
        directory
    }

    fn traced<'b>(&'b self, directory: &'b Path) -> TracedCommand<'b> {
        let stdout = match self.target {
            Target::Stdout => directory.join("target"),
            _ => PathBuf::from("/dev/null"),
        };
        let stdin = self.stdin.map(|name| directory.join(name));
        TracedCommand { directory, args: &self.args, stdin, stdout, always: self.always.as_deref() }
    }

    fn observe(&self, directory: &Path) -> Observed {
        let path = directory.join("target");
        let found = match self.target {
            Target::File("raw") | Target::Stdout => self.found_bytes(std::fs::read(path).ok()),
            Target::File(format) => self.found_image(&path, format),
            Target::InPlace => self.found_in_place(&std::fs::read(path).unwrap()),
            Target::RawDevice(device) => self.found_in_place(&device.read()),
            Target::Device(format, device) => match (self.found_image(&device.0, format), &self.old) {
                // The old content is no image of the format.
                (Found::Nothing(_), Some(old)) if DiskContent::of_bytes(&device.read()) == *old => Found::Old,
                (found, _) => found,
            },
        };
        let is_stream = matches!(self.target, Target::Stdout);
        let reverts = !self.always.as_ref().is_some_and(|rule| rule.contains("renameat2"));
        Observed { found, names: names(directory), is_stream, reverts }
    }

    fn found(&self, content: &DiskContent) -> Found {
        match content {
            content if Some(content) == self.new.as_ref() => Found::New,
            content if Some(content) == self.old.as_ref() => Found::Old,
            content => Found::Other(format!("{content:?}")),
        }
    }

    fn found_bytes(&self, bytes: Option<Vec<u8>>) -> Found {
        match bytes {
            None => Found::Nothing("absent".to_owned()),
            Some(bytes) => self.found(&DiskContent::of_bytes(&bytes)),
        }
    }

    fn found_image(&self, path: &Path, format: &str) -> Found {
        match DiskContent::open(path, format) {
            Ok(content) => self.found(&content),
            Err(error) => Found::Nothing(error.to_string()),
        }
    }

    /// Compares the bytes of a target that keeps its length. Its first 2 MiB are the disk.
    fn found_in_place(&self, bytes: &[u8]) -> Found {
        const DISK: usize = 2 << 20;
        const BLOCK: usize = 4096;
        const HEAD: usize = 1 << 20;
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let content = DiskContent::of_bytes(bytes);
        if Some(&content) == self.old.as_ref() {
            return Found::Old;
        }
        let disk = DiskContent::of_bytes(&bytes[..DISK]);
        if Some(&disk) == self.new.as_ref() {
            return Found::New;
        }
        let is_old = |range: std::ops::Range<usize>| bytes[range.clone()] == self.old_bytes[range];
        let tail = bytes.len() - (64 << 10);
        let is_new = |range: std::ops::Range<usize>| bytes[range.clone()] == noise(DISK, 1)[range];
        let reason = match is_zero(&bytes[..BLOCK]) {
            true if is_zero(&bytes[..HEAD]) && is_zero(&bytes[tail..]) => "no head and tail",
            // While the ends are zeroed, nothing else is written.
            true if is_old(HEAD..tail) => "the old disk without its first block",
            // The first block is written last, after all else.
            true if is_new(HEAD..tail.min(DISK)) => "the new disk without its first block",
            _ => return Found::Other(format!("{content:?}")),
        };
        Found::Nothing(reason.to_owned())
    }
}

/// Creates a disk with 64 KiB of data in each GiB, at least once.
fn sparse(path: &Path, size: u64, seed: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for gib in 0..(size >> 30).max(1) {
        file.write_all_at(&noise(64 << 10, seed + gib), gib << 30).unwrap();
    }
}

fn copy_sparse(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("--sparse=always").arg(from).arg(to).status();
    assert!(done.unwrap().success());
}

/// The sorted names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A loop device over a file.
pub(crate) struct LoopDevice(PathBuf, tempfile::NamedTempFile);

impl LoopDevice {
    /// `None` if the system allows no loop device: most containers forbid it.
    pub(crate) fn new(size: u64) -> Option<Self> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        match Command::new("losetup").args(["--find", "--show"]).arg(file.path()).output() {
            Ok(output) if output.status.success() => {
                Some(Self(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()), file))
            }
            _ => {
                eprintln!("skipped: no loop device can be set up here");
                None
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn read(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }

    fn write(&self, bytes: &[u8]) {
        let mut device = File::options().write(true).open(&self.0).unwrap();
        device.write_all(bytes).unwrap();
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
        let _ = self.1.as_file();
    }
}
