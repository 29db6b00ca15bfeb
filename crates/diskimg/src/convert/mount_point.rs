//! Single files that are mounted, as containers mount them.

use std::path::Path;

/// Returns true if a file is mounted at this path. Such a file cannot be replaced: a rename fails with EBUSY.
///
/// Source: statx(2), `STATX_MNT_ID`. Older kernels than 5.8 do not report it, and no file counts as mounted then.
#[cfg(target_os = "linux")]
pub(super) fn is_mounted_file(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let mount = |path: &Path| {
        let there = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
        (there.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(there.stx_mnt_id)
    };
    // The file may be at the end of a symbolic link.
    let Ok(file) = path.canonicalize() else { return false };
    let Some(directory) = file.parent().filter(|_| file.is_file()) else { return false };
    matches!((mount(&file), mount(directory)), (Some(of_file), Some(around)) if of_file != around)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_mounted_file(_: &Path) -> bool {
    false
}
