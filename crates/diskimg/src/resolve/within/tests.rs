use super::*;
use diskimg_core::{ErrorKind, Format, Identity, ReferenceRole};
use rustix::fs::{CWD, Mode};
use std::os::unix::fs::symlink;

fn reference(name: &[u8]) -> Reference {
    let mut reference = Reference::new(ReferenceRole::Backing, name, Format::new("qcow2"));
    reference.format = Some("raw".into());
    reference
}

#[test]
fn only_regular_files_below_the_directory_are_followed() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("images");
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    std::fs::write(dir.join("base.raw"), b"base").unwrap();
    std::fs::write(dir.join("sub/base.raw"), b"sub").unwrap();
    std::fs::write(outer.path().join("secret"), b"secret").unwrap();
    symlink("../secret", dir.join("out")).unwrap();
    symlink("base.raw", dir.join("in")).unwrap();
    symlink("/proc/self/fd/0", dir.join("magic")).unwrap();
    rustix::fs::mkfifoat(CWD, dir.join("fifo"), Mode::from_raw_mode(0o600)).unwrap();

    let resolver = WithinDirectory::new(&dir).unwrap();
    for good in [&b"base.raw"[..], b"sub/base.raw", b"./sub/../base.raw", b"in"] {
        assert!(resolver.resolve(&reference(good)).is_ok(), "{}", String::from_utf8_lossy(good));
    }
    let secret = outer.path().join("secret");
    for bad in [
        &b"../secret"[..],
        b"sub/../../secret",
        b"out",
        b"magic",
        b"fifo",
        b"sub",
        b"/etc/passwd",
        b"json:{\"driver\":\"file\"}",
        b"nbd://localhost",
        secret.to_str().unwrap().as_bytes(),
    ] {
        let error = resolver.resolve(&reference(bad)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied, "{}: {error}", String::from_utf8_lossy(bad));
    }
    for absent in [&b"absent"[..], b"a\0b"] {
        assert_eq!(resolver.resolve(&reference(absent)).err().unwrap().kind(), ErrorKind::Io);
    }
}

#[test]
fn names_that_lead_back_into_the_directory_are_followed() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("images");
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    std::fs::create_dir_all(outer.path().join("other")).unwrap();
    std::fs::write(dir.join("base.raw"), b"base").unwrap();
    std::fs::write(dir.join("sub/base.raw"), b"base").unwrap();
    std::fs::write(outer.path().join("other/base.raw"), b"other").unwrap();
    symlink(&dir, outer.path().join("link")).unwrap();
    symlink(dir.join("base.raw"), dir.join("absolute")).unwrap();
    symlink(dir.join("sub"), dir.join("absolute-sub")).unwrap();
    symlink(outer.path().join("other/base.raw"), dir.join("out")).unwrap();

    let opened = WithinDirectory::opened(File::open(&dir).unwrap()).unwrap();
    let linked = WithinDirectory::new(&outer.path().join("link")).unwrap();
    for resolver in [WithinDirectory::new(&dir).unwrap(), opened, linked] {
        let text = |path: std::path::PathBuf| path.to_str().unwrap().as_bytes().to_vec();
        let prefixed = [b"file:", text(dir.join("base.raw")).as_slice()].concat();
        for good in [
            text(dir.join("base.raw")),
            text(dir.join("sub/base.raw")),
            text(dir.join("./sub/../base.raw")),
            text(outer.path().join("images/../images/base.raw")),
            text(outer.path().join("other/../images/sub/base.raw")),
            text(outer.path().join("link/base.raw")),
            prefixed,
            b"../images/base.raw".to_vec(),
            b"sub/../../link/sub/base.raw".to_vec(),
            b"absolute".to_vec(),
            b"absolute-sub/base.raw".to_vec(),
        ] {
            let shown = String::from_utf8_lossy(&good).into_owned();
            let found =
                resolver.resolve(&reference(&good)).unwrap_or_else(|error| panic!("{shown}: {error}"));
            let mut bytes = [0; 4];
            found.read_at(0, &mut bytes).unwrap();
            assert_eq!((&bytes, found.size()), (b"base", 4), "{shown}");
        }
        for bad in [
            text(outer.path().join("other/base.raw")),
            text(outer.path().join("images/../other/base.raw")),
            text(outer.path().join("base.raw")),
            b"../other/base.raw".to_vec(),
            b"out".to_vec(),
        ] {
            let error = resolver.resolve(&reference(&bad)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            let role = ReferenceRole::Backing;
            assert_eq!(error.remedy(), Some(Remedy::LocateFile { role }), "{error}");
        }
        // Without following, only the text of a name is considered.
        assert!(resolver.contains(&reference(&text(dir.join("sub/../base.raw")))).unwrap());
        assert!(resolver.contains(&reference(b"base.raw")).unwrap());
        assert!(!resolver.contains(&reference(b"out")).unwrap());
        assert!(!resolver.contains(&reference(b"../other/base.raw")).unwrap());
        assert!(!resolver.contains(&reference(&text(outer.path().join("other/base.raw")))).unwrap());
        // A file that is missing in the directory is not one outside.
        let error = resolver.resolve(&reference(&text(dir.join("absent")))).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    }
}

#[test]
fn last_component_is_followed_for_a_recorded_identity_or_a_named_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("base.raw"), b"base").unwrap();
    let own = WithinDirectory::new(dir.path()).unwrap();
    let named = WithinDirectory::new(dir.path()).unwrap().by_last_component();
    for name in [&b"/elsewhere/base.raw"[..], b"../base.raw", br"C:\vms\base.raw", br"..\x\base.raw"] {
        let plain = reference(name);
        let identity = Identity { content_id: Some(7), ..Identity::default() };
        let mut identified = plain.clone();
        identified.identity = identity;
        let mut extent = identified.clone();
        extent.role = ReferenceRole::Extent;
        for refused in [&plain, &extent] {
            assert_eq!(own.resolve(refused).err().unwrap().kind(), ErrorKind::Denied);
            assert!(named.resolve(refused).is_ok());
        }
        assert!(own.resolve(&identified).is_ok());
    }
}

#[test]
fn directory_that_cannot_be_listed_has_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("base.raw"), b"base").unwrap();
    let mode = |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    // Root may list it nevertheless; the names must resolve either way.
    mode(0o311);
    let found = WithinDirectory::new(dir.path()).and_then(|own| own.resolve(&reference(b"base.raw")));
    mode(0o700);
    assert_eq!(found.unwrap().size(), 4);
}
