//! Asking the caller about references.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;

use diskimg::{BlockSource, Error, Reference, ReferenceRole, Resolver, Result};

use crate::io::{Callbacks, Io, User};
use crate::source::CallbackSource;

/// The layer below: what is not stored in the image is read there.
pub const DISKIMG_ROLE_BACKING: u32 = 1;
/// The bytes of the disk themselves: an external data file.
pub const DISKIMG_ROLE_DATA_FILE: u32 = 2;
/// One of the files that a disk is put together of.
pub const DISKIMG_ROLE_EXTENT: u32 = 3;
/// The parent of a differencing image.
pub const DISKIMG_ROLE_PARENT: u32 = 4;

/// Answers a reference: a name inside an image that points outside it, as the image has it, but relative to the
/// directory of the outermost image. A stranger's bytes: never open it as it is. Returns 0 and fills `*out`, of
/// which `struct_size` is set and all else zero; or an errno, such as ENOENT or EACCES, to refuse. `role` is one
/// of DISKIMG_ROLE_*. The library closes what it got.
pub type ResolveFn =
    Option<unsafe extern "C" fn(user: *mut c_void, role: u32, name: *const c_char, out: *mut Io) -> c_int>;

pub(crate) fn role_number(role: ReferenceRole) -> u32 {
    match role {
        ReferenceRole::Backing => DISKIMG_ROLE_BACKING,
        ReferenceRole::DataFile => DISKIMG_ROLE_DATA_FILE,
        ReferenceRole::Extent => DISKIMG_ROLE_EXTENT,
        ReferenceRole::Parent => DISKIMG_ROLE_PARENT,
        _ => 0,
    }
}

/// The caller, asked about references.
pub(crate) struct CallbackResolver {
    resolve: unsafe extern "C" fn(*mut c_void, u32, *const c_char, *mut Io) -> c_int,
    user: User,
}

impl CallbackResolver {
    pub(crate) fn new(resolve: ResolveFn, user: *mut c_void) -> Option<Self> {
        resolve.map(|resolve| Self { resolve, user: User(user) })
    }
}

impl Resolver for CallbackResolver {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        let Ok(name) = CString::new(reference.name.clone()) else {
            return Err(reference.denied().because("its name holds a NUL"));
        };
        let mut io = empty();
        let role = role_number(reference.role);
        // SAFETY: a function of the caller's, called as the header says; name and `io` live through the call.
        match unsafe { (self.resolve)(self.user.0, role, name.as_ptr(), &raw mut io) } {
            0 => {
                let source =
                    Callbacks::new(Io { struct_size: size_of::<Io>(), ..io }).and_then(CallbackSource::new);
                Ok(Arc::new(source.map_err(|error| error.because("the callback resolve answered so"))?))
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

fn empty() -> Io {
    Io {
        struct_size: size_of::<Io>(),
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
