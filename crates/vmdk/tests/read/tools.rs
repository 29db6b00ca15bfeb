//! `qemu-img` and `qemu-io`, and host files as sources.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use diskimg_core::conformance::{Numbers, source};
use diskimg_core::{BlockSource, HostRange, Location, OpenOptions, Reference, Resolver, Result, check_range};
use diskimg_vmdk::Vmdk;

/// A directory that goes away with the test, and the tools run in it.
pub(crate) struct Workshop(tempfile::TempDir);

impl Workshop {
    /// `None`, said aloud, where the tools are not installed; a failure where they have to be.
    pub(crate) fn open() -> Option<Self> {
        let installed =
            ["qemu-img", "qemu-io"].iter().all(|tool| run(tool, Path::new("."), &["--version"]).is_some());
        if !installed {
            assert!(std::env::var_os("CI").is_none(), "qemu-img and qemu-io have to be installed in CI");
            eprintln!("skipped: qemu-img is not installed");
            return None;
        }
        Some(Self(tempfile::tempdir().unwrap()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    pub(crate) fn img(&self, args: &[&str]) -> String {
        self.tool("qemu-img", args)
    }

    /// Runs commands of `qemu-io` on an image.
    #[track_caller]
    pub(crate) fn io(&self, image: &str, commands: &[&str]) {
        let mut args = vec!["-f", "vmdk"];
        commands.iter().for_each(|command| args.extend(["-c", command]));
        args.push(image);
        let told = self.tool("qemu-io", &args);
        assert!(!told.contains("failed"), "{commands:?}: {told}");
    }

    #[track_caller]
    fn tool(&self, tool: &str, args: &[&str]) -> String {
        let output = run(tool, self.0.path(), args).unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{tool} {args:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// The guest's bytes as QEMU reads them.
    #[track_caller]
    pub(crate) fn guest_bytes(&self, image: &str, more: &[&str]) -> Vec<u8> {
        self.img(&[&["convert", "-f", "vmdk", "-O", "raw"], more, &[image, "oracle.raw"]].concat());
        std::fs::read(self.path("oracle.raw")).unwrap()
    }

    pub(crate) fn open_image(&self, name: &str) -> Vmdk {
        let options = OpenOptions { resolver: self, ..OpenOptions::default() };
        Vmdk::open(HostFile::open(&self.path(name)), &options)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Reads an image here and there, and compares the bytes.
    #[track_caller]
    pub(crate) fn compare(&self, image: &str) {
        let disk = self.open_image(image);
        source(&disk, &self.guest_bytes(image, &[]));
    }

    /// A disk of text, noise and zeros of 512 bytes to 64 KiB each.
    pub(crate) fn write_mixed(&self, name: &str, size: u64) {
        let mut numbers = Numbers::new(size);
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let len = 512 * (1 + numbers.below(128)) as usize;
            match numbers.below(3) {
                0 => bytes.resize(bytes.len() + len, 0),
                1 => bytes.extend(b"all work and no play ".iter().cycle().take(len)),
                _ => bytes.extend((0..len).map(|_| numbers.below(256) as u8)),
            }
        }
        bytes.truncate(size as usize);
        std::fs::write(self.path(name), bytes).unwrap();
    }
}

/// Serves files of the workshop by their bare names.
impl Resolver for Workshop {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        Ok(HostFile::open(&self.path(&reference.name_lossy())))
    }
}

fn run(tool: &str, directory: &Path, args: &[&str]) -> Option<Output> {
    Command::new(tool).current_dir(directory).args(args).output().ok()
}

/// A host file that says where its bytes are.
pub(crate) struct HostFile(File, u64);

impl HostFile {
    pub(crate) fn open(path: &Path) -> Arc<dyn BlockSource> {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let size = file.metadata().unwrap().len();
        Arc::new(Self(file, size))
    }
}

impl BlockSource for HostFile {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.1)?;
        Ok(self.0.read_exact_at(buf, offset)?)
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        if range.end > self.1 {
            return Location::default();
        }
        let host = HostRange { file: &self.0, offset: range.start, len: range.end - range.start };
        Location { host: Some(host), bytes: None }
    }
}
