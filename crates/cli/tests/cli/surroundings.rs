//! Signals other than those that stop the command, and limits of the process.
#![cfg(unix)]

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::tools::{ScratchDir, mixed_disk, stderr};

#[test]
fn progress_is_printed_on_request_from_the_start() {
    for args in [&["convert", "-O", "raw", "-", "target"][..], &["check", "-"], &["map", "-"], &["cat", "-"]]
    {
        let dir = ScratchDir::new();
        let mut child = dir.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Signals are sent until the first line is printed: the command has begun to handle them by then.
        let pid = child.id().to_string();
        let asker = std::thread::spawn(move || {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(50));
                let _ = Command::new("kill").args(["-USR1", &pid]).output();
            }
            stdin.write_all(&mixed_disk(1 << 20)).unwrap();
        });
        let output = child.wait_with_output().unwrap();
        asker.join().unwrap();
        // A signal before `main` would kill it; that is not the case here, because the first waits 50 ms.
        assert_eq!(output.status.signal(), None, "{args:?}");
        let lines = stderr(&output);
        assert!(lines.starts_with("    (0.00/100%)\n"), "{args:?}: {lines}");
    }
}

#[test]
fn hangup_stops_the_command_unless_it_is_ignored() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let stopped = dir.shell(
        "(cat disk.raw; sleep 3 2>&-) | $D convert -O raw - target & sleep 0.5; kill -HUP $!; wait $!",
    );
    assert_eq!(stopped.status.code(), Some(129), "{}", stderr(&stopped));
    assert_eq!(dir.names(), ["disk.raw"]);
    let script = "trap '' HUP; (cat disk.raw; sleep 1) | $D convert -O raw - target & sleep 0.5; kill -HUP $!; wait $!";
    let ignored = dir.shell(script);
    assert_eq!(ignored.status.code(), Some(0), "{}", stderr(&ignored));
    assert_eq!(dir.read("target"), mixed_disk(1 << 20));
}

#[test]
fn write_past_the_limit_of_the_file_size_is_an_error_and_leaves_no_file() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(4 << 20));
    for format in ["raw", "qcow2", "vdi", "vmdk"] {
        let output = dir.shell(&format!("ulimit -f 1024; $D convert -O {format} disk.raw target"));
        assert_eq!(output.status.code(), Some(1), "{format}: {}", stderr(&output));
        assert!(stderr(&output).contains("File too large"), "{format}: {}", stderr(&output));
        assert_eq!(dir.names(), ["disk.raw"], "{format}");
    }
}

/// Prefixes a command so that it can start no thread. `None` if this user cannot do that.
fn without_threads() -> Option<&'static str> {
    let prefix = "setpriv --reuid=61234 --regid=61234 --clear-groups prlimit --nproc=1";
    let can = Command::new("bash").args(["-c", &format!("{prefix} true")]).output();
    if can.is_ok_and(|output| output.status.success()) {
        return Some(prefix);
    }
    eprintln!("skipped: only root can run a command as a user without threads");
    None
}

#[test]
fn command_completes_without_further_threads() {
    let Some(prefix) = without_threads() else { return };
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(3 << 20));
    assert!(dir.shell("chmod 777 .; cp $D ./diskimg; chmod 755 diskimg; gzip -k disk.raw").status.success());
    let has_xz = dir.shell("xz -k -T2 --block-size=64KiB disk.raw").status.success();
    let mut commands = vec![
        "convert -O qcow2 -c disk.raw target",
        "convert -O raw disk.raw.gz target",
        "convert -O vmdk -o subformat=streamOptimized - target < disk.raw",
        "compare disk.raw disk.raw",
        "cat disk.raw > target",
    ];
    if has_xz {
        commands.push("convert -O raw disk.raw.xz target");
    }
    for command in commands {
        let output = dir.shell(&format!("rm -f target; {prefix} ./diskimg {command}"));
        assert_eq!(output.status.code(), Some(0), "{command}: {}", stderr(&output));
        if !command.starts_with("compare") {
            let output = dir.shell("$D compare disk.raw target");
            assert_eq!(output.status.code(), Some(0), "{command}: {}", stderr(&output));
        }
    }
}

#[test]
fn conversion_completes_in_a_small_address_space_with_many_threads() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(8 << 20));
    for command in ["convert -m 64 -O qcow2 -c disk.raw target", "convert -m 64 -O raw disk.raw target"] {
        let output = dir
            .shell(&format!("rm -f target; ulimit -v 1048576; $D {command} && $D compare disk.raw target"));
        assert_eq!(output.status.code(), Some(0), "{command}: {}", stderr(&output));
    }
    let output = dir.shell(
        "ulimit -v 1048576; xz -k disk.raw && $D convert -m 64 -O raw disk.raw.xz x && cmp disk.raw x",
    );
    assert!(!stderr(&output).contains("panic"), "{}", stderr(&output));
}

/// A control group with a limit, removed with this value.
struct ControlGroup(std::path::PathBuf);

impl ControlGroup {
    /// A group in which the file of a controller (version 1 or 2) has this value. `None` if this user cannot create one.
    fn new(controller: &str, files: [&str; 2], value: u64) -> Option<Self> {
        let roots = [format!("/sys/fs/cgroup/{controller}"), "/sys/fs/cgroup".to_owned()];
        for (root, limit) in roots.iter().zip(files) {
            let name = format!("diskimg-test-{controller}-{}", std::process::id());
            let group = std::path::Path::new(root).join(name);
            if std::fs::create_dir(&group).is_ok() {
                let made = Self(group.clone());
                if std::fs::write(group.join(limit), value.to_string()).is_ok() {
                    return Some(made);
                }
            }
        }
        eprintln!("skipped: this user cannot create a control group of the controller {controller}");
        None
    }

    /// Runs the command in the group.
    fn run(&self, dir: &ScratchDir, command: &str) -> std::process::Output {
        let enter = format!("echo $$ > {}/cgroup.procs", self.0.display());
        dir.shell(&format!("rm -f target; {enter} && exec $D {command}"))
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn conversion_completes_or_ends_as_limit_in_64_mib_of_memory() {
    let files = ["memory.limit_in_bytes", "memory.max"];
    let Some(group) = ControlGroup::new("memory", files, 64 << 20) else { return };
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(96 << 20));
    let limited = |command: &str| group.run(&dir, command);
    for command in [
        "convert -m 64 -O qcow2 disk.raw target",
        "convert -m 64 -O qcow2 -c disk.raw target",
        "convert -m 64 -O qcow2 -c -o cluster_size=2M,compression_type=zstd disk.raw target",
        "convert -O vmdk -o subformat=streamOptimized disk.raw target",
        "convert -O raw disk.raw target",
    ] {
        let output = limited(command);
        assert_eq!(output.status.code(), Some(0), "{command}: {:?} {}", output.status, stderr(&output));
    }
    assert_eq!(dir.shell("$D compare disk.raw target").status.code(), Some(0));
    if !dir.shell("zstd -q -1 disk.raw && zstd -q --long=27 -c disk.raw > long.zst").status.success() {
        eprintln!("skipped: zstd is not installed");
        return;
    }
    let output = limited("convert -O raw disk.raw.zst target");
    assert_eq!(output.status.code(), Some(0), "{:?} {}", output.status, stderr(&output));
    let refused = limited("convert -O raw long.zst target");
    assert_eq!(refused.status.code(), Some(1), "{:?} {}", refused.status, stderr(&refused));
    let message = stderr(&refused);
    assert!(message.contains("window at byte") && message.contains("at most 33554432 bytes"), "{message}");
    assert!(message.contains("hint: run it with"), "{message}");
    assert!(!dir.exists("target"));
}

#[test]
fn command_completes_in_a_control_group_that_allows_few_threads() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(3 << 20));
    assert!(dir.shell("gzip -k disk.raw; $D convert -O qcow2 disk.raw disk.qcow2").status.success());
    for most in [1, 2, 3] {
        let Some(group) = ControlGroup::new("pids", ["pids.max", "pids.max"], most) else { return };
        for command in [
            "convert -m 8 -O qcow2 -c disk.raw target",
            "convert -m 8 -O raw disk.qcow2 target",
            "convert -O raw disk.raw.gz target",
            "convert -O vmdk -o subformat=streamOptimized - target < disk.raw",
            "inspect - < disk.qcow2",
            "check - < disk.qcow2",
            "compare disk.raw disk.qcow2",
            "cat disk.qcow2 > target",
        ] {
            let output = group.run(&dir, command);
            assert_eq!(output.status.code(), Some(0), "{most} {command}: {}", stderr(&output));
            if command.contains(" target") || command.contains("> target") {
                let output = dir.shell("$D compare disk.raw target");
                assert_eq!(output.status.code(), Some(0), "{most} {command}: {}", stderr(&output));
            }
        }
    }
}
