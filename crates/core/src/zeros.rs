//! Searching data for zeros.
//!
//! The tables of a source describe only some of the zeros of a disk. Guests leave many more: deleted blocks and
//! blocks written as zeros. Searching for them is about as fast as memory and saves writing them.

use std::ops::Range;
use std::sync::LazyLock;

use crate::{BlockSink, Result, range};

/// The size in bytes from which zeros become a hole: a page, and the block of most file systems. Our choice, equal to
/// the default of `qemu-img convert -S`.
pub const GRANULARITY: usize = 4096;

/// The largest piece of zeros in bytes. Our choice: few calls, and it stays in the CPU cache.
pub const PIECE: usize = 256 << 10;

/// The bytes compared between two branches. Enough that the loop is vectorized, few enough that ordinary data is
/// skipped after its first cache lines.
const STEP: usize = 256;

/// Returns true if all of `bytes` are zero, also if there are none.
///
/// ```
/// use diskimg_core::zeros;
/// assert!(zeros::is_zero(&[0; 5000]));
/// assert!(!zeros::is_zero(&[0, 0, 1]));
/// ```
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let mut steps = bytes.chunks_exact(STEP);
    // No early exit within a step, so that the compiler can use whole vector registers.
    steps.by_ref().all(|step| step.iter().fold(0, |all, byte| all | byte) == 0)
        && steps.remainder().iter().fold(0, |all, byte| all | byte) == 0
}

/// Returns `len` zeros, or fewer if that exceeds [`PIECE`].
#[must_use]
pub fn up_to(len: u64) -> &'static [u8] {
    // Allocated when first used, because a `static` array would add its size to every program.
    static ZEROS: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; PIECE]);
    usize::try_from(len).ok().and_then(|len| ZEROS.get(..len)).unwrap_or(&ZEROS)
}

/// Returns zeros for all of `range`, in order, each with its offset. For places that store no holes.
///
/// ```
/// use diskimg_core::zeros::{self, PIECE};
/// let range = 100..100 + PIECE as u64 + 5;
/// let pieces: Vec<_> = zeros::pieces(range).map(|(at, bytes)| (at, bytes.len())).collect();
/// assert_eq!(pieces, [(100, PIECE), (100 + PIECE as u64, 5)]);
/// ```
pub fn pieces(range: Range<u64>) -> impl Iterator<Item = (u64, &'static [u8])> {
    let starts = range.clone().step_by(PIECE);
    starts.map(move |at| (at, up_to(range::len(&(at..range.end)))))
}

/// Appends the runs of zeros in `bytes` to `found`, as ranges of the disk. `bytes` are at `offset` of the disk.
///
/// The disk is split at multiples of `granularity` bytes, and each block is all zeros or data. A block that is only
/// partly in `bytes` is decided by that part. Runs ascend and do not touch: a run that continues the last range of
/// `found` extends it. A `granularity` of 0 counts as 1.
///
/// ```
/// use diskimg_core::zeros;
/// let mut bytes = vec![0; 16384];
/// bytes[5000] = 1;
/// let mut found = Vec::new();
/// zeros::runs(&bytes, zeros::GRANULARITY, 1 << 20, &mut found);
/// assert_eq!(found, [0x10_0000..0x10_1000, 0x10_2000..0x10_4000]);
/// ```
pub fn runs(bytes: &[u8], granularity: usize, offset: u64, found: &mut Vec<Range<u64>>) {
    let granularity = granularity.max(1);
    // The first block ends at the next multiple of the granularity.
    let past =
        offset.checked_rem(granularity as u64).and_then(|past| usize::try_from(past).ok()).unwrap_or(0);
    let first = granularity.saturating_sub(past).min(bytes.len());
    let (first, rest) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
    let mut at = offset;
    for piece in std::iter::once(first).filter(|first| !first.is_empty()).chain(rest.chunks(granularity)) {
        let end = at.saturating_add(piece.len() as u64);
        if is_zero(piece) {
            match found.last_mut().filter(|last| last.end == at) {
                Some(last) => last.end = end,
                None => found.push(at..end),
            }
        }
        at = end;
    }
}

/// Writes `bytes` at `offset` of a sink, with [`BlockSink::zero`] for runs of zeros, in ascending order. `granularity`
/// is that of [`runs`].
///
/// # Errors
/// The errors of the sink.
pub fn write(sink: &dyn BlockSink, offset: u64, bytes: &[u8], granularity: usize) -> Result<()> {
    let mut found = Vec::new();
    runs(bytes, granularity, offset, &mut found);
    write_runs(sink, offset, bytes, &found)
}

/// Writes `bytes` at `offset` of a sink, with [`BlockSink::zero`] for the ranges `zeros`, in ascending order.
///
/// # Errors
/// The errors of the sink.
pub fn write_runs(sink: &dyn BlockSink, offset: u64, bytes: &[u8], zeros: &[Range<u64>]) -> Result<()> {
    let end = offset.saturating_add(bytes.len() as u64);
    let data = |range: Range<u64>| match range::slice(bytes, offset, &range) {
        Some(run) if !run.is_empty() => sink.write_at(range.start, run),
        _ => Ok(()),
    };
    let mut at = offset;
    for run in zeros {
        data(at..run.start)?;
        sink.zero(run.clone())?;
        at = run.end;
    }
    data(at..end)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of runs are compared")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(bytes: &[u8], granularity: usize, offset: u64) -> Vec<Range<u64>> {
        let mut found = Vec::new();
        runs(bytes, granularity, offset, &mut found);
        found
    }

    #[test]
    fn single_bit_anywhere_is_detected() {
        for len in [1, 255, 256, 257, 511, 512, 513, 4096, 4097] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes), "{len} zeros");
            for at in 0..len {
                bytes[at] = 1 << (at % 8);
                assert!(!is_zero(&bytes), "byte {at} of {len}");
                bytes[at] = 0;
            }
        }
        assert!(is_zero(&[]));
    }

    #[test]
    fn blocks_are_aligned_to_the_disk_and_not_to_the_buffer() {
        let mut bytes = vec![0; 12];
        bytes[3] = 1;
        assert_eq!(found(&bytes, 4, 100), [104..112]);
        assert_eq!(found(&bytes, 4, 102), [102..104, 108..114]);
        assert_eq!(found(&bytes, 4, 103), [103..104, 108..115]);
    }

    #[test]
    fn runs_join_across_calls() {
        let mut runs_found = Vec::new();
        runs(&[0; 4], 4, 0, &mut runs_found);
        runs(&[0; 4], 4, 4, &mut runs_found);
        runs(&[1; 4], 4, 8, &mut runs_found);
        runs(&[0; 2], 4, 12, &mut runs_found);
        assert_eq!(runs_found, [0..8, 12..14]);
    }

    #[test]
    fn runs_at_the_last_offset_do_not_overflow() {
        assert_eq!(found(&[0; 8], 4, u64::MAX - 3), [u64::MAX - 3..u64::MAX]);
        assert_eq!(found(&[0, 1], 0, 7), [7..8]);
    }

    proptest! {
        #[test]
        fn runs_equal_those_of_a_bytewise_search(
            bytes in proptest::collection::vec(prop_oneof![9 => Just(0_u8), 1 => any::<u8>()], 0..300),
            granularity in 1_usize..40,
            offset in 0_u64..1000,
        ) {
            let mut zero = vec![false; bytes.len()];
            for piece in (0..bytes.len() as u64 + offset).step_by(granularity) {
                let inside: Vec<usize> = (0..bytes.len())
                    .filter(|i| (piece..piece + granularity as u64).contains(&(offset + *i as u64)))
                    .collect();
                let all = inside.iter().all(|i| bytes[*i] == 0);
                inside.iter().for_each(|i| zero[*i] = all);
            }
            let mut seen = vec![false; bytes.len()];
            let mut end = None;
            for run in found(&bytes, granularity, offset) {
                prop_assert!(run.start < run.end && end.is_none_or(|end| run.start > end));
                end = Some(run.end);
                for at in run {
                    seen[usize::try_from(at - offset).unwrap()] = true;
                }
            }
            prop_assert_eq!(seen, zero);
        }
    }
}
