//! Error messages, hints and exit codes.

use std::io::Write;
use std::process::ExitCode;

use diskimg::core::LimitKind;
use diskimg::json::escape;
use diskimg::{Error, ErrorKind, Remedy};
use serde_json::json;

use crate::memory_limit;
use crate::size::exact_size;
use crate::visible::visible;

/// The failure of a command: an error, the exit code, and the file concerned.
pub(crate) struct Failure {
    error: Error,
    code: u8,
    file: Option<String>,
}

pub(crate) type Outcome = Result<u8, Failure>;

impl Failure {
    /// Sets the exit code.
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Raises the exit code to `code`, unless it is larger already.
    pub(crate) fn at_least(self, code: u8) -> Self {
        let code = self.code.max(code);
        self.code(code)
    }

    /// The kind of the error.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// Prints the failure on standard error: a line, and a second one for a hint; or one JSON object.
    pub(crate) fn report(self, machine: bool) -> ExitCode {
        // The reader of standard output has closed it. That is not worth a message.
        if self.error.os_error() == Some(BROKEN_PIPE) {
            return ExitCode::from(self.code);
        }
        let error = visible(&self.error.to_string()).into_owned();
        // JSON has its own escapes.
        let file =
            self.file.as_ref().map(|file| if machine { file.clone() } else { visible(file).into_owned() });
        let message = file.map_or(error.clone(), |file| format!("{file}: {error}"));
        let mut stderr = std::io::stderr().lock();
        let _ = if machine {
            let error = json!({"error": {
                "status": self.status(),
                "message": message,
                "offset": self.error.offset(),
                "errno": self.error.os_error(),
            }});
            writeln!(stderr, "{}", escape(&error.to_string()))
        } else {
            let hint = self.hint().map_or(String::new(), |hint| format!("\nhint: {hint}"));
            writeln!(stderr, "diskimg: {message}{hint}")
        };
        ExitCode::from(self.code)
    }

    /// The name of the kind in JSON. An existing target is an invalid argument there.
    fn status(&self) -> &'static str {
        match self.kind() {
            ErrorKind::Exists => ErrorKind::InvalidInput.name(),
            kind => kind.name(),
        }
    }

    /// Words the remedy of the error. The options for parents count layers from the image down.
    fn hint(&self) -> Option<String> {
        let hint = hint(self.error.remedy()?);
        if !self.error.names_layer() {
            return Some(hint);
        }
        let each = |hint: String, option: &str| {
            hint.replace(option, &format!("{option} (once for each layer, top first)"))
        };
        Some(each(each(hint, "--parent FILE"), "--parent-format FORMAT"))
    }
}

/// EPIPE. It has the same number on every Unix.
const BROKEN_PIPE: i32 = 32;

/// Returns true if the control group of this process does not allow so many bytes of memory.
fn exceeds_control_group(bytes: u64) -> bool {
    memory_limit::of_control_group().is_some_and(|limit| bytes >= limit)
}

/// Words a remedy for users of this command.
fn hint(remedy: Remedy) -> String {
    let hint = match remedy {
        Remedy::FollowReferences { role } if role.is_below() => {
            "use --follow to open files in the directory of the image, or --parent FILE to name the file"
        }
        Remedy::FollowReferences { .. } => "use --follow to open files in the directory of the image",
        Remedy::NameParent => "use --parent FILE to name the parent",
        Remedy::AllowPart => {
            "open the descriptor of the whole disk, or use --allow-part to read this part alone"
        }
        Remedy::LocateFile { role } if role.is_below() => {
            "use --parent FILE to name the file, or --search-dir DIR to name the directory that contains it"
        }
        Remedy::LocateFile { .. } => "use --search-dir DIR to name the directory that contains it",
        Remedy::AllowParentMismatch => {
            "use --parent FILE to name the right file, or --parent-mismatch to read this one"
        }
        Remedy::RecordBackingFormat => "use --parent-format FORMAT to set the format",
        Remedy::AllowRaw => "use -f raw or --allow-raw if it is a raw disk",
        Remedy::AllowRawMember => "use --allow-raw if it is a raw disk",
        Remedy::Decompress => "omit --no-unwrap",
        Remedy::PinFormat => "use -f FORMAT to set the format",
        Remedy::NameBackingFormat => "use -F FORMAT to set the format of the backing file",
        Remedy::NameMember => "use --member NAME to select a disk",
        Remedy::ShareImage => "use -U to read it anyway; what is read may be a mixture of old and new data",
        Remedy::Force => "use --force to replace it, or choose another name",
        Remedy::RaiseLimit(LimitKind::VirtualSize) => {
            "use --max-size SIZE to raise the limit if the image is trusted"
        }
        Remedy::RaiseLimit(kind @ LimitKind::Tables) => {
            return format!("use --limit {kind}=SIZE to raise the limit, or read the image from a file");
        }
        Remedy::RaiseLimit(kind @ LimitKind::TemporaryFiles) => {
            return format!(
                "use --limit {kind}=SIZE to raise the limit, or decompress the image to a file first"
            );
        }
        Remedy::RaiseLimit(kind) => {
            return format!("use --limit {kind}=VALUE to raise the limit if the image is trusted");
        }
        Remedy::RaiseLimitTo(LimitKind::DecoderMemory, value) if exceeds_control_group(value) => {
            return format!(
                "run it with {} of memory for its control group",
                exact_size(value.saturating_mul(2))
            );
        }
        Remedy::RaiseLimitTo(kind, value) => {
            let value = exact_size(value);
            return format!("use --limit {kind}={value} to raise the limit if the image is trusted");
        }
        Remedy::AllowSpool => "omit --no-spool, or read the uncompressed image from a file",
        Remedy::WriteToFile { or_subformat: Some(name), .. } => {
            return format!("write to a file, or use -o subformat={name}");
        }
        Remedy::WriteToFile { or_format, .. } => return format!("write to a file, or use -O {or_format}"),
        Remedy::CompressAfterwards { or_format } => {
            return format!("compress the file afterwards, or use -O {or_format}");
        }
        Remedy::SetOption(_) => return format!("{remedy} with -o"),
        _ => return remedy.to_string(),
    };
    hint.to_owned()
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

/// Names the file that an error is about.
pub(crate) trait About<T> {
    /// Adds the name of `file`, unless the error already names a file.
    fn about(self, file: &std::path::Path) -> Result<T, Failure>;
}

impl<T> About<T> for diskimg::Result<T> {
    fn about(self, file: &std::path::Path) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            file: (!error.names_file()).then(|| file.display().to_string()),
            ..error.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use diskimg::ReferenceRole;

    use super::*;
    use crate::args::Args;

    /// All remedies whose hint names an option, and the command with that option.
    const WITH_OPTIONS: [(Remedy, &str); 27] = [
        (Remedy::FollowReferences { role: ReferenceRole::Backing }, "convert"),
        (Remedy::FollowReferences { role: ReferenceRole::Extent }, "check"),
        (Remedy::NameParent, "map"),
        (Remedy::AllowPart, "compare"),
        (Remedy::LocateFile { role: ReferenceRole::Parent }, "info"),
        (Remedy::LocateFile { role: ReferenceRole::Extent }, "measure"),
        (Remedy::AllowParentMismatch, "compare"),
        (Remedy::RecordBackingFormat, "convert"),
        (Remedy::AllowRaw, "probe"),
        (Remedy::AllowRawMember, "probe"),
        (Remedy::Decompress, "info"),
        (Remedy::PinFormat, "inspect"),
        (Remedy::NameBackingFormat, "create"),
        (Remedy::NameMember, "cat"),
        (Remedy::Force, "create"),
        (Remedy::ShareImage, "check"),
        (Remedy::RaiseLimit(LimitKind::VirtualSize), "convert"),
        (Remedy::RaiseLimit(LimitKind::Tables), "convert"),
        (Remedy::RaiseLimit(LimitKind::TemporaryFiles), "check"),
        (Remedy::RaiseLimit(LimitKind::ChainDepth), "info"),
        (Remedy::RaiseLimitTo(LimitKind::DecoderMemory, 256 << 20), "probe"),
        (Remedy::AllowSpool, "convert"),
        (Remedy::WriteToFile { or_format: "raw", or_subformat: None }, "convert"),
        (Remedy::WriteToFile { or_format: "vmdk", or_subformat: Some("streamOptimized") }, "convert"),
        (Remedy::CompressAfterwards { or_format: "qcow2" }, "convert"),
        (Remedy::SetOption(&[("block_size", "64M")]), "create"),
        (Remedy::SetOption(&[("block_size", "64M")]), "convert"),
    ];

    #[test]
    fn options_in_hints_exist() {
        let args = Args::command();
        for (remedy, name) in WITH_OPTIONS {
            let text = hint(remedy);
            let command = args.find_subcommand(name).unwrap();
            let options: Vec<&str> =
                text.split([' ', ',']).filter(|word| word.len() > 1 && word.starts_with('-')).collect();
            assert!(!options.is_empty(), "{text}");
            for option in options {
                let exists = command.get_arguments().any(|arg| match option.strip_prefix("--") {
                    Some(long) => arg.get_long() == Some(long),
                    None => arg.get_short().is_some_and(|short| option[1..] == short.to_string()),
                });
                assert!(exists, "{name} has no {option}: {text}");
            }
        }
    }
}
