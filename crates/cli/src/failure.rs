//! What is said, and with which exit code, when something goes wrong.

use std::io::Write;
use std::process::ExitCode;

use diskimg::{Error, ErrorKind, LimitKind, Remedy};
use serde_json::json;

/// A command that failed: the reason, and the exit code.
pub(crate) struct Failure {
    error: Error,
    code: u8,
    file: Option<String>,
}

pub(crate) type Outcome = Result<u8, Failure>;

impl Failure {
    /// The same failure with another exit code.
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The same failure with this exit code, unless its own is larger.
    pub(crate) fn at_least(self, code: u8) -> Self {
        let code = self.code.max(code);
        self.code(code)
    }

    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// One line on standard error, another for a hint; one JSON object for a program.
    pub(crate) fn report(self, machine: bool) -> ExitCode {
        // Whoever read our output has gone: there is nobody to tell.
        if self.error.os_error() == Some(BROKEN_PIPE) {
            return ExitCode::from(self.code);
        }
        let message = match &self.file {
            Some(file) => format!("{file}: {}", self.error),
            None => self.error.to_string(),
        };
        let mut stderr = std::io::stderr().lock();
        let _ = if machine {
            let error = json!({"error": {
                "status": self.error.kind().name(),
                "message": message,
                "offset": self.error.offset(),
                "errno": self.error.os_error(),
            }});
            writeln!(stderr, "{error}")
        } else {
            let hint = self
                .error
                .remedy()
                .map_or(String::new(), |remedy| format!("\nhint: {}", with_option(remedy)));
            writeln!(stderr, "diskimg: {message}{hint}")
        };
        ExitCode::from(self.code)
    }
}

/// EPIPE, the same number on every Unix.
const BROKEN_PIPE: i32 = 32;

/// The remedy in words, with the option of this command that applies it.
fn with_option(remedy: Remedy) -> String {
    let option = match remedy {
        Remedy::FollowReferences { role } if role.is_below() => {
            return "allow references within the image's own directory (--follow), or pass the file yourself \
                    (--parent FILE)"
                .to_owned();
        }
        Remedy::FollowReferences { .. } => "--follow",
        Remedy::NameParent => "--parent FILE",
        Remedy::AllowRaw => "-f raw, or --allow-raw",
        Remedy::ReadCompressedBytes => "-f raw",
        Remedy::PinFormat => "-f FORMAT",
        Remedy::NameBackingFormat => "-F FORMAT",
        Remedy::NameMember => "--member",
        Remedy::Force => "--force",
        Remedy::RaiseLimit(LimitKind::VirtualSize) => "--max-size",
        Remedy::SetOption(_) => "-o",
        _ => return remedy.to_string(),
    };
    format!("{remedy} ({option})")
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, code: 1, file: None }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Error::from(error).into()
    }
}

/// Says which file an error is about.
pub(crate) trait About<T> {
    /// The same, about `file`.
    fn about(self, file: &std::path::Path) -> Result<T, Failure>;
}

impl<T> About<T> for diskimg::Result<T> {
    fn about(self, file: &std::path::Path) -> Result<T, Failure> {
        self.map_err(|error| {
            let named = error.field_name().is_some_and(|field| field.contains('\''));
            Failure { file: (!named).then(|| file.display().to_string()), ..error.into() }
        })
    }
}
