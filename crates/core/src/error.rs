//! Errors: a kind for programs, place and values for people.

use std::fmt;
use std::io::{self, ErrorKind as IoKind};
use std::sync::Arc;

use self::causes::io_errors;
use crate::{ErrorKind, Fault, Format, LimitKind, Printable, Remedy};

/// The result of every fallible function of this workspace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error, one pointer wide.
///
/// It is built from the facts that are known, in any order, and printed as one line without a full stop:
///
/// ```
/// use diskimg_core::{Error, ErrorKind, Format};
/// let error = Error::new(ErrorKind::Corrupt)
///     .format(Format::new("qcow2"))
///     .field("l1_table_offset")
///     .at(40)
///     .found_hex(0x1234_u64)
///     .expected("a multiple of the cluster size 0x10000");
/// assert_eq!(
///     error.to_string(),
///     "qcow2: l1_table_offset at byte 40 is 0x1234, expected a multiple of the cluster size 0x10000"
/// );
/// assert_eq!(error.kind(), ErrorKind::Corrupt);
/// assert_eq!(error.offset(), Some(40));
/// ```
///
/// `{:?}` prints the same line, so that it is readable where `main` returns the error; `{:#?}` prints all fields.
#[derive(Clone, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<ErrorFields>);

#[derive(Clone, Debug)]
struct ErrorFields {
    kind: ErrorKind,
    layer: Option<String>,
    format: Option<Format>,
    named_format: Option<Format>,
    fault: Option<Fault>,
    field: Option<String>,
    names_file: bool,
    offset: Option<u64>,
    guest_offset: Option<u64>,
    found: Option<String>,
    expected: Option<String>,
    because: Option<String>,
    remedy: Option<Remedy>,
    limit: Option<LimitKind>,
    os_error: Option<i32>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error of this kind without further facts.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(ErrorFields {
            kind,
            layer: None,
            format: None,
            named_format: None,
            fault: None,
            field: None,
            names_file: false,
            offset: None,
            guest_offset: None,
            found: None,
            expected: None,
            because: None,
            remedy: None,
            limit: None,
            os_error: None,
            source: None,
        }))
    }

    /// The error of work that the caller stopped: [`ErrorKind::Cancelled`], with the same words wherever it was stopped.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled)
    }

    /// Changes the kind, for example if an outer layer knows that an end of input is caused by a corrupt size.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Adds the name of the layer that the error is about, a file below the image. A name that was added before stays.
    #[must_use]
    pub fn in_layer(mut self, file: &[u8]) -> Self {
        self.0.layer.get_or_insert_with(|| Printable::new(file).to_string());
        self
    }

    /// Adds the format whose rules were violated.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.0.format = Some(format);
        self
    }

    /// Adds the format that [`Error::format_name`] returns and the message does not begin with, because it names the
    /// format already.
    #[must_use]
    pub fn about_format(mut self, format: Format) -> Self {
        self.0.named_format = Some(format);
        self
    }

    /// Sets the party at fault, where it does not follow from the kind; see [`Error::fault`].
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.0.fault = Some(fault);
        self
    }

    /// Adds the name of the field or structure in the specification, or of the option.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Adds the name of a host file as the field; see [`Error::names_file`].
    #[must_use]
    pub fn file(mut self, file: impl Into<String>) -> Self {
        self.0.names_file = true;
        self.field(file)
    }

    /// Adds the byte offset of the field in the image file.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Adds the byte offset on the guest's disk that was being accessed.
    #[must_use]
    pub fn guest(mut self, offset: u64) -> Self {
        self.0.guest_offset = Some(offset);
        self
    }

    /// Adds the value that was found.
    #[must_use]
    pub fn found(mut self, value: impl fmt::Display) -> Self {
        self.0.found = Some(value.to_string());
        self
    }

    /// Adds the value that was found, in hexadecimal with `0x`.
    #[must_use]
    pub fn found_hex(self, value: impl fmt::LowerHex) -> Self {
        self.found(format_args!("{value:#x}"))
    }

    /// Adds bytes of the image that were found, escaped and truncated.
    #[must_use]
    pub fn found_name(self, name: &[u8]) -> Self {
        self.found(Printable::new(name))
    }

    /// Adds the expected value.
    #[must_use]
    pub fn expected(mut self, what: impl fmt::Display) -> Self {
        self.0.expected = Some(what.to_string());
        self
    }

    /// Adds a cause, printed at the end of the line. Bytes of an image must be escaped with [`Printable`].
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.because = Some(cause.to_string());
        self
    }

    /// Adds what the caller can do about the error. Only the name of a limit becomes part of the message; see
    /// [`Error::remedy`].
    #[must_use]
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.0.remedy = Some(remedy);
        self
    }

    /// Adds the limit that was exceeded, where raising it is not the remedy; see [`Error::limit`].
    #[must_use]
    pub fn at_limit(mut self, limit: LimitKind) -> Self {
        self.0.limit = Some(limit);
        self
    }

    /// Adds the error number that the system has for this state, where this library found it before the system refused
    /// a call, or describes it in its own words. `None` changes nothing. It is not printed; see [`Error::os_error`].
    #[must_use]
    pub fn with_os_error(mut self, number: impl Into<Option<i32>>) -> Self {
        self.0.os_error = number.into().or(self.0.os_error);
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The format that was recognised or whose rules were violated, if known. It may be an unsupported one: `vhdx`,
    /// `luks`.
    #[must_use]
    pub fn format_name(&self) -> Option<Format> {
        self.0.format.or(self.0.named_format)
    }

    /// The party at fault: the image, the caller or the machine. [`Fault`] has the rule.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.0.fault.unwrap_or_else(|| Fault::of(self.0.kind, io_errors(self).next()))
    }

    /// The limit that was exceeded, if the caller can raise it. Limits of a format or of this library have no name.
    #[must_use]
    pub fn limit(&self) -> Option<LimitKind> {
        match self.0.remedy {
            Some(Remedy::RaiseLimit(limit) | Remedy::RaiseLimitTo(limit, _)) => Some(limit),
            _ => self.0.limit,
        }
    }

    /// The name of the field, structure or option, if known.
    #[must_use]
    pub fn field_name(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Returns true if the message names the host file that the error is about.
    #[must_use]
    pub fn names_file(&self) -> bool {
        self.0.names_file
    }

    /// Returns true if the error is about a file below the image.
    #[must_use]
    pub fn names_layer(&self) -> bool {
        self.0.layer.is_some()
    }

    /// The byte offset in the image file, if known.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The byte offset on the guest's disk, if known.
    #[must_use]
    pub fn guest_offset(&self) -> Option<u64> {
        self.0.guest_offset
    }

    /// The remedy that the caller can apply, if known.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        self.0.remedy
    }

    /// The error number of the operating system, if it is among the causes: the error of a call that failed, or of the
    /// state of a file that this library refuses itself (`EEXIST`, `EISDIR`).
    #[must_use]
    pub fn os_error(&self) -> Option<i32> {
        self.0.os_error.or_else(|| io_errors(self).find_map(io::Error::raw_os_error))
    }
}

/// Returns the error that `error` makes if `holds` is false: the check of one rule.
///
/// ```
/// use diskimg_core::{Error, ErrorKind, ensure};
/// let version = 4;
/// let checked = ensure(version <= 3, || Error::new(ErrorKind::Unsupported).field("version").found(version));
/// assert_eq!(checked.unwrap_err().field_name(), Some("version"));
/// ```
///
/// # Errors
/// The error that `error` makes.
pub fn ensure(holds: bool, error: impl FnOnce() -> Error) -> Result<()> {
    if holds { Ok(()) } else { Err(error()) }
}

impl From<io::Error> for Error {
    /// Converts to [`ErrorKind::Io`], or to [`ErrorKind::Truncated`] for an unexpected end of file. An
    /// [`io::Error`] that contains an [`Error`] is unpacked.
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|error| {
            let kind = match error.kind() {
                IoKind::UnexpectedEof => ErrorKind::Truncated,
                _ => ErrorKind::Io,
            };
            Self::new(kind).source(error)
        })
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Truncated => IoKind::UnexpectedEof,
            ErrorKind::Corrupt | ErrorKind::UnknownFormat | ErrorKind::Ambiguous => IoKind::InvalidData,
            ErrorKind::Unsupported | ErrorKind::Encrypted | ErrorKind::NeedsSeek => IoKind::Unsupported,
            ErrorKind::Denied => IoKind::PermissionDenied,
            ErrorKind::InUse => IoKind::ResourceBusy,
            ErrorKind::Exists => IoKind::AlreadyExists,
            ErrorKind::OutOfBounds | ErrorKind::InvalidInput => IoKind::InvalidInput,
            _ => IoKind::Other,
        };
        Self::new(kind, error)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { fmt::Debug::fmt(&self.0, f) } else { fmt::Display::fmt(&self.0, f) }
    }
}

impl std::error::Error for ErrorFields {
    /// Returns the cause and not its `Arc`, so that it can be downcast.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl fmt::Display for ErrorFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layer) = &self.layer {
            write!(f, "layer {layer}: ")?;
        }
        if let Some(format) = self.format {
            write!(f, "{format}: ")?;
        }
        if self.kind == ErrorKind::Internal {
            f.write_str("internal error, please report it: ")?;
        }
        let bare = self.field.is_none() && self.found.is_none() && self.expected.is_none();
        match (&self.field, &self.because) {
            (Some(field), _) => f.write_str(field)?,
            (None, Some(because)) if bare => f.write_str(because)?,
            (None, _) if bare && self.source.is_some() && self.kind == ErrorKind::Io => {}
            (None, _) => f.write_str(self.kind.name())?,
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(guest) = self.guest_offset {
            write!(f, " for guest offset {guest}")?;
        }
        if let Some(found) = &self.found {
            write!(f, " is {found}")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, ", expected {expected}")?;
        }
        if let Some(Remedy::RaiseLimit(limit) | Remedy::RaiseLimitTo(limit, _)) = self.remedy {
            write!(f, " (limit {limit})")?;
        }
        if let (Some(because), false) = (&self.because, bare) {
            write!(f, ": {because}")?;
        }
        if let Some(source) = &self.source {
            let lead = if bare && self.because.is_none() && self.kind == ErrorKind::Io { "" } else { ": " };
            write!(f, "{lead}{source}")?;
        }
        Ok(())
    }
}

mod causes;
#[cfg(test)]
mod tests;
