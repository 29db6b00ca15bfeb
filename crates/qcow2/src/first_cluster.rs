//! The contents of the first cluster: header, header extensions and file names.

use diskimg_core::{Budget, Error, ErrorKind, Reference, ReferenceRole, Result};

use crate::errors::{FORMAT, corrupt};
use crate::extensions::{DATA_FILE, Extensions, twice};
use crate::features;
use crate::file_window::FileWindow;
use crate::header::{Encryption, Header};

/// The header, its extensions and the files that they name.
pub(crate) struct FirstCluster {
    pub(crate) header: Header,
    pub(crate) extensions: Extensions,
    pub(crate) backing: Option<Reference>,
    pub(crate) data_file: Option<Reference>,
}

impl FirstCluster {
    /// Reads the header, its extensions and the file names. Extensions and names are charged to `budget`.
    ///
    /// # Errors
    /// As [`Header::parse`] and [`Extensions::parse`].
    pub(crate) fn read(window: &mut FileWindow<'_>, budget: &Budget) -> Result<Self> {
        let header = Header::parse(window.beginning())?;
        // The file may end inside the first cluster.
        let end = header.extensions_end.min(window.file_size());
        let extensions = Extensions::parse(header.length.into()..end, budget, &mut |at, len| {
            Ok(window.read("header extension", at, len)?.to_vec())
        })?;
        if extensions.crypto_header.is_some() && header.encryption != Some(Encryption::Luks) {
            return Err(corrupt("header extension")
                .expected("an encryption header pointer only in an image encrypted with LUKS"));
        }
        if let Some(at) = extensions.second_data_file.filter(|_| header.has(features::DATA_FILE)) {
            return Err(twice(DATA_FILE, at));
        }
        let backing = match header.backing_name {
            None => None,
            Some((offset, len)) => {
                budget.take(len.into())?;
                let name = window.read("backing file name", offset, len.into())?.to_vec();
                let format = extensions.backing_format.as_deref().filter(|format| !format.is_empty());
                let format = format.map(|format| String::from_utf8_lossy(format).into_owned());
                Some(reference(ReferenceRole::Backing, name, format, Some(offset)))
            }
        };
        let data_file = header.has(features::DATA_FILE).then(|| {
            let (name, offset) =
                extensions.data_file.clone().map_or((Vec::new(), None), |(name, at)| (name, Some(at)));
            reference(ReferenceRole::DataFile, name, None, offset)
        });
        Ok(Self { header, extensions, backing, data_file })
    }

    /// Checks that this crate can read the guest's bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for unknown incompatible features; [`ErrorKind::Encrypted`] for encryption.
    pub(crate) fn check_readable(&self) -> Result<()> {
        features::check_known(self.header.incompatible, &self.extensions.feature_names)?;
        self.encrypted().map_or(Ok(()), Err)
    }

    /// The error for an encrypted image.
    pub(crate) fn encrypted(&self) -> Option<Error> {
        let method = self.header.encryption?;
        let because = format!("the image is encrypted with {}", method.name());
        Some(corrupt("crypt_method").with_kind(ErrorKind::Encrypted).at(32).because(because))
    }
}

fn reference(role: ReferenceRole, name: Vec<u8>, format: Option<String>, offset: Option<u64>) -> Reference {
    let mut reference = Reference::new(role, name, FORMAT);
    (reference.format, reference.offset) = (format, offset);
    reference
}
