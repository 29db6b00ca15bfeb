//! A resolver that calls a callback of the caller.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;

use diskimg::{BlockSource, Error, Reference, ReferenceRole, Resolver, Result};

use crate::callback_source::CallbackSource;
use crate::io::{Callbacks, IoRecord, UserPointer};

/// The layer below: ranges that the image does not store are read from it.
pub const DISKIMG_ROLE_BACKING: u32 = 1;
/// An external data file: it holds the data of the disk.
pub const DISKIMG_ROLE_DATA_FILE: u32 = 2;
/// An extent file: it holds a part of the disk.
pub const DISKIMG_ROLE_EXTENT: u32 = 3;
/// The parent of a differencing image.
pub const DISKIMG_ROLE_PARENT: u32 = 4;

/// Resolves a reference from an image to another file. `name` is the name stored in the image, made
/// relative to the directory of the outermost image. It is untrusted input: never open it unchecked. `role`
/// is one of DISKIMG_ROLE_*. Returns 0 and fills `*out`, whose `struct_size` is set and whose other members
/// are zero. Returns an errno, such as ENOENT or EACCES, to refuse. The library closes the file it
/// receives.
pub type ResolveFn = Option<
    unsafe extern "C" fn(user: *mut c_void, role: u32, name: *const c_char, out: *mut IoRecord) -> c_int,
>;

pub(crate) fn role_number(role: ReferenceRole) -> u32 {
    match role {
        ReferenceRole::Backing => DISKIMG_ROLE_BACKING,
        ReferenceRole::DataFile => DISKIMG_ROLE_DATA_FILE,
        ReferenceRole::Extent => DISKIMG_ROLE_EXTENT,
        ReferenceRole::Parent => DISKIMG_ROLE_PARENT,
        _ => 0,
    }
}

/// A resolver that calls the caller's function.
pub(crate) struct CallbackResolver {
    resolve: unsafe extern "C" fn(*mut c_void, u32, *const c_char, *mut IoRecord) -> c_int,
    user: UserPointer,
}

impl CallbackResolver {
    pub(crate) fn new(resolve: ResolveFn, user: *mut c_void) -> Option<Self> {
        resolve.map(|resolve| Self { resolve, user: UserPointer(user) })
    }
}

impl Resolver for CallbackResolver {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        let Ok(name) = CString::new(reference.name.clone()) else {
            return Err(reference.denied().because("its name contains a NUL"));
        };
        let mut io = empty();
        let role = role_number(reference.role);
        // SAFETY: called as the header documents; `name` and `io` are valid during the call.
        match unsafe { (self.resolve)(self.user.0, role, name.as_ptr(), &raw mut io) } {
            0 => {
                let source = Callbacks::new(IoRecord { struct_size: size_of::<IoRecord>(), ..io })
                    .and_then(CallbackSource::new);
                Ok(Arc::new(
                    source.map_err(|error| error.because("the callback resolve returned this file"))?,
                ))
            }
            code if code > 0 => {
                let refused = std::io::Error::from_raw_os_error(code);
                Err(reference.denied().because("the caller refused it").source(refused))
            }
            code => Err(Error::new(diskimg::ErrorKind::InvalidInput)
                .field("callback resolve")
                .found(code)
                .expected("0 or a positive errno")),
        }
    }
}

fn empty() -> IoRecord {
    IoRecord {
        struct_size: size_of::<IoRecord>(),
        flags: 0,
        reserved: 0,
        user: std::ptr::null_mut(),
        pread: None,
        size: None,
        next_data: None,
        pwrite: None,
        zero: None,
        set_size: None,
        flush: None,
        close: None,
    }
}
