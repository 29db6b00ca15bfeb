//! Functions that differ between operating systems: plain calls without policy.
//!
//! `unix` and `windows` read, write and open files; `linux` and `plain` handle holes, allocation and copies inside the
//! kernel. Both modules of a pair have the same functions, so that no other module depends on the system.

// The lock structure of 32-bit MIPS has other fields.
#[cfg_attr(
    not(all(any(target_os = "linux", target_os = "android"), not(target_arch = "mips"))),
    path = "no_locks.rs"
)]
mod file_locks;
mod file_status;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod plain;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub(crate) use file_locks::{is_locked, lock, unlock};
pub(crate) use file_status::{FileStamp, HostFileKind, SeekResult};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{
    allocate, copy_range, next_data, next_hole, open_direct, punch_hole, reopen, set_direct,
    set_no_copy_on_write, shares_blocks, start_write_back, write_through_at, zero_range,
};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use plain::{
    allocate, copy_range, next_data, next_hole, open_direct, punch_hole, reopen, set_direct,
    set_no_copy_on_write, shares_blocks, start_write_back, write_through_at, zero_range,
};
#[cfg(unix)]
pub(crate) use unix::{
    is_block_device, is_socket, is_unsupported, kind, open_mode, open_read, open_write, read_at, stamp,
    write_at,
};
#[cfg(windows)]
pub(crate) use windows::{
    is_block_device, is_socket, is_unsupported, kind, open_mode, open_read, open_write, read_at, stamp,
    write_at,
};
