//! Images from strangers: one error, exit 1, no target, and nothing outside the image is read.

use serde_json::Value;

use crate::tools::{Ran, Workshop, mixed_disk};

/// Each way of converting or reading an image whole refuses it.
#[track_caller]
fn refused(shop: &Workshop, image: &str, words: &[&str]) {
    let before = shop.names();
    for follow in [&[][..], &["--follow"]] {
        for format in ["raw", "qcow2"] {
            let args = [&["convert", "-O", format], follow, &[image, "target"]].concat();
            shop.run(&args).fails_with(1, words);
        }
        shop.run(&[&["convert"], follow, &[image, "-"]].concat()).fails_with(1, words);
        shop.run(&[&["map"], follow, &[image]].concat()).fails_with(1, words);
        shop.run(&[&["compare"], follow, &[image, image]].concat()).fails_with(2, words);
    }
    assert_eq!(shop.names(), before);
}

/// A qcow2 image that names a backing file.
fn backed_by(shop: &Workshop, name: &str, image: &str) {
    shop.write("disk.raw", &mixed_disk(1 << 20));
    let option = format!("backing_file={name},backing_fmt=raw");
    shop.ok(&["convert", "--force", "-O", "qcow2", "-o", &option, "disk.raw", image]);
}

#[test]
fn a_host_file_as_backing_file_is_refused() {
    let shop = Workshop::new();
    for name in ["/etc/passwd", "../../etc/passwd", "json:{\"driver\":\"file\"}", "nbd://localhost"] {
        backed_by(&shop, &name.replace(',', ",,"), "image.qcow2");
        refused(&shop, "image.qcow2", &["image.qcow2", "backing file"]);
    }
    // What only describes does not open it, and says so.
    backed_by(&shop, "/etc/passwd", "image.qcow2");
    let told = shop.ok(&["info", "image.qcow2"]);
    assert!(told.text().contains("backing file: /etc/passwd\n"), "{told:?}");
    assert!(!told.text().contains("root:"), "{told:?}");
    let args = ["info", "--backing-chain", "image.qcow2"];
    shop.run(&args).fails_with(1, &["/etc/passwd", "(--follow)"]);
    shop.run(&[&args[..], &["--follow"]].concat()).fails_with(1, &["/etc/passwd"]);
}

#[test]
fn a_host_file_as_data_file_is_refused() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.img(&["create", "-q", "-f", "qcow2", "-o", "data_file=_etc_passwd", "image.qcow2", "1M"]);
    let mut image = shop.read("image.qcow2");
    let at = image.windows(11).position(|window| window == b"_etc_passwd").unwrap();
    image[at..at + 11].copy_from_slice(b"/etc/passwd");
    shop.write("image.qcow2", &image);
    refused(&shop, "image.qcow2", &["image.qcow2", "data file", "/etc/passwd"]);
    assert_eq!(shop.run(&["inspect", "image.qcow2"]).code, 2);
}

#[test]
fn an_image_that_is_its_own_backing_file_is_refused() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(1 << 20));
    let option = "backing_file=loop.qcow2,backing_fmt=qcow2";
    shop.ok(&["convert", "-O", "qcow2", "-o", option, "disk.raw", "loop.qcow2"]);
    refused(&shop, "loop.qcow2", &["loop.qcow2"]);
    shop.run(&["info", "--backing-chain", "--follow", "loop.qcow2"]).fails_with(1, &["chain"]);
}

#[test]
fn raw_is_never_guessed() {
    let shop = Workshop::new();
    shop.write("letter.txt", b"Dear Sir or Madam,");
    for command in ["info", "inspect", "map"] {
        shop.run(&[command, "letter.txt"]).fails_with(1, &["letter.txt", "-f raw", "--allow-raw"]);
    }
    shop.run(&["convert", "letter.txt", "out.raw"]).fails_with(1, &["letter.txt", "--allow-raw"]);
    assert!(!shop.exists("out.raw"));
    shop.ok(&["convert", "--allow-raw", "letter.txt", "out.raw"]);
    assert_eq!(shop.read("out.raw"), b"Dear Sir or Madam,");
}

#[test]
fn errors_for_programs_are_json() {
    let shop = Workshop::new();
    let error = |told: Ran, code: i32| -> Value {
        assert_eq!((told.code, told.stdout.len()), (code, 0), "{told:?}");
        assert_eq!(told.stderr.lines().count(), 1, "{told:?}");
        serde_json::from_str::<Value>(&told.stderr).unwrap()["error"].clone()
    };
    let absent = error(shop.run(&["info", "--output=json", "absent"]), 1);
    assert_eq!((&absent["status"], &absent["errno"]), (&"io".into(), &2.into()));
    assert!(absent["message"].as_str().unwrap().contains("absent"));
    shop.write("letter.txt", b"Dear Sir or Madam,");
    let unknown = error(shop.run(&["--json", "probe", "letter.txt"]), 2);
    assert_eq!((&unknown["status"], &unknown["errno"]), (&"unknown-format".into(), &Value::Null));
    backed_by(&shop, "/etc/passwd", "image.qcow2");
    let denied = error(shop.run(&["convert", "--json", "image.qcow2", "out.raw"]), 1);
    assert_eq!(denied["status"], "denied");
    assert!(denied["offset"].as_u64().unwrap() > 0);
    shop.write("cut.qcow2", &shop.read("image.qcow2")[..50]);
    let cut = error(shop.run(&["inspect", "--json", "cut.qcow2"]), 1);
    assert_eq!(cut["status"], "truncated");
}
