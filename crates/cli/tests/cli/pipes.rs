//! Standard input and output, named pipes and devices.

use std::io::Read;
use std::process::Command;

use crate::tools::{Workshop, mixed_disk};

#[test]
fn raw_streams_from_pipe_to_pipe() {
    let shop = Workshop::new();
    for size in [1, 511, 512, 65_536, (3 << 20) + 7] {
        let disk = mixed_disk(size);
        let told = shop.run_fed(&["convert", "-f", "raw", "-O", "raw", "-", "-"], &disk);
        assert_eq!((told.code, told.stderr.as_str()), (0, ""));
        assert!(told.stdout == disk, "{size} bytes");
    }
    assert!(shop.names().is_empty());
}

#[test]
fn a_stream_becomes_a_file_of_each_format() {
    let shop = Workshop::new();
    let disk = mixed_disk(3 << 20);
    shop.write("disk.raw", &disk);
    for format in ["raw", "qcow2"] {
        let told = shop.run_fed(&["convert", "-O", format, "-", "target"], &disk);
        assert_eq!((told.code, told.stderr.as_str()), (0, ""));
        assert_eq!(shop.ok(&["compare", "target", "disk.raw"]).code, 0);
        std::fs::remove_file(shop.path("target")).unwrap();
    }
}

#[test]
fn an_image_that_cannot_stream_is_kept_unless_forbidden() {
    let shop = Workshop::new();
    let disk = mixed_disk(2 << 20);
    shop.write("disk.raw", &disk);
    shop.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = shop.read("disk.qcow2");
    let told = shop.run_fed(&["convert", "-", "-"], &image);
    assert_eq!((told.code, told.stderr.as_str()), (0, ""));
    assert!(told.stdout == disk);
    let told = shop.run_fed(&["convert", "--no-spool", "-", "-"], &image);
    told.fails_with(1, &["standard input", "hint: "]);
    assert_eq!(shop.names(), ["disk.qcow2", "disk.raw"]);
}

#[test]
fn a_compressed_file_is_unwrapped_on_the_way() {
    let shop = Workshop::new();
    let disk = mixed_disk(2 << 20);
    shop.write("disk.raw", &disk);
    for (tool, name) in [("gzip", "disk.raw.gz"), ("xz", "disk.raw.xz")] {
        let packed = Command::new(tool).args(["-c"]).arg(shop.path("disk.raw")).output();
        let Ok(packed) = packed else {
            eprintln!("skipped: {tool} is not installed");
            continue;
        };
        shop.write(name, &packed.stdout);
        assert!(shop.ok(&["convert", name, "-"]).stdout == disk, "{name}");
        assert!(shop.run_fed(&["convert", "-", "-"], &packed.stdout).stdout == disk, "{name}");
        shop.ok(&["convert", "--force", "-O", "qcow2", name, "disk.qcow2"]);
        assert_eq!(shop.ok(&["compare", "disk.qcow2", "disk.raw"]).code, 0);
        let kept = shop.ok(&["convert", "-f", "raw", "--no-unwrap", name, "-"]);
        assert!(kept.stdout == packed.stdout, "{name}");
        let allowed = shop.ok(&["convert", "--allow-raw", "--no-unwrap", name, "-"]);
        assert!(allowed.stdout == packed.stdout, "{name}");
        for command in ["info", "probe"] {
            shop.run(&[command, "--no-unwrap", name]).fails_with(1, &["not to be unwrapped", "raw"]);
        }
        shop.write(name, &packed.stdout[..packed.stdout.len() / 2]);
        shop.run(&["convert", name, "half.raw"]).fails_with(1, &[name]);
        assert!(!shop.exists("half.raw"));
    }
}

#[test]
fn only_raw_goes_to_standard_output() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.run(&["convert", "-O", "qcow2", "disk.raw", "-"]).fails_with(1, &["stream", "hint: "]);
    assert_eq!(shop.names(), ["disk.raw"]);
}

#[test]
fn a_source_that_stops_early_leaves_no_target() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    shop.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = shop.read("disk.qcow2");
    let told = shop.run_fed(&["convert", "-", "target"], &image[..image.len() / 2]);
    told.fails_with(1, &["qcow2"]);
    assert!(!shop.exists("target"));
}

#[cfg(unix)]
#[test]
fn a_named_pipe_takes_the_bytes_and_stays_a_pipe() {
    use std::os::unix::fs::FileTypeExt;
    let shop = Workshop::new();
    let disk = mixed_disk(1 << 20);
    shop.write("disk.raw", &disk);
    assert!(Command::new("mkfifo").arg(shop.path("pipe")).status().unwrap().success());
    let child = shop.command(&["convert", "--force", "disk.raw", "pipe"]).spawn().unwrap();
    let mut got = Vec::new();
    std::fs::File::open(shop.path("pipe")).unwrap().read_to_end(&mut got).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert!(got == disk);
    assert!(shop.path("pipe").symlink_metadata().unwrap().file_type().is_fifo());
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_never_replaced() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    let _listening = std::os::unix::net::UnixListener::bind(shop.path("socket")).unwrap();
    std::fs::create_dir(shop.path("directory")).unwrap();
    for target in ["socket", "directory"] {
        shop.run(&["convert", "--force", "disk.raw", target]).fails_with(1, &[target]);
    }
    assert_eq!(shop.names(), ["directory", "disk.raw", "socket"]);
    // A link to the device, in a directory of our own: nothing in /dev is at stake.
    std::os::unix::fs::symlink("/dev/null", shop.path("null")).unwrap();
    shop.ok(&["convert", "--force", "disk.raw", "null"]);
    assert_eq!(std::fs::read_link(shop.path("null")).unwrap().to_str(), Some("/dev/null"));
}

#[test]
fn a_stream_optimised_vmdk_goes_to_standard_output() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(3 << 20));
    let to_vmdk = ["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw"];
    shop.ok(&[&to_vmdk[..], &["disk.vmdk"]].concat());
    let streamed = shop.ok(&[&to_vmdk[..], &["-"]].concat()).stdout;
    shop.write("streamed.vmdk", &streamed);
    shop.ok(&["compare", "disk.raw", "streamed.vmdk"]);
    assert_eq!(streamed.len(), shop.read("disk.vmdk").len());
    for other in ["monolithicSparse", "monolithicFlat"] {
        let option = format!("subformat={other}");
        shop.run(&["convert", "-O", "vmdk", "-o", &option, "disk.raw", "-"]).fails_with(1, &[]);
    }
    shop.run(&["convert", "-O", "vmdk", "disk.raw", "-"]).fails_with(1, &["stream", "hint: "]);
}
