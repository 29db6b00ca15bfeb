//! Options as programs pass them to `qemu-img`: repeated, without values, and with its names.

use crate::tools::{ScratchDir, mixed_disk};

#[test]
fn last_of_a_repeated_option_applies() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-f", "qcow2", "-f", "raw", "-O", "vdi", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    assert_eq!(dir.ok(&["info", "--json", "disk.qcow2"]).json()["format"], "qcow2");
    let caches = ["-t", "writeback", "-T", "none", "-t", "none", "-T", "writeback", "-S", "0", "-S", "4k"];
    let args =
        [&["convert", "-m", "1", "-m", "2", "-p", "-p", "-q"], &caches[..], &["disk.qcow2", "out.raw"]];
    dir.ok(&args.concat());
    assert!(dir.read("out.raw") == disk);
    let cluster = ["-o", "cluster_size=512,compat=0.10", "-o", "cluster_size=4k", "-o", "cluster_size=8k"];
    dir.ok(&[&["create", "-f", "raw", "-f", "qcow2"], &cluster[..], &["new.qcow2", "1M"]].concat());
    let info = dir.ok(&["info", "--json", "new.qcow2"]).json();
    assert_eq!(
        (&info["cluster-size"], &info["format-specific"]["data"]["compat"]),
        (&8192.into(), &"0.10".into())
    );
    let preallocation = ["-o", "preallocation=full", "-o", "preallocation=off"];
    dir.ok(&[&["create"], &preallocation[..], &["new.raw", "1M"]].concat());
}

#[test]
fn repeated_option_is_no_second_file() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    assert_eq!(dir.run(&["convert", "disk.raw", "a.raw", "b.raw"]).code, 1);
    assert_eq!(dir.names(), ["disk.raw"]);
}

#[test]
fn option_without_a_value_is_switched_on() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["create", "-f", "qcow2", "-o", "compat=1.1,lazy_refcounts", "lazy.qcow2", "1M"]);
    let info = dir.ok(&["info", "--json", "lazy.qcow2"]).json();
    assert_eq!(info["format-specific"]["data"]["lazy-refcounts"], true);
    let options = "adapter_type=lsilogic,subformat=streamOptimized,compat6";
    dir.ok(&["convert", "-O", "vmdk", "disk.raw", "-o", options, "disk.vmdk"]);
    let descriptor = String::from_utf8_lossy(&dir.read("disk.vmdk")[512..2048]).into_owned();
    assert!(descriptor.contains("ddb.virtualHWVersion = \"6\""), "{descriptor}");
    for (format, option) in
        [("qcow2", "cluster_size"), ("qcow2", "compat"), ("raw", "preallocation"), ("vdi", "uuid")]
    {
        dir.run(&["create", "-f", format, "-o", option, "bad", "1M"]).fails_with(1, &[option, "on"]);
    }
    assert!(!dir.exists("bad"));
}

#[test]
fn size_may_be_an_option_of_create() {
    let dir = ScratchDir::new();
    for format in ["raw", "qcow2", "vmdk", "vdi"] {
        dir.ok(&["create", "-f", format, "-o", "size=3M", format]);
        assert_eq!(
            dir.ok(&["info", "-f", format, "--json", format]).json()["virtual-size"],
            3 << 20,
            "{format}"
        );
    }
    dir.run(&["create", "-o", "size=3M", "new", "3M"])
        .fails_with(1, &["The image size must be specified only once"]);
    dir.run(&["create", "-o", "size", "new"]).fails_with(1, &["size"]);
    dir.run(&["create", "-o", "size=3X", "new"]).fails_with(1, &["size", "3X"]);
    assert!(!dir.exists("new"));
}

#[test]
fn file_protocol_names_the_file_after_the_colon() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-O", "qcow2", "file:disk.raw", "file:disk.qcow2"]);
    let absolute = format!("file://{}", dir.path("disk.qcow2").display());
    dir.ok(&["convert", &absolute, "file:./out.raw"]);
    assert!(dir.read("out.raw") == disk);
    assert_eq!(dir.ok(&["info", "--json", "file:disk.qcow2"]).json()["filename"], "disk.qcow2");
    assert_eq!(dir.ok(&["compare", "file:disk.raw", "file:disk.qcow2"]).code, 0);
    dir.ok(&["create", "file:new.raw", "1M"]);
    dir.ok(&["create", "file:-", "1M"]);
    assert_eq!(dir.names(), ["-", "disk.qcow2", "disk.raw", "new.raw", "out.raw"]);
}

#[test]
fn target_with_the_name_of_a_protocol_is_refused() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for name in
        ["nbd:localhost:10809", "nbd+unix:///disk?socket=x", "json:{}", "rbd:pool/disk", "zeroinit:new.raw"]
    {
        dir.run(&["convert", "disk.raw", name]).fails_with(1, &[name, "protocol", "./"]);
        dir.run(&["create", name, "1M"]).fails_with(1, &["protocol"]);
    }
    assert_eq!(dir.names(), ["disk.raw"]);
    dir.ok(&["convert", "disk.raw", "./nbd:localhost:10809"]);
    dir.ok(&["convert", "disk.raw", "backup-12:30.raw"]);
}

#[test]
fn descriptor_for_progress_requires_json() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for more in [&["-p"][..], &["--progress=plain"], &[]] {
        dir.run(&[&["convert", "--progress-fd", "1"], more, &["disk.raw", "out.raw"]].concat())
            .fails_with(1, &["--progress-fd", "--progress=json"]);
    }
    assert_eq!(dir.names(), ["disk.raw"]);
}

#[test]
fn number_of_threads_is_bounded() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for threads in ["0", "1025", "-1", "x"] {
        assert_eq!(dir.run(&["convert", "-m", threads, "disk.raw", "out.raw"]).code, 1, "{threads}");
    }
    assert_eq!(dir.names(), ["disk.raw"]);
    for threads in ["1", "16", "1024"] {
        dir.ok(&["convert", "--force", "-m", threads, "disk.raw", "out.raw"]);
    }
}

#[test]
fn rate_limits_the_bytes_that_are_written() {
    let dir = ScratchDir::new();
    let mut disk = mixed_disk(4 << 20);
    disk.resize(64 << 20, 0);
    dir.write("disk.raw", &disk);
    dir.ok(&["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let image = dir.read("disk.qcow2");
    // 2 MiB of data.
    for (source, format, threads) in
        [("disk.raw", "raw", "1"), ("disk.qcow2", "raw", "4"), ("disk.raw", "qcow2", "2"), ("-", "raw", "1")]
    {
        let target = format!("out.{format}");
        let time = |rate: &str| {
            let args = ["convert", "--force", "-r", rate, "-m", threads, "-O", format, source, &target];
            let start = std::time::Instant::now();
            let run = dir.run_fed(&args, &image);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
            start.elapsed().as_secs_f64()
        };
        let limited = time("1M");
        assert!((1.5..30.0).contains(&limited), "{source} {format}: {limited}");
        assert_eq!(dir.ok(&["compare", "-F", format, "disk.raw", &target]).code, 0, "{source} {format}");
        assert!(time("0") < limited, "{source} {format}: 0 is no limit");
    }
    for invalid in ["x", "-5", ""] {
        assert_eq!(
            dir.run(&["convert", "--force", "-r", invalid, "disk.raw", "out.raw"]).code,
            1,
            "{invalid}"
        );
    }
}

#[test]
fn wait_for_the_rate_ends_with_a_signal() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let mut child = dir.command(&["convert", "-r", "1", "disk.raw", "out.raw"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "a byte a second takes long");
    let signalled =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(dir.names(), ["disk.raw"]);
}

#[test]
fn format_of_no_image_is_refused() {
    let dir = ScratchDir::new();
    for option in [["-f", "raw"], ["-l", "x"]] {
        let run = dir.run(&[&["measure", "--size", "1M"][..], &option].concat());
        assert_eq!((run.code, run.stdout.len()), (1, 0), "{option:?}");
    }
}

#[test]
fn version_under_the_name_of_qemu_img_begins_as_programs_expect() {
    let dir = ScratchDir::new();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_diskimg"), dir.path("qemu-img")).unwrap();
    for option in ["--version", "-V"] {
        let output = std::process::Command::new(dir.path("qemu-img")).arg(option).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("qemu-img version 10.0.2 (diskimg "), "{text}");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn preallocation_off_is_accepted_for_every_format_as_by_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for format in ["raw", "qcow2", "vdi", "vmdk"] {
        let options = ["-o", "preallocation=off"];
        assert_eq!(
            dir.img_may_fail(&[&["create", "-q", "-f", format][..], &options, &["x", "1M"]].concat()).0,
            0
        );
        dir.ok(&[&["create", "-f", format][..], &options, &["new", "1M"]].concat());
        dir.ok(&[&["convert", "--force", "-O", format][..], &options, &["disk.raw", "new"]].concat());
        dir.ok(&[&["measure", "-O", format][..], &options, &["disk.raw"]].concat());
        std::fs::remove_file(dir.path("new")).unwrap();
    }
    for format in ["raw", "vdi", "vmdk"] {
        let run = dir.run(&["create", "-f", format, "-o", "preallocation=metadata", "none", "1M"]);
        run.fails_with(1, &["Unsupported preallocation mode"]);
    }
    for format in ["vdi", "vmdk"] {
        for mode in ["falloc", "full"] {
            let option = format!("preallocation={mode}");
            dir.run(&["convert", "-O", format, "-o", &option, "disk.raw", "none"])
                .fails_with(1, &["Unsupported preallocation mode"]);
        }
    }
    assert!(!dir.exists("none"));
}

#[test]
fn size_of_a_converted_image_is_that_of_the_disk_as_with_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(1 << 20));
    for format in ["raw", "qcow2", "vdi", "vmdk"] {
        for size in ["512k", "1M", "2M"] {
            let option = format!("size={size}");
            dir.img(&["convert", "-f", "raw", "-O", format, "-o", &option, "disk.raw", "theirs"]);
            let run = dir.run(&["convert", "--force", "-O", format, "-o", &option, "disk.raw", "ours"]);
            assert_eq!(run.code, 0, "{run:?}");
            assert!(run.stderr.starts_with("diskimg: note: -o size="), "{run:?}");
            let of =
                |file: &str| dir.ok(&["info", "-f", format, "--json", file]).json()["virtual-size"].clone();
            assert_eq!((of("theirs"), of("ours")), ((1 << 20).into(), (1 << 20).into()), "{format} {size}");
        }
        dir.run(&["convert", "-O", format, "-o", "size=x", "disk.raw", "none"]).fails_with(1, &["size"]);
    }
    dir.ok(&["create", "-f", "qcow2", "there", "1M"]);
    dir.run(&["convert", "-n", "-O", "qcow2", "-o", "size=1M", "disk.raw", "there"])
        .fails_with(1, &["-o has no effect"]);
}
