//! Recognising a stream that is pushed in pieces.
//!
//! Everything that depends on how the facade probes is in [`Head`]; the functions only hand on.

use std::ffi::{c_char, c_void};

use diskimg::{Error, ErrorKind, Inspection, Opener, Probed, Prober, Result, json};

use crate::error::ErrorReport;
use crate::guard::{Handle, NewHandle, Out, Poison, call, invalid, with_mut};
use crate::info::{Info, Texts, info_of};
use crate::open_options::OpenOptions;
use crate::record;
use crate::status::Status;
use crate::strings::{c_string, optional};

/// Nothing is certain yet: push more.
pub const DISKIMG_PROBE_MORE: u32 = 0;
/// The format is known, and diskimg_probe_info() tells it; the rest may come later. Of a raw disk, which some formats
/// look like until their end, it is never said, and that an OVA holds no other disk shows at its end, too.
pub const DISKIMG_PROBE_FORMAT: u32 = 1;
/// All is known: pushing more is cheap and changes nothing.
pub const DISKIMG_PROBE_DONE: u32 = 2;

/// A probe of a stream that is pushed in pieces. Does no I/O, and keeps less than 2 MiB. One thread at a time;
/// it may move between threads.
pub struct Probe {
    head: Head,
    /// The strings of what was told so far: those that were given out stay where they are when more is known.
    texts: Vec<Texts>,
    poison: Poison,
}

impl Handle for Probe {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// The prober while the stream goes on, and then what it told: an image, or kind and message of an error.
enum Head {
    Open(Box<Prober>),
    Ended(Result<Box<Inspection>>),
}

impl Head {
    fn new(mut opener: Opener) -> Self {
        opener.threads = 1;
        Self::Open(Box::new(Prober::with(&opener)))
    }

    fn push(&mut self, chunk: &[u8]) {
        if let Self::Open(prober) = self {
            prober.push(chunk);
        }
    }

    fn state(&self) -> u32 {
        match self {
            Self::Ended(_) => DISKIMG_PROBE_DONE,
            Self::Open(prober) => match prober.state() {
                Probed::Done => DISKIMG_PROBE_DONE,
                // The first bytes of a format alone say nothing that could be told.
                Probed::Format if prober.info().is_some() => DISKIMG_PROBE_FORMAT,
                Probed::More | Probed::Format => DISKIMG_PROBE_MORE,
            },
        }
    }

    /// The stream has ended. What is wrong with it is told again each time.
    fn finish(&mut self) -> Result<()> {
        if let Self::Open(prober) = self {
            let report = std::mem::take(&mut **prober).finish();
            *self = Self::Ended(report.into_inspection().map(Box::new));
        }
        self.found().map(drop)
    }

    /// What is known so far, and whether the virtual size is final.
    fn found(&self) -> Result<(Inspection, bool)> {
        let prober = match self {
            Self::Ended(Ok(found)) => return Ok(((**found).clone(), true)),
            Self::Ended(Err(error)) => return Err(error.clone()),
            Self::Open(prober) => prober,
        };
        let info = prober.info().ok_or_else(|| {
            Error::new(ErrorKind::UnknownFormat).because("nothing is recognised in what was pushed so far")
        })?;
        Ok((Inspection::of_stream(info.clone(), prober.wrapper()), prober.size_is_known()))
    }
}

impl Probe {
    /// What is known so far, with strings that live as long as the probe.
    fn info(&mut self) -> Result<Info> {
        let (found, sized) = self.head.found()?;
        let texts = Texts::of(&found.info);
        if self.texts.last() != Some(&texts) {
            self.texts.push(texts);
        }
        let texts = self.texts.last().ok_or_else(|| invalid("probe", "one that is not freed"))?;
        Ok(info_of(&found, texts, sized.then_some(found.info.virtual_size)))
    }

    /// The same as JSON; without a size that is not known.
    fn json(&self, filename: &str) -> Result<String> {
        let (found, sized) = self.head.found()?;
        let mut value = json::info(&found, filename);
        if let (false, Some(object)) = (sized, value.as_object_mut()) {
            object.shift_remove("virtual-size");
        }
        Ok(value.to_string())
    }
}

/// A new probe. Of `options`, which may be NULL, format, flags and limits matter. On success `*out` is the caller's,
/// to be freed with diskimg_probe_free(); on failure it is NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_new(
    options: *const OpenOptions,
    out: *mut *mut Probe,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `call` and each of these need.
    unsafe {
        call(err, || {
            let out = NewHandle::new(out)?;
            let head = Head::new(record::read(options)?.opener(None)?);
            out.set(Probe { head, texts: Vec::new(), poison: Poison::default() });
            Ok(())
        })
    }
}

/// Takes the next `len` bytes of the stream; where they are cut changes nothing. Stores one of DISKIMG_PROBE_* in
/// `*state`, which may be NULL. What is wrong with the bytes is told by diskimg_probe_finish().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_push(
    probe: *mut Probe,
    chunk: *const c_void,
    len: usize,
    state: *mut u32,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with_mut` and each of these need, and for `len` bytes.
    unsafe {
        let state = Out::optional(state, DISKIMG_PROBE_MORE);
        with_mut(probe, err, |probe| {
            if chunk.is_null() && len > 0 {
                return Err(invalid("chunk", "the bytes, and not NULL"));
            }
            if isize::try_from(len).is_err() {
                return Err(invalid("len", "a length in memory").found(len));
            }
            if len > 0 {
                probe.head.push(std::slice::from_raw_parts(chunk.cast(), len));
            }
            if let Some(state) = state {
                state.set(probe.head.state());
            }
            Ok(())
        })
    }
}

/// Fills `*info` with what is known so far: from DISKIMG_PROBE_FORMAT on format and wrapper, and the size as soon as
/// it is final (DISKIMG_INFO_SIZE_KNOWN); DISKIMG_ERR_UNKNOWN_FORMAT while nothing is. Its `struct_size` has to be set;
/// its strings live as long as the probe.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_info(
    probe: *mut Probe,
    info: *mut Info,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with_mut` and `write` need.
    unsafe { with_mut(probe, err, |probe| record::write(info, &probe.info()?)) }
}

/// Stores in `*json` what diskimg_probe_info() tells, and the names, snapshots and findings, in the shape of
/// diskimg_info_json(); "virtual-size" is absent while it is not known, and lists may be incomplete before
/// DISKIMG_PROBE_DONE or diskimg_probe_finish(). `filename` is shown as the image's name; NULL for "-". The string is
/// the caller's, to be freed with diskimg_string_free(); NULL on failure.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_info_json(
    probe: *mut Probe,
    filename: *const c_char,
    json: *mut *mut c_char,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with_mut` and each of these need.
    unsafe {
        // Outside of `with_mut`, for it is NULL even if the probe is.
        let out = Out::new(json, "json", std::ptr::null_mut());
        with_mut(probe, err, |probe| {
            let out = out?;
            let filename = optional(filename, "filename")?.unwrap_or("-");
            out.set(c_string(&probe.json(filename)?).into_raw());
            Ok(())
        })
    }
}

/// The stream has ended: fills `*info`, which may be NULL, with what is known. Whoever stops before the end calls
/// diskimg_probe_info() instead, unless the state is DISKIMG_PROBE_DONE. The virtual size of a raw disk is the number
/// of bytes pushed, or decoded of what was pushed. A second call tells the same, and so does diskimg_probe_info(), also
/// what is wrong.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_probe_finish(
    probe: *mut Probe,
    info: *mut Info,
    err: *mut *mut ErrorReport,
) -> Status {
    // SAFETY: the header asks for NULL or what `with_mut` and `write` need.
    unsafe {
        with_mut(probe, err, |probe| {
            probe.head.finish()?;
            match info.is_null() {
                true => Ok(()),
                false => record::write(info, &probe.info()?),
            }
        })
    }
}

/// Frees a probe. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn diskimg_probe_free(probe: *mut Probe) {
    if !probe.is_null() {
        // SAFETY: it came out of Box::into_raw, and the header asks to free it once.
        drop(unsafe { Box::from_raw(probe) });
    }
}
