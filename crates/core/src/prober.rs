//! Recognising the format of a stream.

use crate::{Driver, Format, Verdict};

/// The most bytes stored of the head. Our limit: the deepest fixed offset at which a format is recognised is 32774
/// (ISO 9660), and the UDF descriptors after it end before 64 KiB.
const MAX_HEAD: usize = 64 << 10;

/// Recognises the format of a stream that is pushed in pieces, in bounded memory.
///
/// ```
/// use diskimg_core::{Probed, FormatProber};
/// let mut prober = FormatProber::new(&[]);
/// assert_eq!(prober.push(b"no format here"), Probed::Done);
/// assert!(prober.finish().formats.is_empty());
/// ```
pub struct FormatProber {
    open: Vec<&'static Driver>,
    yes: Vec<Format>,
    head: Vec<u8>,
    total: u64,
}

/// The state of a probe after a push.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probed {
    /// Nothing is recognised yet; more input is needed.
    More,
    /// A format is recognised. A [`FormatProber`] may still recognise another one.
    Format,
    /// Further input cannot change the answer.
    Done,
}

/// The result of a [`FormatProber`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatReport {
    /// The formats as which the bytes are valid. More than one is ambiguous, none is unknown.
    pub formats: Vec<Format>,
    /// The first bytes of the stream, at most 64 KiB.
    pub head: Vec<u8>,
    /// The number of bytes pushed.
    pub total: u64,
}

impl FormatProber {
    /// Creates a probe for these formats.
    #[must_use]
    pub fn new(drivers: &[&'static Driver]) -> Self {
        Self { open: drivers.to_vec(), yes: Vec::new(), head: Vec::new(), total: 0 }
    }

    /// Probes the next bytes. The result does not depend on how the stream is split.
    pub fn push(&mut self, chunk: &[u8]) -> Probed {
        self.total = self.total.saturating_add(chunk.len() as u64);
        let room = MAX_HEAD.saturating_sub(self.head.len());
        let taken = chunk.get(..room).unwrap_or(chunk);
        if !taken.is_empty() {
            self.head.extend_from_slice(taken);
            self.evaluate();
        }
        self.state()
    }

    /// The first bytes of the stream pushed so far, at most 64 KiB.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The formats recognised so far.
    #[must_use]
    pub fn formats(&self) -> &[Format] {
        &self.yes
    }

    /// Ends the probe, at the end of the stream or before.
    #[must_use]
    pub fn finish(self) -> FormatReport {
        FormatReport { formats: self.yes, head: self.head, total: self.total }
    }

    fn evaluate(&mut self) {
        let (head, yes) = (&self.head, &mut self.yes);
        self.open.retain(|driver| match (driver.probe)(head) {
            Verdict::No => false,
            Verdict::Yes => {
                yes.push(driver.format);
                false
            }
            Verdict::NeedBytes(n) => n > head.len() && n <= MAX_HEAD,
        });
        // The order must not depend on the sizes of the chunks.
        yes.sort_unstable();
    }

    fn state(&self) -> Probed {
        match (self.open.is_empty(), self.yes.is_empty()) {
            (true, _) => Probed::Done,
            (false, false) => Probed::Format,
            (false, true) => Probed::More,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    fn magic_at(head: &[u8], offset: usize) -> Verdict {
        match head.get(offset..offset + 2) {
            None => Verdict::NeedBytes(offset + 2),
            Some(b"AB") => Verdict::Yes,
            Some(_) => Verdict::No,
        }
    }

    const fn driver(name: &'static str, probe: fn(&[u8]) -> Verdict) -> Driver {
        Driver {
            format: Format::new(name),
            description: "",
            extensions: &[],
            probe,
            inspect: |_, _| Err(Error::new(ErrorKind::Unsupported)),
            open: |_, _| Err(Error::new(ErrorKind::Unsupported)),
            stream: None,
            create: None,
            measure: None,
            check: None,
            settings: &[],
            settings_of: None,
        }
    }

    static NEAR: Driver = driver("near", |head| magic_at(head, 0));
    static FAR: Driver = driver("far", |head| magic_at(head, 1000));

    #[test]
    fn report_does_not_depend_on_the_chunks() {
        let mut stream = vec![0; 2000];
        stream[..2].copy_from_slice(b"AB");
        stream[1000..1002].copy_from_slice(b"AB");
        let report = |size: usize| {
            let mut prober = FormatProber::new(&[&NEAR, &FAR]);
            let last = stream.chunks(size).map(|chunk| prober.push(chunk)).last();
            assert_eq!(last, Some(Probed::Done));
            prober.finish()
        };
        let whole = report(2000);
        assert_eq!(whole.formats, [FAR.format, NEAR.format]);
        for size in [1, 2, 511, 999, 1001] {
            assert_eq!(report(size), whole);
        }
    }

    #[test]
    fn state_follows_the_certainty() {
        let mut prober = FormatProber::new(&[&NEAR, &FAR]);
        assert_eq!(prober.push(b"A"), Probed::More);
        assert_eq!(prober.push(b"B"), Probed::Format);
        assert_eq!(prober.push(&[0; 1000]), Probed::Done);
        assert_eq!(prober.finish().formats, [NEAR.format]);
    }

    #[test]
    fn stored_head_is_bounded() {
        let mut prober = FormatProber::new(&[]);
        for _ in 0..100 {
            prober.push(&[0; 65_536]);
        }
        assert_eq!(prober.head().len(), MAX_HEAD);
        assert_eq!(prober.finish().total, 6_553_600);
    }
}
