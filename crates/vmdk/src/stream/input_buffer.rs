//! Whole structures out of pieces of any size.

use diskimg_core::Result;

use crate::errors::limit;

/// What has arrived and is not used up: the rest of the piece given now, and what was kept of pieces before.
///
/// A structure that lies whole in the piece given now is handed out from there; only one that a cut goes
/// through is put together in a buffer.
#[derive(Default)]
pub(super) struct Intake {
    kept: Vec<u8>,
    /// Byte offset in the image of the next byte.
    position: u64,
}

impl Intake {
    /// Byte offset in the image of the next byte.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that are kept because they do not suffice yet.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// The next `len` bytes, without using them up; `None` until that many are there, and `input` is empty
    /// then. The caller has bounded `len`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] when the system has no memory for them.
    pub(super) fn peek<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        len: usize,
    ) -> Result<Option<&'a [u8]>> {
        if self.kept.is_empty()
            && let Some(bytes) = input.get(..len)
        {
            return Ok(Some(bytes));
        }
        let missing = len.saturating_sub(self.kept.len()).min(input.len());
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.kept
            .try_reserve(taken.len())
            .map_err(|_| limit("memory").found(format_args!("{} bytes", taken.len())))?;
        self.kept.extend_from_slice(taken);
        *input = rest;
        Ok(self.kept.get(..len))
    }

    /// Uses up `len` bytes that were just peeked at.
    pub(super) fn consume(&mut self, input: &mut &[u8], len: usize) {
        let kept = self.kept.len().min(len);
        self.kept.drain(..kept);
        *input = input.get(len.saturating_sub(kept)..).unwrap_or_default();
        self.position = self.position.saturating_add(len as u64);
    }

    /// Passes over bytes up to `end`; whether that was reached.
    pub(super) fn skip_to(&mut self, input: &mut &[u8], end: u64) -> bool {
        let left = end.saturating_sub(self.position);
        let there = self.kept.len().saturating_add(input.len());
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(there);
        self.consume(input, len);
        self.position >= end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_the_same_wherever_the_pieces_are_cut() {
        let bytes: Vec<u8> = (0..100).collect();
        for step in 1..=100 {
            let mut intake = Intake::default();
            let (mut found, mut skipped) = (Vec::new(), false);
            for mut piece in bytes.chunks(step) {
                if found.is_empty() {
                    match intake.peek(&mut piece, 7).unwrap() {
                        Some(bytes) => found.extend_from_slice(bytes),
                        None => continue,
                    }
                    intake.consume(&mut piece, 5);
                    assert_eq!(intake.position(), 5);
                }
                skipped = skipped || intake.skip_to(&mut piece, 60);
                if let Some(last) = intake.peek(&mut piece, 40).unwrap().filter(|_| skipped) {
                    assert_eq!(last, &bytes[60..]);
                    found.push(99);
                }
            }
            assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 99], "step {step}");
        }
    }
}
