//! Recognising a stream that is pushed in pieces.
//!
//! Everything that depends on how the facade probes is in [`Head`]; the functions only hand on.

use std::ffi::c_void;

use diskimg::{Error, ErrorKind, Inspection, Opener, Probed, Prober, Result};

use crate::error::ErrorReport;
use crate::guard::{Handle, NewHandle, Out, Poison, call, invalid, with_mut};
use crate::info::{Info, Texts, info_of};
use crate::open_options::OpenOptions;
use crate::record;
use crate::status::Status;

/// Nothing is certain yet: push more.
pub const DISKIMG_PROBE_MORE: u32 = 0;
/// The format is known, and diskimg_probe_info() tells it; the rest may come later: a raw disk has its size at its
/// end, and that an OVA holds no other disk shows at its end, too.
pub const DISKIMG_PROBE_FORMAT: u32 = 1;
/// All is known: pushing more is cheap and changes nothing.
pub const DISKIMG_PROBE_DONE: u32 = 2;

/// A probe of a stream that is pushed in pieces. Does no I/O, and keeps less than 2 MiB. One thread at a time;
/// it may move between threads.
pub struct Probe {
    head: Head,
    texts: Option<Texts>,
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
    Ended(Box<std::result::Result<Inspection, (ErrorKind, String)>>),
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
            let (kept, result) = match report.into_inspection() {
                Ok(found) => (Ok(found), Ok(())),
                Err(error) => (Err((error.kind(), error.to_string())), Err(error)),
            };
            *self = Self::Ended(Box::new(kept));
            return result;
        }
        self.found().map(drop)
    }

    /// What is known so far.
    fn found(&self) -> Result<Inspection> {
        match self {
            Self::Ended(told) => match &**told {
                Ok(found) => Ok(found.clone()),
                Err((kind, message)) => Err(Error::new(*kind).because(message)),
            },
            Self::Open(prober) => {
                let info = prober.info().ok_or_else(|| {
                    Error::new(ErrorKind::UnknownFormat)
                        .because("nothing is recognised in what was pushed so far")
                })?;
                Ok(Inspection::of_stream(info.clone(), prober.wrapper()))
            }
        }
    }
}

impl Probe {
    /// What is known so far, with strings that live as long as the probe.
    fn info(&mut self) -> Result<Info> {
        let found = self.head.found()?;
        let texts = self.texts.get_or_insert_with(|| Texts::of(&found.info));
        // A raw disk has its size at its end; every other format has it in its header.
        let sized = self.head.state() == DISKIMG_PROBE_DONE || found.info.format.name() != "raw";
        Ok(info_of(&found, texts, sized.then_some(found.info.virtual_size)))
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
            out.set(Probe { head, texts: None, poison: Poison::default() });
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

/// Fills `*info` with what is known so far; DISKIMG_ERR_UNKNOWN_FORMAT while nothing is. Its `struct_size` has to be
/// set; its strings live as long as the probe.
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

/// The stream has ended: fills `*info`, which may be NULL, with what is known. Whoever stops before the end calls
/// diskimg_probe_info() instead, unless the state is DISKIMG_PROBE_DONE. The virtual size of a raw disk is the number
/// of bytes pushed, or decoded of what was pushed. A second call tells the same.
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
