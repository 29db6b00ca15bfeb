//! The manifest of an OVF package: digests of its files.
//!
//! Source: DSP0243 2.1 section 9.1: lines `SHA256(name)= hexadecimal digest`. OpenSSL, with which people make manifests,
//! writes blanks and, since version 3, `SHA2-256`.

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use diskimg_core::{Error, ErrorKind, Result, chunks};

use super::names::{MemberId, MemberIds, beside};
use super::recognise::OVA;
use super::tar_header::shown;

/// A hash algorithm of a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HashAlgorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl HashAlgorithm {
    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" => Self::Sha1,
            "SHA256" | "SHA-256" | "SHA2-256" => Self::Sha256,
            "SHA512" | "SHA-512" | "SHA2-512" => Self::Sha512,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// The length of a digest in bytes.
    fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A digest of a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ManifestDigest {
    /// The name of the file.
    name: String,
    /// The member beside the manifest with this name, and the one that has it in the archive.
    pub(super) ids: [MemberId; 2],
    algorithm: HashAlgorithm,
    bytes: Vec<u8>,
}

impl ManifestDigest {
    /// The name of the algorithm.
    pub(super) fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// Parses a line of the member `manifest`. `None` for a line that is not understood.
    fn parse(line: &str, manifest: &str, ids: &MemberIds) -> Option<Self> {
        let (algorithm, rest) = line.split_once('(')?;
        let (name, value) = rest.rsplit_once(')')?;
        let algorithm = HashAlgorithm::parse(algorithm.trim())?;
        let digits = value.trim_start().strip_prefix('=')?.trim();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let digest: Vec<u8> = chunks(digits.as_bytes()).map(byte).collect::<Option<_>>()?;
        let is_whole = digits.len() % 2 == 0 && digest.len() == algorithm.len();
        let name = name.trim();
        let ids = [ids.of(&beside(manifest, name)), ids.of(name)];
        is_whole.then(|| Self { name: name.to_owned(), ids, algorithm, bytes: digest })
    }
}

/// The manifest of an archive.
#[derive(Default)]
pub(super) struct Manifest {
    pub(super) digests: Vec<ManifestDigest>,
    /// The number of the first line that is not understood.
    pub(super) bad_line: Option<usize>,
}

impl Manifest {
    /// Adds the lines of the member `manifest`. The names in them are relative to its directory (DSP0243 2.1 section 9.1).
    pub(super) fn add(&mut self, text: &[u8], manifest: &str, ids: &MemberIds) {
        let text = String::from_utf8_lossy(text);
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match ManifestDigest::parse(line.trim_start_matches('\u{feff}'), manifest, ids) {
                Some(digest) => self.digests.push(digest),
                None => {
                    self.bad_line.get_or_insert(index.saturating_add(1));
                }
            }
        }
    }
}

/// Hashes the bytes of a member.
#[derive(Clone, Default)]
pub(crate) struct MemberHasher {
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
}

impl MemberHasher {
    /// A hasher for any manifest.
    pub(super) fn for_any() -> Self {
        Self { sha1: Some(Sha1::new()), sha256: Some(Sha256::new()), sha512: Some(Sha512::new()) }
    }

    /// A hasher for these digests.
    pub(crate) fn of(digests: &[ManifestDigest]) -> Self {
        let uses = |algorithm| digests.iter().any(|digest| digest.algorithm == algorithm);
        Self {
            sha1: uses(HashAlgorithm::Sha1).then(Sha1::new),
            sha256: uses(HashAlgorithm::Sha256).then(Sha256::new),
            sha512: uses(HashAlgorithm::Sha512).then(Sha512::new),
        }
    }

    /// Adds the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha1.iter_mut().for_each(|hash| hash.update(bytes));
        self.sha256.iter_mut().for_each(|hash| hash.update(bytes));
        self.sha512.iter_mut().for_each(|hash| hash.update(bytes));
    }

    /// Compares the bytes so far with digests.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for a digest that differs.
    pub(crate) fn check(&self, digests: &[ManifestDigest]) -> Result<()> {
        for digest in digests {
            let found = match digest.algorithm {
                HashAlgorithm::Sha1 => self.sha1.clone().map(|hash| hash.finalize().to_vec()),
                HashAlgorithm::Sha256 => self.sha256.clone().map(|hash| hash.finalize().to_vec()),
                HashAlgorithm::Sha512 => self.sha512.clone().map(|hash| hash.finalize().to_vec()),
            };
            if found.as_deref().is_some_and(|found| found != digest.bytes) {
                return Err(Error::new(ErrorKind::Corrupt)
                    .format(OVA)
                    .field(format!("{} of '{}'", digest.algorithm(), shown(&digest.name)))
                    .found(hex(&found.unwrap_or_default()))
                    .expected(format_args!("{}, as in the manifest", hex(&digest.bytes))));
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
