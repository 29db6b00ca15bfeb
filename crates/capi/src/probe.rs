//! Format detection of a stream that the caller pushes in chunks.

use std::ffi::{c_char, c_void};

use diskimg::{Error, ErrorKind, Inspection, Opener, Probed, Prober, Result, json};

use crate::argument::{bytes, invalid};
use crate::error::ErrorReport;
use crate::guard::{create_handle, with_mut};
use crate::handle::{Handle, Out, Poison, free};
use crate::info_record::{InfoRecord, InfoTexts, info_record};
use crate::open_record::OpenOptionsRecord;
use crate::sized_record;
use crate::status::StatusCode;
use crate::strings::optional;

/// The format is not known yet. Push more bytes.
pub const DISKIMG_PROBE_MORE: u32 = 0;
/// The format is known, and diskimg_probe_info() returns it. Other values may become known later. A raw
/// disk never has this state, because some formats are recognised only at their end. A second disk in an
/// OVA is detected only at the end.
pub const DISKIMG_PROBE_FORMAT: u32 = 1;
/// Everything is known, also an error: diskimg_probe_info() and diskimg_probe_finish() return the same.
/// Pushing more bytes is cheap and changes nothing.
pub const DISKIMG_PROBE_DONE: u32 = 2;

/// A probe: it detects the format of a stream that the caller pushes in chunks. It does no I/O and uses
/// less than 2 MiB. One thread at a time may use it; it may move between threads.
pub struct ProbeHandle {
    state: ProbeState,
    /// The strings returned so far. They stay valid when more becomes known.
    texts: Vec<InfoTexts>,
    poison: Poison,
}

impl Handle for ProbeHandle {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// The prober, or its result after the end of the stream.
enum ProbeState {
    Running(Box<Prober>),
    Ended(Result<Box<Inspection>>),
}

impl ProbeState {
    fn new(mut opener: Opener) -> Self {
        opener.threads = 1;
        opener.cancel = None;
        Self::Running(Box::new(Prober::with(&opener)))
    }

    fn push(&mut self, chunk: &[u8]) {
        let Self::Running(prober) = self else { return };
        if prober.push(chunk) == Probed::Done {
            // Later bytes change nothing: the result, or the error, is that of the end of the stream.
            self.end();
        }
    }

    fn number(&self) -> u32 {
        match self {
            Self::Ended(_) => DISKIMG_PROBE_DONE,
            Self::Running(prober) => match prober.state() {
                Probed::Done => DISKIMG_PROBE_DONE,
                // The magic alone gives no description yet.
                Probed::Format if prober.info().is_some() => DISKIMG_PROBE_FORMAT,
                Probed::More | Probed::Format => DISKIMG_PROBE_MORE,
            },
        }
    }

    /// Ends the stream. Every later call reports the same description or the same error.
    fn end(&mut self) {
        if let Self::Running(prober) = self {
            let report = std::mem::take(&mut **prober).finish();
            *self = Self::Ended(report.into_inspection().map(Box::new));
        }
    }

    /// Returns the description known so far, and true if the virtual size is final.
    fn found(&self) -> Result<(Inspection, bool)> {
        let prober = match self {
            Self::Ended(Ok(found)) => return Ok(((**found).clone(), true)),
            Self::Ended(Err(error)) => return Err(error.clone()),
            Self::Running(prober) => prober,
        };
        let info = prober.info().ok_or_else(|| {
            Error::new(ErrorKind::UnknownFormat).because("no format is recognised in the bytes pushed so far")
        })?;
        Ok((Inspection::of_stream(info.clone(), prober.wrapper()), prober.size_is_known()))
    }
}

impl ProbeHandle {
    /// Returns the description known so far, with strings that live as long as the probe.
    fn info(&mut self) -> Result<InfoRecord> {
        let (found, sized) = self.state.found()?;
        let texts = InfoTexts::of(&found.info);
        if self.texts.last() != Some(&texts) {
            self.texts.push(texts);
        }
        let texts = self.texts.last().ok_or_else(|| invalid("probe", "a probe that is not freed"))?;
        Ok(info_record(&found, texts, sized.then_some(found.info.virtual_size)))
    }

    /// Returns the description known so far as JSON, without the virtual size while it is unknown.
    fn json(&self, filename: &str) -> Result<String> {
        let (found, sized) = self.state.found()?;
        let mut value = json::info(&found, filename);
        if let (false, Some(object)) = (sized, value.as_object_mut()) {
            object.shift_remove("virtual-size");
            if let Some(additions) = object.get_mut("diskimg").and_then(|own| own.as_object_mut()) {
                additions.shift_remove("virtual-size");
            }
        }
        Ok(json::escape(&value.to_string()))
    }
}

/// Creates a probe. `options` may be NULL; only its format, flags and limits are used. On success the
/// caller owns `*out` and frees it with diskimg_probe_free(). It is NULL after a failure.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_IO, DISKIMG_ERR_UNSUPPORTED, DISKIMG_ERR_LIMIT,
/// DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_new(
    options: *const OpenOptionsRecord,
    out: *mut *mut ProbeHandle,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for each call here.
    unsafe {
        create_handle(out, err, || {
            let state = ProbeState::new(sized_record::read(options)?.opener(None)?);
            Ok(ProbeHandle { state, texts: Vec::new(), poison: Poison::default() })
        })
    }
}

/// Pushes the next `len` bytes of the stream. The chunk boundaries do not affect the result. Stores one of
/// DISKIMG_PROBE_* in `*state`, which may be NULL. Errors in the bytes are reported by
/// diskimg_probe_finish().
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_push(
    probe: *mut ProbeHandle,
    chunk: *const c_void,
    len: usize,
    state: *mut u32,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with_mut`, and `len` readable bytes.
    unsafe {
        let state = Out::optional(state, DISKIMG_PROBE_MORE);
        with_mut(probe, err, |probe| {
            let chunk = bytes(chunk, len, "chunk")?;
            if !chunk.is_empty() {
                probe.state.push(chunk);
            }
            if let Some(state) = state {
                state.set(probe.state.number());
            }
            Ok(())
        })
    }
}

/// Fills `*info` with the description known so far. Format and wrapper are known from DISKIMG_PROBE_FORMAT
/// on; the size is set once it is final (DISKIMG_INFO_SIZE_KNOWN). Returns DISKIMG_ERR_UNKNOWN_FORMAT while
/// nothing is known, and at DISKIMG_PROBE_DONE the same as diskimg_probe_finish(). The caller must set its
/// `struct_size`. The strings are valid until the probe is freed.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_UNKNOWN_FORMAT, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT, DISKIMG_ERR_REFERENCE,
/// DISKIMG_ERR_ENCRYPTED, DISKIMG_ERR_AMBIGUOUS, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_info(
    probe: *mut ProbeHandle,
    info: *mut InfoRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with_mut` and `write`.
    unsafe { with_mut(probe, err, |probe| sized_record::write(info, &probe.info()?)) }
}

/// Stores in `*json` the description known so far, including references, snapshots and findings, in the
/// format of diskimg_info_json(). "virtual-size" is absent while it is unknown. Lists may be incomplete
/// before DISKIMG_PROBE_DONE or diskimg_probe_finish(). `filename` is the file name to report; NULL for
/// "-". The caller owns the string and frees it with diskimg_string_free(). It is NULL after a failure.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_UNKNOWN_FORMAT, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT, DISKIMG_ERR_REFERENCE,
/// DISKIMG_ERR_ENCRYPTED, DISKIMG_ERR_AMBIGUOUS, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_info_json(
    probe: *mut ProbeHandle,
    filename: *const c_char,
    json: *mut *mut c_char,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with_mut` and each call in it.
    unsafe {
        // Before `with_mut`, so that `*json` is NULL even if the probe is NULL.
        let out = Out::text(json, "json");
        with_mut(probe, err, |probe| {
            let out = out?;
            let filename = optional(filename, "filename")?.unwrap_or("-");
            out.set_text(&probe.json(filename)?);
            Ok(())
        })
    }
}

/// Ends the stream and fills `*info`, which may be NULL, with the description. A caller that stops before
/// the end of the stream calls diskimg_probe_info() instead, unless the state is DISKIMG_PROBE_DONE. The
/// virtual size of a raw disk is the number of bytes pushed, after decompression. Later calls of this
/// function and of diskimg_probe_info() return the same result or the same error.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_UNKNOWN_FORMAT, DISKIMG_ERR_UNSUPPORTED,
/// DISKIMG_ERR_CORRUPT, DISKIMG_ERR_TRUNCATED, DISKIMG_ERR_LIMIT, DISKIMG_ERR_REFERENCE,
/// DISKIMG_ERR_ENCRYPTED, DISKIMG_ERR_AMBIGUOUS, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_finish(
    probe: *mut ProbeHandle,
    info: *mut InfoRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `with_mut` and `write`.
    unsafe {
        with_mut(probe, err, |probe| {
            probe.state.end();
            sized_record::write_optional(info, &probe.info()?)
        })
    }
}

/// Frees a probe. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_probe_free(probe: *mut ProbeHandle) {
    // SAFETY: the handle came from `NewHandle`, and the header allows one free.
    unsafe { free(probe) }
}
