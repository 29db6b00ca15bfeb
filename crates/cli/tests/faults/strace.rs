//! Runs the command under `strace`, which records its system calls or injects a fault into one of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A system call that fails.
struct SystemCall {
    name: &'static str,
    /// True if it may report a full disk.
    allocates: bool,
    /// True if a signal may interrupt it.
    is_interruptible: bool,
}

/// The system calls that fail. A name that the architecture does not have is skipped.
const CALLS: &[SystemCall] = &[
    SystemCall { name: "open", allocates: true, is_interruptible: true },
    SystemCall { name: "openat", allocates: true, is_interruptible: true },
    SystemCall { name: "openat2", allocates: false, is_interruptible: true },
    SystemCall { name: "read", allocates: false, is_interruptible: true },
    SystemCall { name: "write", allocates: true, is_interruptible: true },
    SystemCall { name: "pread64", allocates: false, is_interruptible: true },
    SystemCall { name: "pwrite64", allocates: true, is_interruptible: true },
    SystemCall { name: "copy_file_range", allocates: true, is_interruptible: true },
    SystemCall { name: "fallocate", allocates: true, is_interruptible: true },
    SystemCall { name: "ftruncate", allocates: true, is_interruptible: true },
    SystemCall { name: "ioctl", allocates: false, is_interruptible: false },
    SystemCall { name: "lseek", allocates: false, is_interruptible: false },
    SystemCall { name: "fsync", allocates: true, is_interruptible: true },
    SystemCall { name: "fdatasync", allocates: false, is_interruptible: true },
    SystemCall { name: "syncfs", allocates: false, is_interruptible: false },
    SystemCall { name: "link", allocates: false, is_interruptible: false },
    SystemCall { name: "linkat", allocates: true, is_interruptible: false },
    SystemCall { name: "rename", allocates: false, is_interruptible: false },
    SystemCall { name: "renameat", allocates: false, is_interruptible: false },
    SystemCall { name: "renameat2", allocates: true, is_interruptible: false },
    SystemCall { name: "unlink", allocates: false, is_interruptible: false },
    SystemCall { name: "unlinkat", allocates: false, is_interruptible: false },
    SystemCall { name: "fchmod", allocates: false, is_interruptible: false },
    SystemCall { name: "fchown", allocates: false, is_interruptible: false },
    SystemCall { name: THREAD, allocates: false, is_interruptible: false },
];

/// The call that starts a thread. The system refuses it at its limit of processes.
const THREAD: &str = "clone3";

fn system_call(name: &str) -> Option<&'static SystemCall> {
    CALLS.iter().find(|call| call.name == name)
}

/// A fault: the call, its number in each thread, and the result.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) call: String,
    pub(crate) number: usize,
    pub(crate) injected: Injected,
    /// True if the dynamic linker or the runtime makes the call before the command starts.
    pub(crate) is_startup: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Injected {
    /// One call fails.
    Error(&'static str),
    /// This call and all later ones fail.
    Persistent(&'static str),
    /// SIGKILL instead of the call.
    Kill,
}

impl Fault {
    fn rule(&self) -> String {
        let Self { call, number, injected, .. } = self;
        match injected {
            Injected::Error(error) => format!("inject={call}:error={error}:when={number}"),
            Injected::Persistent(error) => format!("inject={call}:error={error}:when={number}+"),
            Injected::Kill => format!("inject={call}:signal=KILL:when={number}"),
        }
    }
}

/// The calls of a run without a fault: by name, the calls of the thread that makes most, and those before the command
/// starts.
pub(crate) struct CallCounts(BTreeMap<String, (usize, usize)>);

impl CallCounts {
    /// Counts the lines of a log. The command has started when it reads standard input, or with a line that has one of
    /// the texts `start`.
    pub(crate) fn parse(log: &str, start: &[&str]) -> Self {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut before: BTreeMap<&str, usize> = BTreeMap::new();
        let mut has_started = false;
        for line in log.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
            has_started |= start.iter().any(|start| arguments.contains(start));
            has_started |= name == "read" && arguments.starts_with("0, ");
            if system_call(name).is_none() {
                continue;
            }
            *counts.entry((thread, name)).or_default() += 1;
            if !has_started {
                *before.entry(name).or_default() += 1;
            }
        }
        let mut most = BTreeMap::new();
        for ((_, name), count) in counts {
            let entry: &mut (usize, usize) = most.entry(name.to_owned()).or_default();
            *entry = (entry.0.max(count), before.get(name).copied().unwrap_or_default());
        }
        Self(most)
    }

    /// The calls of this name of the thread that makes most.
    pub(crate) fn of(&self, call: &str) -> usize {
        self.0.get(call).map_or(0, |(count, _)| *count)
    }

    /// All faults, or a sample: the first, middle and last call of each name, without those before the start.
    pub(crate) fn faults(&self, all: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (call, &(count, startup)) in &self.0 {
            // The thread that receives signals is started first.
            let first = if call == THREAD { 1 } else { startup + 1 };
            let mut numbers = vec![first, first + 1, first.midpoint(count), count];
            numbers.retain(|number| (first..=count).contains(number));
            numbers.sort_unstable();
            numbers.dedup();
            let numbers = if all { (1..=count).collect() } else { numbers };
            for number in numbers {
                let injected = kinds(call, all);
                faults.extend(injected.into_iter().map(|injected| Fault {
                    call: call.clone(),
                    number,
                    injected,
                    is_startup: number <= startup,
                }));
            }
        }
        faults
    }
}

/// The rule that makes the calls fail by which files without a name are created. Each is then followed by the call that
/// creates a file with a name.
pub(crate) fn without_nameless_files(log: &str) -> String {
    let opened = log.lines().filter(|line| line.contains(" openat("));
    let numbers: Vec<usize> =
        (1..).zip(opened).filter(|(_, line)| line.contains("O_TMPFILE")).map(|(number, _)| number).collect();
    // Without any, every file has a name anyway.
    let first = numbers.first().copied().unwrap_or(1_000_000);
    let last = first + 2 * numbers.len().saturating_sub(1);
    format!("inject=openat:error=EOPNOTSUPP:when={first}..{last}+2")
}

fn kinds(call: &str, all: bool) -> Vec<Injected> {
    if call == THREAD {
        return vec![Injected::Error("EAGAIN"), Injected::Persistent("EAGAIN"), Injected::Kill];
    }
    let Some(SystemCall { allocates, is_interruptible, .. }) = system_call(call) else {
        panic!("{call} is not one of the calls that fail");
    };
    let mut kinds = vec![Injected::Error("EIO"), Injected::Kill];
    if *allocates && all {
        kinds.push(Injected::Error("ENOSPC"));
    }
    if *is_interruptible {
        kinds.push(Injected::Error("EINTR"));
    }
    if !is_interruptible || call.ends_with("sync") || call == "pwrite64" {
        kinds.push(Injected::Persistent("EIO"));
    }
    kinds
}

/// A command to run: its arguments, and the files that are its standard input and output.
pub(crate) struct TracedCommand<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) args: &'a [String],
    pub(crate) stdin: Option<PathBuf>,
    pub(crate) stdout: PathBuf,
    /// Another rule of `strace`, which applies to each run.
    pub(crate) always: Option<&'a str>,
}

/// The end of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` after SIGKILL.
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

/// Returns true if `strace` can trace here. Otherwise prints that the tests are skipped; in CI that is a failure if it
/// is not installed.
pub(crate) fn is_available() -> bool {
    let Ok(traced) = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output() else {
        assert!(std::env::var_os("CI").is_none(), "strace is not installed, and CI must not skip");
        eprintln!("skipped: strace is not installed");
        return false;
    };
    if !traced.status.success() {
        eprintln!("skipped: strace may not trace here");
    }
    traced.status.success()
}

impl TracedCommand<'_> {
    /// Runs without a fault and returns the log of the calls.
    pub(crate) fn log(&self, log: &Path) -> String {
        let calls: Vec<String> = CALLS.iter().map(|call| format!("?{}", call.name)).collect();
        let trace = format!("trace={}", calls.join(","));
        let ended = self.run(&["-o", log.to_str().unwrap(), "-e", &trace]);
        assert_eq!(ended.code, Some(0), "{:?}: {}", self.args, ended.stderr);
        let text = std::fs::read_to_string(log).unwrap();
        std::fs::remove_file(log).unwrap();
        text
    }

    pub(crate) fn run_with(&self, fault: &Fault) -> Ended {
        self.run(&["-o", "/dev/null", "-e", &format!("trace={}", fault.call), "-e", &fault.rule()])
    }

    fn run(&self, strace: &[&str]) -> Ended {
        // A run that never ends is a failure.
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "60", "strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none"]);
        command.args(self.always.iter().flat_map(|rule| ["-e", rule]));
        command.args(strace).arg("--").arg(assert_cmd::cargo::cargo_bin!("diskimg")).args(self.args);
        command.current_dir(self.directory).env("TMPDIR", self.directory);
        // The libraries of the tests only add calls before the start.
        command.env_remove("LD_LIBRARY_PATH");
        command.stdin(self.stdin.as_ref().map_or_else(Stdio::null, |path| File::open(path).unwrap().into()));
        let output =
            command.stdout(File::create(&self.stdout).unwrap()).stderr(Stdio::piped()).output().unwrap();
        let code = output.status.code().filter(|_| output.status.signal().is_none());
        Ended {
            code: code.filter(|code| *code != 137),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
