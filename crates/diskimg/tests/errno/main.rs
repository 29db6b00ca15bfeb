//! Error numbers of the system: every call of `tests/errno.tsv` that the system refuses reports the number.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod cases;

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cases::{Case, call, call_descriptor, prepare};
use diskimg::Result;
use tempfile::TempDir;

/// Runs one case with the path `path`.
fn run(case: &Case, path: &Path) -> Result<()> {
    match case.call.as_str() {
        "descriptor" if !["directory", "for-reading"].contains(&case.condition.as_str()) => {
            call_descriptor(path)
        }
        name => call(name, path),
    }
}

#[test]
fn refused_path_is_reported_with_the_number_of_the_system() {
    let dir = tempfile::tempdir().unwrap();
    let conditions = ["absent", "under-file", "directory", "file", "loop", "long", "for-reading"];
    let cases = conditions.map(|condition| prepare_all(dir.path(), &dir.path().join("files"), condition));
    let found: Vec<String> = cases.iter().flat_map(|cases| differences(cases)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn limit_of_the_process_is_reported_with_the_number_of_the_system() {
    for (condition, limit) in [("descriptors", "ulimit -n 64"), ("size", "trap '' XFSZ; ulimit -f 128")] {
        let dir = tempfile::tempdir().unwrap();
        prepare_all(dir.path(), dir.path(), condition);
        in_child(dir.path(), condition, limit, None);
    }
}

#[test]
fn file_of_another_user_is_reported_with_the_number_of_the_system() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can run a process as another user");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let files = dir.path().join("files");
    prepare_all(dir.path(), &files, "permission");
    fs::set_permissions(&files, Permissions::from_mode(0o700)).unwrap();
    in_child(dir.path(), "permission", ":", Some(65_534));
}

#[test]
fn file_system_without_space_or_read_only_is_reported_with_the_number_of_the_system() {
    let Some(mounted) = MountedFileSystem::new() else { return };
    let place = mounted.place();
    let full = prepare_all(mounted.dir.path(), &place, "full");
    let read_only = prepare_all(mounted.dir.path(), &place, "read-only");
    fill(&place.join("fill"));
    let mut found = differences(&full);
    fs::remove_file(place.join("fill")).unwrap();
    mounted.command("mount", &["-o", "remount,ro"]);
    found.extend(differences(&read_only));
    drop(mounted);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Writes zeros to a file until the file system has less than 1 MiB left, but more than the names need.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut len = 0;
    while let Ok(more) = file.write(&[0; 64 << 10]) {
        len += more as u64;
    }
    file.set_len(len - (256 << 10)).unwrap();
}

/// A small file system in a file, mounted.
struct MountedFileSystem {
    dir: TempDir,
}

impl MountedFileSystem {
    /// Creates and mounts one. `None` if that is not possible here: most containers forbid it.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let mounted = Self { dir };
        fs::create_dir(mounted.place()).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-m0", "-O^has_journal"]).arg(&image).status();
        let mount = || Command::new("mount").args(["-o", "loop"]).arg(&image).arg(mounted.place()).status();
        if made.is_ok_and(|made| made.success()) && mount().is_ok_and(|mount| mount.success()) {
            return Some(mounted);
        }
        eprintln!("skipped: no file system can be created and mounted here");
        None
    }

    fn place(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    fn command(&self, name: &str, options: &[&str]) {
        assert!(Command::new(name).args(options).arg(self.place()).status().unwrap().success(), "{name}");
    }
}

impl Drop for MountedFileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.place()).stderr(Stdio::null()).status();
    }
}

/// Runs the cases with one condition in a process of this user, which a line of a shell prepares. [`prepare_all`] wrote
/// their paths to `dir`.
fn in_child(dir: &Path, condition: &str, prepare: &str, user: Option<u32>) {
    let program = dir.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let shell = format!("{prepare}; exec \"$0\" --exact --ignored --nocapture cases_in_a_child");
    let mut child = Command::new("sh");
    child.args(["-c", &shell]).arg(&program).current_dir(dir);
    child.env("ERRNO_CONDITION", condition).env("ERRNO_PATHS", dir.join(condition));
    if let Some(user) = user {
        child.uid(user).gid(user);
    }
    let done = child.output().unwrap();
    assert!(done.status.success(), "{condition}: {}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"), "{condition}");
}

#[test]
#[ignore = "a part of the other tests, which run it in a process with other limits"]
fn cases_in_a_child() {
    let condition = std::env::var("ERRNO_CONDITION").unwrap();
    let paths = fs::read_to_string(std::env::var_os("ERRNO_PATHS").unwrap()).unwrap();
    let cases: Vec<_> = Case::with(&[&condition]).into_iter().zip(paths.lines().map(PathBuf::from)).collect();
    let mut found = Vec::new();
    for (case, path) in &cases {
        let mut taken = Vec::new();
        if condition == "descriptors" {
            taken.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
        }
        let result = run(case, path);
        drop(taken);
        found.extend(case.difference(result));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Prepares the cases with one condition in `place`, and writes their paths to a file of that name in `dir`.
fn prepare_all(dir: &Path, place: &Path, condition: &str) -> Vec<(Case, PathBuf)> {
    let prepare_one = |case: Case| {
        let own = place.join(format!("{}-{condition}", case.call));
        fs::create_dir_all(&own).unwrap();
        let path = prepare(&own, &case.call, condition);
        (case, path)
    };
    let cases: Vec<_> = Case::with(&[condition]).into_iter().map(prepare_one).collect();
    let paths: Vec<&str> = cases.iter().map(|(_, path)| path.to_str().unwrap()).collect();
    fs::write(dir.join(condition), paths.join("\n")).unwrap();
    cases
}

/// Runs cases, and returns what differs from the table.
fn differences(cases: &[(Case, PathBuf)]) -> Vec<String> {
    cases.iter().filter_map(|(case, path)| case.difference(run(case, path))).collect()
}
