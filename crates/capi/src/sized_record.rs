//! Structures that may grow: each begins with its size as its user knows it.

use std::mem::MaybeUninit;

use diskimg::Result;

use crate::argument::invalid;

/// The largest `struct_size` that is accepted. Our limit: far above any structure here, and small enough to
/// reject most values of a member that was never set.
const LARGEST: usize = 4096;

/// A structure that begins with its own size in bytes.
///
/// # Safety
/// `repr(C)`, its first member is `struct_size: usize`, it needs no drop, and all bytes zero are a valid
/// value.
pub(crate) unsafe trait SizedRecord: Copy {}

/// Reads the structure at `record`. Members beyond its size are zero. NULL gives a structure of zeros.
///
/// # Safety
/// NULL, or readable for as many bytes as its first member says.
///
/// # Errors
/// Rejects an invalid size, and members unknown to this version that are not zero.
pub(crate) unsafe fn read<T: SizedRecord>(record: *const T) -> Result<T> {
    let mut ours = MaybeUninit::<T>::zeroed();
    if record.is_null() {
        // SAFETY: `SizedRecord` guarantees that zeros are a value.
        return Ok(unsafe { ours.assume_init() });
    }
    // SAFETY: not null, so its first member is readable.
    let size = unsafe { size_at(record) }?;
    let bytes = record.cast::<u8>();
    for at in size_of::<T>()..size {
        // SAFETY: within the size that the caller guarantees.
        if unsafe { bytes.add(at).read() } != 0 {
            return Err(
                invalid("struct_size", "zeros in members that this version does not know").found(size)
            );
        }
    }
    // SAFETY: both are valid for the smaller of the two sizes, and they do not overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes, ours.as_mut_ptr().cast::<u8>(), size.min(size_of::<T>()));
    }
    // SAFETY: zeros are a value, and the caller guarantees valid members.
    Ok(unsafe { ours.assume_init() })
}

/// Stores as much of `value` at `record` as its size allows, and zeros in members unknown to this version.
/// Its `struct_size` does not change.
///
/// # Safety
/// NULL, or readable and writable for as many bytes as its first member says.
///
/// # Errors
/// Rejects NULL and an invalid size.
pub(crate) unsafe fn write<T: SizedRecord>(record: *mut T, value: &T) -> Result<()> {
    if record.is_null() {
        return Err(invalid("struct", "a pointer to the result, not NULL"));
    }
    // SAFETY: not null, so its first member is readable.
    let size = unsafe { size_at(record) }?;
    let (first, ours) = (size_of::<usize>(), size_of::<T>());
    let bytes = record.cast::<u8>();
    // SAFETY: `size_at` checked that `size` holds the first member. All writes stay below `size`, all reads below
    // `ours`.
    unsafe {
        bytes.add(first).write_bytes(0, size.saturating_sub(first));
        let len = size.min(ours).saturating_sub(first);
        std::ptr::copy_nonoverlapping(
            std::ptr::from_ref(value).cast::<u8>().add(first),
            bytes.add(first),
            len,
        );
    }
    Ok(())
}

/// Stores `value` as [`write`] does; does nothing for NULL.
///
/// # Safety
/// As [`write`].
///
/// # Errors
/// Rejects an invalid size.
pub(crate) unsafe fn write_optional<T: SizedRecord>(record: *mut T, value: &T) -> Result<()> {
    match record.is_null() {
        true => Ok(()),
        // SAFETY: guaranteed by the caller.
        false => unsafe { write(record, value) },
    }
}

/// # Safety
/// Readable for its first member.
unsafe fn size_at<T: SizedRecord>(record: *const T) -> Result<usize> {
    // SAFETY: guaranteed by the caller; unaligned, because another language may have placed it anywhere.
    let size = unsafe { record.cast::<usize>().read_unaligned() };
    match size {
        size if (size_of::<usize>()..=LARGEST).contains(&size) => Ok(size),
        size => Err(invalid("struct_size", "sizeof the structure").found(size)),
    }
}
