//! Recognising a stream that is pushed in pieces.
//!
//! Everything that depends on how the facade probes is in [`Head`]; the functions only hand on.

use std::ffi::c_void;
use std::io::Cursor;

use diskimg::{Error, ErrorKind, Inspection, Opener, Result, Spool};

use crate::error::ErrorReport;
use crate::guard::{Handle, NewHandle, Out, Poison, call, invalid, with_mut};
use crate::info::{Info, Texts, info_of};
use crate::open_options::OpenOptions;
use crate::record;
use crate::status::Status;

/// Nothing is certain yet: push more.
pub const DISKIMG_PROBE_MORE: u32 = 0;
/// The format is certain, and the size not yet: a raw disk has it at its end.
pub const DISKIMG_PROBE_FORMAT: u32 = 1;
/// All is known: pushing more is cheap and changes nothing.
pub const DISKIMG_PROBE_DONE: u32 = 2;

/// Most bytes that are kept. A bound of ours: all that is recognised and described lies in the first 68 KiB, for which
/// a zstd stream may need a block of 128 KiB, and the others less.
const KEPT: usize = 512 << 10;

/// A probe of a stream that is pushed in pieces. Does no I/O, keeps at most 512 KiB. One thread at a time;
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

/// The first bytes of a stream, and what they say.
struct Head {
    opener: Opener,
    bytes: Vec<u8>,
    total: u64,
    /// Looked at again when so many bytes are there.
    next: usize,
    found: Option<Inspection>,
    /// Whether `found` has the final virtual size.
    sized: bool,
}

impl Head {
    fn new(mut opener: Opener) -> Self {
        // No I/O: what does not lie in the first bytes is not known.
        opener.spool = Spool::Never;
        opener.threads = 1;
        Self { opener, bytes: Vec::new(), total: 0, next: 512, found: None, sized: false }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.total = self.total.saturating_add(chunk.len() as u64);
        let room = KEPT.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        if self.found.is_none() && self.bytes.len() >= self.next {
            self.next = self.bytes.len().saturating_mul(2).min(KEPT);
            // Not recognised, or cut short: more bytes may help, and the end tells.
            let found = self.beginning().ok().filter(|found| !is_raw(found) || self.is_full());
            self.sized = found.as_ref().is_some_and(|found| !is_raw(found));
            self.found = found;
        }
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= KEPT
    }

    fn state(&self) -> u32 {
        match (&self.found, self.sized) {
            (Some(_), true) => DISKIMG_PROBE_DONE,
            (Some(_), false) => DISKIMG_PROBE_FORMAT,
            // Looked at in full, and nothing there: the rest of the stream will not change that.
            (None, _) if self.is_full() => DISKIMG_PROBE_DONE,
            (None, _) => DISKIMG_PROBE_MORE,
        }
    }

    /// The stream has ended.
    fn finish(&mut self) -> Result<()> {
        let whole = self.total == self.bytes.len() as u64;
        if whole && !self.sized {
            self.found = Some(self.opener.inspect_stream(Cursor::new(self.bytes.clone()))?);
            self.sized = true;
        } else if self.found.is_none() {
            self.found = Some(self.beginning()?);
        }
        if let Some(found) = self.found.as_mut().filter(|found| is_raw(found) && found.wrapper.is_none()) {
            found.info.virtual_size = self.total;
            self.sized = true;
        }
        Ok(())
    }

    /// What the first bytes say. Of a raw disk that is compressed they are not decoded further than that.
    fn beginning(&self) -> Result<Inspection> {
        let stream = Cursor::new(self.bytes.clone());
        let arriving = self.opener.arriving(stream.clone())?;
        if arriving.format().name() != "raw" || arriving.wrapper().is_none() {
            return self.opener.inspect_stream(stream);
        }
        let mut found = self.opener.inspect_stream(Cursor::new(arriving.head().to_vec()))?;
        found.wrapper = arriving.wrapper();
        Ok(found)
    }

    fn found(&self) -> Result<&Inspection> {
        self.found.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::UnknownFormat).because("nothing is recognised in what was pushed so far")
        })
    }
}

fn is_raw(found: &Inspection) -> bool {
    found.info.format.name() == "raw"
}

impl Probe {
    /// What is known so far, with strings that live as long as the probe.
    fn info(&mut self) -> Result<Info> {
        let found = self.head.found()?;
        let texts = self.texts.get_or_insert_with(|| Texts::of(&found.info));
        Ok(info_of(found, texts, self.head.sized.then_some(found.info.virtual_size)))
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
        with_mut(probe, err, |probe| {
            let state = Out::optional(state, DISKIMG_PROBE_MORE);
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
/// of bytes pushed; of one that is compressed, and longer than what is kept, it stays unknown: see
/// DISKIMG_INFO_SIZE_KNOWN.
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
