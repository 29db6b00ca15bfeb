//! Every image of `tests/images/bad` is refused as its table says: quickly, in bounded memory, and without opening a
//! file that it names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diskimg::core::DenyReferences;
use diskimg::{
    BlockSource, Error, Format, Limits, Memory, MemorySink, Opener, Reference, Resolver, Result, Setting,
    Spool, Target, WithinDirectory,
};

/// The longest time for an image, on any machine and in any profile.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest disk, and the most decompressed bytes of a file.
const LARGEST: u64 = 32 << 20;

struct Bad {
    file: String,
    how: String,
    kind: String,
    words: Vec<String>,
}

fn bad() -> Vec<Bad> {
    common::table(&common::images("bad").join("EXPECTED.tsv"))
        .into_iter()
        .map(|row| Bad {
            file: row[0].clone(),
            how: row[1].clone(),
            kind: row[2].clone(),
            words: row[3].split('|').map(str::to_owned).collect(),
        })
        .collect()
}

/// Records the names that are resolved, and passes them on to `inner`.
struct Recorder {
    inner: Arc<dyn Resolver>,
    asked: Mutex<Vec<Vec<u8>>>,
}

impl Recorder {
    fn new(inner: Arc<dyn Resolver>) -> Arc<Self> {
        Arc::new(Self { inner, asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<Vec<u8>> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolver for Recorder {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        self.asked.lock().unwrap().push(reference.name.clone());
        self.inner.resolve(reference)
    }
}

fn opener(how: &str, path: &Path) -> (Opener, Arc<Recorder>) {
    let mut opener = common::opener_for(how, path);
    let recorder = Recorder::new(Arc::clone(&opener.resolver));
    opener.resolver = Arc::clone(&recorder) as Arc<dyn Resolver>;
    opener.limits = Limits { virtual_size: LARGEST, ..Limits::default() };
    opener.spool = Spool::Temporary { directory: None, limit: LARGEST };
    (opener, recorder)
}

/// Opens an image and reads all of it. Returns the error.
fn refusal(opener: &Opener, path: &Path) -> Option<Error> {
    opener.open(path).and_then(|disk| common::read_all(&disk)).err()
}

fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = channel();
    let worker = std::thread::spawn(move || done.send(work()));
    match outcome.recv_timeout(PATIENCE) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => panic!("{what} takes longer than {PATIENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => {
            panic!("{what} panicked: {:?}", worker.join().map(|_| ()).unwrap_err().downcast_ref::<String>())
        }
    }
}

/// Fails with all errors, not only the first, because the table is long.
fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} of the images:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn bad_image_is_refused_for_its_reason_in_time() {
    let mut wrong = Vec::new();
    for Bad { file, how, kind, words } in bad() {
        let path = common::images("bad").join(&file);
        let (opener, _) = opener(&how, &path);
        let error = in_time(&file, move || refusal(&opener, &path));
        let Some(error) = error else {
            wrong.push(format!("{file}: opens and reads, expected {kind}"));
            continue;
        };
        let message = error.to_string();
        let missing: Vec<&String> = words.iter().filter(|word| !message.contains(*word)).collect();
        if error.kind().name() != kind || !missing.is_empty() {
            wrong.push(format!("{file}: {}: {message}, expected {kind} with {missing:?}", error.kind()));
        }
        if message.contains('\n') || message.chars().any(char::is_control) {
            wrong.push(format!("{file}: the message holds control characters: {message:?}"));
        }
        if message.len() > 1000 {
            wrong.push(format!("{file}: the message has {} bytes", message.len()));
        }
    }
    report(&wrong);
}

/// A long name with line feeds, escape sequences and a change of text direction.
fn hostile_name() -> String {
    format!("x\nroot: ok\r\u{1b}[2J\u{202e}\u{7}{}", "y".repeat(900))
}

/// Images with [`hostile_name`] as backing file, parent and extent.
fn images_of_hostile_names() -> Vec<Vec<u8>> {
    let name = hostile_name();
    let file = MemorySink::new(1 << 20);
    let mut target = Target::sink(Box::new(file.clone()), Format::new("qcow2"));
    let setting = |name: &str, value: &str| Setting { name: name.into(), value: value.into() };
    target.settings = vec![setting("backing_file", &name), setting("backing_fmt", "raw")];
    target.create(Some(1 << 20)).unwrap().finish().unwrap();
    // A line feed would end the line of the descriptor.
    let name = name.replace(['\n', '\r'], "\u{1b}");
    let descriptor = |parent: &str, hint: &str| {
        format!(
            "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID={parent}\ncreateType=\"monolithicFlat\"\n{hint}\
             RW 8 FLAT \"{name}\" 0\n"
        )
        .into_bytes()
    };
    let hint = format!("parentFileNameHint=\"{name}\"\n");
    vec![file.bytes(), descriptor("ffffffff", ""), descriptor("00000002", &hint)]
}

#[test]
fn name_in_an_error_or_finding_is_escaped_and_truncated() {
    let scratch = tempfile::tempdir().unwrap();
    let harmless = |message: &str| {
        assert!(!message.chars().any(|c| c.is_control() || c == '\u{202e}'), "{message:?}");
        assert!(message.len() < 1000, "{} bytes: {message}", message.len());
    };
    for image in images_of_hostile_names() {
        let source: Arc<dyn BlockSource> = Arc::new(Memory::new(image.clone()));
        let mut follows = Opener::new();
        follows.resolver = Arc::new(WithinDirectory::new(scratch.path()).unwrap());
        for opener in [Opener::new(), follows] {
            let errors = [
                opener.open_source(Arc::clone(&source)).err().unwrap(),
                opener.stream(std::io::Cursor::new(image.clone())).unwrap().into_disk(&()).err().unwrap(),
            ];
            for error in errors {
                harmless(&error.to_string());
                assert!(error.to_string().contains(r"\u{1b}[2J\u{202e}"), "it names the file: {error}");
                harmless(&error.remedy().map(|remedy| remedy.to_string()).unwrap_or_default());
            }
        }
        let findings = Opener::new().inspect_source(&source).unwrap().info.findings;
        assert!(!findings.is_empty());
        findings.iter().for_each(|finding| harmless(&finding.message));
    }
}

#[test]
fn resolver_is_asked_only_for_files_that_the_image_needs() {
    let mut wrong = Vec::new();
    for Bad { file, how, kind, .. } in bad() {
        let path = common::images("bad").join(&file);
        let (opener, recorder) = opener(&how, &path);
        let (inspected, asked_of) = (opener.clone(), Arc::clone(&recorder));
        let inspect_path = path.clone();
        let asked = in_time(&file, move || {
            let _ = inspected.inspect(inspect_path);
            asked_of.asked()
        });
        if !asked.is_empty() {
            wrong.push(format!("{file}: inspecting requested {asked:?}"));
        }
        let _ = in_time(&file, move || refusal(&opener, &path));
        let asked = recorder.asked();
        if how != "files" && asked.len() > usize::from(kind == "denied") {
            wrong.push(format!("{file}: opening requested {asked:?}"));
        }
    }
    report(&wrong);
}

#[test]
fn bad_image_in_memory_is_refused_like_the_file() {
    let mut wrong = Vec::new();
    for Bad { file, how, kind, .. } in bad() {
        // References and compression need a file.
        if how == "files" || [".gz", ".xz", ".zst"].iter().any(|end| file.ends_with(end)) {
            continue;
        }
        let path = common::images("bad").join(&file);
        let (opener, _) = opener(&how, &path);
        let source = Arc::new(Memory::new(std::fs::read(&path).unwrap()));
        let error =
            in_time(&file, move || opener.open_source(source).and_then(|disk| common::read_all(&disk)).err());
        match error {
            Some(error) if error.kind().name() == kind => {}
            other => wrong.push(format!("{file}: {other:?}, expected {kind}")),
        }
    }
    report(&wrong);
}

#[test]
fn bad_compressed_stream_is_refused_like_the_file() {
    let mut wrong = Vec::new();
    for Bad { file, how, kind, .. } in bad() {
        if ![".gz", ".xz", ".zst"].iter().any(|end| file.ends_with(end)) {
            continue;
        }
        let path = common::images("bad").join(&file);
        let (opener, _) = opener(&how, &path);
        let error = in_time(&file, move || {
            let stream = std::fs::File::open(&path).unwrap();
            let disk = opener.stream(stream).and_then(|input| input.into_disk(&()));
            disk.and_then(|disk| common::read_all(&disk)).err()
        });
        match error {
            Some(error) if error.kind().name() == kind => {}
            other => wrong.push(format!("{file}: {other:?}, expected {kind}")),
        }
    }
    report(&wrong);
}

#[test]
fn table_lists_every_image_except_the_links_of_the_chain() {
    let named: Vec<String> = bad().into_iter().map(|bad| bad.file).collect();
    for entry in std::fs::read_dir(common::images("bad")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let link = file.starts_with("q42-deep-") || file == "EXPECTED.tsv";
        assert!(link || named.contains(&file), "{file} has no row in EXPECTED.tsv");
    }
}

#[test]
fn recording_resolver_records_names() {
    let recorder = Recorder::new(Arc::new(DenyReferences));
    let path = common::images("bad").join("q14-backing-absolute.qcow2");
    let mut opener = Opener::new();
    opener.resolver = Arc::clone(&recorder) as Arc<dyn Resolver>;
    assert!(opener.open(path).is_err());
    assert_eq!(recorder.asked(), [b"/etc/passwd"]);
}
