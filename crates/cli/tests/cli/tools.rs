//! A scratch directory, the command, and `qemu-img` as the reference.

#[path = "../../../../tests/qemu/tools.rs"]
mod qemu;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A scratch directory that is removed with the test.
pub(crate) struct ScratchDir(tempfile::TempDir);

/// The result of a run of the command.
#[derive(Debug)]
pub(crate) struct RunResult {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl RunResult {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the exit code and the output of a failure: one line, an optional hint, and nothing on standard output.
    #[track_caller]
    pub(crate) fn fails_with(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        let mut lines = self.stderr.lines();
        assert!(lines.next().is_some_and(|line| line.starts_with("diskimg: ")), "{self:?}");
        assert!(lines.next().is_none_or(|line| line.starts_with("hint: ")), "{self:?}");
        assert_eq!(lines.next(), None, "{self:?}");
        words.iter().for_each(|word| assert!(self.stderr.contains(word), "no {word:?} in {self:?}"));
    }
}

impl ScratchDir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Returns `None` and prints a note if the tools of QEMU are not installed. In CI that is a failure.
    pub(crate) fn with_qemu() -> Option<Self> {
        qemu::have_qemu().then(Self::new)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// Returns the sorted names in the directory, including hidden ones.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns the command, not started yet. It runs in the directory and creates its temporary files there.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = with_default_signals(assert_cmd::cargo::cargo_bin!("diskimg"));
        command.args(args).current_dir(self.0.path()).env("TMPDIR", self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a shell script in the directory, with the command as `$D`.
    #[cfg(unix)]
    pub(crate) fn shell(&self, script: &str) -> Output {
        let mut shell = with_default_signals("bash");
        shell.args(["-c", script]).current_dir(self.0.path());
        shell.env("D", assert_cmd::cargo::cargo_bin!("diskimg")).output().unwrap()
    }

    pub(crate) fn run(&self, args: &[&str]) -> RunResult {
        ran(self.command(args).output().unwrap())
    }

    /// Runs the command with a pipe of these bytes as standard input.
    pub(crate) fn run_fed(&self, args: &[&str], input: &[u8]) -> RunResult {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // The command closes the pipe early if it needs only the beginning.
            scope.spawn(move || stdin.write_all(input));
            ran(child.wait_with_output().unwrap())
        })
    }

    /// Runs the command. It must succeed and print nothing on standard error.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> RunResult {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}: {ran:?}");
        ran
    }

    #[track_caller]
    pub(crate) fn img(&self, args: &[&str]) -> String {
        qemu::qemu(self.0.path(), "qemu-img", args)
    }

    /// Runs `qemu-img`, which may fail. Returns its exit code and output.
    pub(crate) fn img_may_fail(&self, args: &[&str]) -> (i32, Vec<u8>) {
        let output = qemu::run(self.0.path(), "qemu-img", args);
        (output.status.code().unwrap(), output.stdout)
    }

    /// Runs commands of `qemu-io` on a qcow2 image.
    #[track_caller]
    pub(crate) fn io(&self, image: &str, commands: &[&str]) {
        self.io_as("qcow2", image, commands);
    }

    /// Runs commands of `qemu-io` on an image of this format.
    #[track_caller]
    pub(crate) fn io_as(&self, format: &str, image: &str, commands: &[&str]) {
        qemu::qemu_io(self.0.path(), format, image, commands);
    }

    /// Syncs all files. Until then, file systems may change holes and allocated sizes.
    pub(crate) fn settle(&self) {
        for name in self.names() {
            let file = File::open(self.path(&name)).unwrap();
            file.sync_all().unwrap();
        }
    }
}

/// Returns a command that ignores no signals. A shell starts background jobs with SIGINT ignored, and `nohup` with SIGHUP
/// ignored; the command respects both. `env` of coreutils 8.31 and newer resets them; an older one has no such option.
fn with_default_signals(program: impl AsRef<std::ffi::OsStr>) -> Command {
    static CAN_RESET: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        let env = Command::new("env").args([DEFAULT_SIGNALS, "true"]).output();
        env.is_ok_and(|output| output.status.success())
    });
    if !*CAN_RESET {
        return Command::new(program);
    }
    let mut env = Command::new("env");
    env.arg(DEFAULT_SIGNALS).arg(program);
    env
}

const DEFAULT_SIGNALS: &str = "--default-signal=HUP,INT,TERM,USR1";

/// The standard error of a shell script.
#[cfg(unix)]
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ran(output: Output) -> RunResult {
    let Output { status, stdout, stderr } = output;
    // A process that a signal ended has no exit code. No test expects that.
    RunResult { code: status.code().unwrap_or(-1), stdout, stderr: String::from_utf8(stderr).unwrap() }
}

/// Returns a disk of `size` bytes with one partition in its MBR: text, incompressible noise, and zeros.
pub(crate) fn mixed_disk(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut disk: Vec<u8> = Vec::with_capacity(size);
    while disk.len() < size {
        let block = disk.len() >> 16;
        let len = (size - disk.len()).min(1 << 16);
        match block % 4 {
            0 => disk.extend(b"the guest wrote this\n".iter().cycle().take(len)),
            1 => disk.extend((0..len).map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[0]
            })),
            _ => disk.resize(disk.len() + len, 0),
        }
    }
    if size >= 512 {
        let sectors = u32::try_from(size / 512).unwrap();
        disk[446..510].fill(0);
        disk[446..454].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0]);
        disk[454..458].copy_from_slice(&1_u32.to_le_bytes());
        disk[458..462].copy_from_slice(&sectors.saturating_sub(1).to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    }
    disk
}

/// Compresses bytes as one gzip member.
pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns `value` without our additional keys.
pub(crate) fn without_additions(mut value: Value) -> Value {
    let objects = match &mut value {
        Value::Array(list) => list.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    for object in objects {
        assert!(
            object.as_object_mut().unwrap().remove("diskimg").is_some(),
            "our additional keys are present"
        );
    }
    value
}

pub(crate) fn file_len(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}
