//! Standard input and output, named pipes and devices.

use std::io::Read;
use std::process::Command;

use crate::tools::{ScratchDir, mixed_disk};

#[test]
fn raw_streams_from_pipe_to_pipe() {
    let dir = ScratchDir::new();
    for size in [1, 511, 512, 65_536, (3 << 20) + 7] {
        let disk = mixed_disk(size);
        let run = dir.run_fed(&["convert", "-f", "raw", "-O", "raw", "-", "-"], &disk);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert!(run.stdout == disk, "{size} bytes");
    }
    assert!(dir.names().is_empty());
}

#[test]
fn stream_converts_to_a_file_of_each_format() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(3 << 20);
    dir.write("disk.raw", &disk);
    for format in ["raw", "qcow2"] {
        let run = dir.run_fed(&["convert", "-O", format, "-", "target"], &disk);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert_eq!(dir.ok(&["compare", "target", "disk.raw"]).code, 0);
        std::fs::remove_file(dir.path("target")).unwrap();
    }
}

#[test]
fn image_that_cannot_stream_uses_a_temporary_file_if_allowed() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(2 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = dir.read("disk.qcow2");
    let run = dir.run_fed(&["convert", "-", "-"], &image);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(run.stdout == disk);
    let run = dir.run_fed(&["convert", "--no-spool", "-", "-"], &image);
    run.fails_with(1, &["standard input", "hint: "]);
    assert_eq!(dir.names(), ["disk.qcow2", "disk.raw"]);
}

#[test]
fn compressed_file_is_decompressed_during_conversion() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(2 << 20);
    dir.write("disk.raw", &disk);
    for (tool, name) in [("gzip", "disk.raw.gz"), ("xz", "disk.raw.xz")] {
        let packed = Command::new(tool).args(["-c"]).arg(dir.path("disk.raw")).output();
        let Ok(packed) = packed else {
            eprintln!("skipped: {tool} is not installed");
            continue;
        };
        dir.write(name, &packed.stdout);
        assert!(dir.ok(&["convert", name, "-"]).stdout == disk, "{name}");
        assert!(dir.run_fed(&["convert", "-", "-"], &packed.stdout).stdout == disk, "{name}");
        dir.ok(&["convert", "--force", "-O", "qcow2", name, "disk.qcow2"]);
        assert_eq!(dir.ok(&["compare", "disk.qcow2", "disk.raw"]).code, 0);
        let kept = dir.ok(&["convert", "-f", "raw", "--no-unwrap", name, "-"]);
        assert!(kept.stdout == packed.stdout, "{name}");
        let allowed = dir.ok(&["convert", "--allow-raw", "--no-unwrap", name, "-"]);
        assert!(allowed.stdout == packed.stdout, "{name}");
        for command in ["info", "probe"] {
            dir.run(&[command, "--no-unwrap", name])
                .fails_with(1, &["decompression is disabled", "omit --no-unwrap"]);
        }
        dir.write(name, &packed.stdout[..packed.stdout.len() / 2]);
        dir.run(&["convert", name, "half.raw"]).fails_with(1, &[name]);
        assert!(!dir.exists("half.raw"));
    }
}

#[test]
fn seekable_format_to_standard_output_is_refused() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.run(&["convert", "-O", "qcow2", "disk.raw", "-"]).fails_with(1, &["stream", "hint: "]);
    assert_eq!(dir.names(), ["disk.raw"]);
}

#[test]
fn truncated_source_leaves_no_target() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = dir.read("disk.qcow2");
    let run = dir.run_fed(&["convert", "-", "target"], &image[..image.len() / 2]);
    run.fails_with(1, &["qcow2"]);
    assert!(!dir.exists("target"));
}

#[cfg(unix)]
#[test]
fn named_pipe_receives_the_bytes_and_is_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    assert!(Command::new("mkfifo").arg(dir.path("pipe")).status().unwrap().success());
    let child = dir.command(&["convert", "--force", "disk.raw", "pipe"]).spawn().unwrap();
    let mut got = Vec::new();
    std::fs::File::open(dir.path("pipe")).unwrap().read_to_end(&mut got).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert!(got == disk);
    assert!(dir.path("pipe").symlink_metadata().unwrap().file_type().is_fifo());
}

#[cfg(unix)]
#[test]
fn sockets_directories_and_devices_are_never_replaced() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let _listening = std::os::unix::net::UnixListener::bind(dir.path("socket")).unwrap();
    std::fs::create_dir(dir.path("directory")).unwrap();
    for target in ["socket", "directory"] {
        dir.run(&["convert", "--force", "disk.raw", target]).fails_with(1, &[target]);
    }
    assert_eq!(dir.names(), ["directory", "disk.raw", "socket"]);
    // A link to the device, so that a failure of the test cannot damage /dev.
    std::os::unix::fs::symlink("/dev/null", dir.path("null")).unwrap();
    dir.ok(&["convert", "--force", "disk.raw", "null"]);
    assert_eq!(std::fs::read_link(dir.path("null")).unwrap().to_str(), Some("/dev/null"));
}

#[test]
fn stream_optimized_vmdk_is_written_to_standard_output() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(3 << 20));
    let to_vmdk = ["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw"];
    dir.ok(&[&to_vmdk[..], &["disk.vmdk"]].concat());
    let streamed = dir.ok(&[&to_vmdk[..], &["-"]].concat()).stdout;
    dir.write("streamed.vmdk", &streamed);
    dir.ok(&["compare", "disk.raw", "streamed.vmdk"]);
    assert_eq!(streamed.len(), dir.read("disk.vmdk").len());
    for other in ["monolithicSparse", "monolithicFlat"] {
        let option = format!("subformat={other}");
        dir.run(&["convert", "-O", "vmdk", "-o", &option, "disk.raw", "-"]).fails_with(1, &[]);
    }
    dir.run(&["convert", "-O", "vmdk", "disk.raw", "-"]).fails_with(1, &["stream", "hint: "]);
}
