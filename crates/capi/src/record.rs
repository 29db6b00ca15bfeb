//! Structures that may grow: each begins with its size as its writer knew it.

use std::mem::MaybeUninit;

use diskimg::Result;

use crate::guard::invalid;

/// The largest `struct_size` that is believed. A bound of ours: far more than any structure here will have, and
/// little enough that a number which was never set is not taken for one.
const LARGEST: usize = 4096;

/// A structure that begins with its own size in bytes.
///
/// # Safety
/// `repr(C)`, its first member is `struct_size: usize`, it needs no drop, and all bytes zero are a valid value.
pub(crate) unsafe trait Record: Copy {}

/// What is at `record`: members its writer did not know are zero. NULL gives all of them zero.
///
/// # Safety
/// NULL, or readable for as many bytes as its first member says.
///
/// # Errors
/// A size that cannot be meant, and members we do not know that are not zero.
pub(crate) unsafe fn read<T: Record>(record: *const T) -> Result<T> {
    let mut ours = MaybeUninit::<T>::zeroed();
    if record.is_null() {
        // SAFETY: `Record` promises that zeros are a value.
        return Ok(unsafe { ours.assume_init() });
    }
    // SAFETY: not null, so readable for its first member at least.
    let size = unsafe { size_at(record) }?;
    let bytes = record.cast::<u8>();
    for at in size_of::<T>()..size {
        // SAFETY: within the size that the caller promises.
        if unsafe { bytes.add(at).read() } != 0 {
            return Err(
                invalid("struct_size", "zeros in members that this version does not know").found(size)
            );
        }
    }
    // SAFETY: both are valid for the smaller of the two sizes, and ours is not theirs.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes, ours.as_mut_ptr().cast::<u8>(), size.min(size_of::<T>()));
    }
    // SAFETY: `Record`: zeros are a value, and the caller promises that its own members hold valid ones.
    Ok(unsafe { ours.assume_init() })
}

/// Stores as much of `value` at `record` as fits there, zeros behind what we know; its `struct_size` stays.
///
/// # Safety
/// Readable and writable for as many bytes as its first member says; not NULL.
///
/// # Errors
/// A size that cannot be meant.
pub(crate) unsafe fn write<T: Record>(record: *mut T, value: &T) -> Result<()> {
    if record.is_null() {
        return Err(invalid("struct", "room for the result, and not NULL"));
    }
    // SAFETY: not null, so readable for its first member at least.
    let size = unsafe { size_at(record) }?;
    let (first, ours) = (size_of::<usize>(), size_of::<T>());
    let bytes = record.cast::<u8>();
    // SAFETY: `size_at` checked that `size` holds the first member; everything stays below `size` there, and
    // below `ours` here.
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

/// # Safety
/// Readable for its first member.
unsafe fn size_at<T: Record>(record: *const T) -> Result<usize> {
    // SAFETY: the caller's promise; unaligned, for a foreign language may have laid it anywhere.
    let size = unsafe { record.cast::<usize>().read_unaligned() };
    match size {
        size if (size_of::<usize>()..=LARGEST).contains(&size) => Ok(size),
        size => Err(invalid("struct_size", "sizeof the structure").found(size)),
    }
}
