//! Splitting a slice into arrays.

/// Splits `items` into arrays of `N`, in order. Items after the last whole array are left out.
///
/// ```
/// let table = [0, 0, 0, 1, 0, 0, 0, 2, 9];
/// let entries: Vec<u32> = diskimg_core::chunks(&table).map(|entry| u32::from_be_bytes(*entry)).collect();
/// assert_eq!(entries, [1, 2]);
/// ```
pub fn chunks<const N: usize, T>(items: &[T]) -> impl Iterator<Item = &[T; N]> {
    const { assert!(N > 0, "an array of a table has entries") };
    items.chunks_exact(N).filter_map(<[T]>::first_chunk)
}
