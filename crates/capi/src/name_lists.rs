//! The settings of formats and the limits, by name.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use diskimg::{LimitKind, Limits, Spool, drivers, settings};

use crate::argument::invalid;
use crate::error::ErrorReport;
use crate::format::{FormatNumber, number};
use crate::guard::call;
use crate::sized_record::{self, SizedRecord};
use crate::status::StatusCode;
use crate::strings::c_string;

/// A setting of a format, for `settings` of diskimg_convert_options. The strings are static.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SettingRecord {
    /// sizeof(diskimg_setting).
    pub struct_size: usize,
    /// The name.
    pub name: *const c_char,
    /// The values that it accepts, and the default, in words.
    pub values: *const c_char,
    /// A description of one line.
    pub help: *const c_char,
}

// SAFETY: repr(C), begins with its size, and zeros are null pointers.
unsafe impl SizedRecord for SettingRecord {}

/// A limit, for `limits` of diskimg_open_options. The strings are static.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LimitRecord {
    /// sizeof(diskimg_limit).
    pub struct_size: usize,
    /// The name.
    pub name: *const c_char,
    /// The value that applies unless the caller sets another.
    pub default_value: u64,
    /// A description of one line, with the unit.
    pub help: *const c_char,
}

// SAFETY: repr(C), begins with its size, and zeros are numbers and null pointers.
unsafe impl SizedRecord for LimitRecord {}

struct SettingTexts {
    format: FormatNumber,
    name: CString,
    values: CString,
    help: CString,
}

struct LimitTexts {
    name: CString,
    default_value: u64,
    help: CString,
}

/// The settings of all formats as C strings, built at the first use.
fn all_settings() -> &'static [SettingTexts] {
    static ALL: OnceLock<Vec<SettingTexts>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of_format = |driver: &&'static diskimg::Driver| {
            let format = number(driver.format.name());
            settings(driver).map(move |setting| SettingTexts {
                format,
                name: c_string(setting.name),
                values: c_string(setting.values),
                help: c_string(setting.help),
            })
        };
        drivers().iter().flat_map(of_format).collect()
    })
}

fn of_format(format: FormatNumber) -> impl Iterator<Item = &'static SettingTexts> {
    all_settings().iter().filter(move |setting| setting.format == format)
}

/// The limits as C strings, built at the first use.
fn all_limits() -> &'static [LimitTexts] {
    static ALL: OnceLock<Vec<LimitTexts>> = OnceLock::new();
    ALL.get_or_init(|| {
        let limits = Limits::default();
        let temporary = match Spool::default() {
            Spool::Temporary { limit, .. } => limit,
            _ => 0,
        };
        let texts = |kind: LimitKind| LimitTexts {
            name: c_string(kind.name()),
            default_value: limits.value(kind).unwrap_or(temporary),
            help: c_string(kind.help()),
        };
        LimitKind::all().map(texts).collect()
    })
}

/// Returns the number of settings of a format; 0 for one that cannot be written and for an unknown number.
/// Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_setting_count(format: FormatNumber) -> usize {
    of_format(format).count()
}

/// Fills `*out` with the setting of `format` at `index`, which counts from 0. The caller must set its
/// `struct_size`. Any thread may call it.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_setting(
    format: FormatNumber,
    index: usize,
    out: *mut SettingRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `call` and `write`.
    unsafe {
        call(err, || {
            let setting = of_format(format).nth(index).ok_or_else(|| {
                invalid("index", format_args!("less than {}", of_format(format).count())).found(index)
            })?;
            let record = SettingRecord {
                struct_size: size_of::<SettingRecord>(),
                name: setting.name.as_ptr(),
                values: setting.values.as_ptr(),
                help: setting.help.as_ptr(),
            };
            sized_record::write(out, &record)
        })
    }
}

/// Returns the number of limits. Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn diskimg_limit_count() -> usize {
    all_limits().len()
}

/// Fills `*out` with the limit at `index`, which counts from 0. The caller must set its `struct_size`. Any
/// thread may call it.
///
/// Errors: DISKIMG_ERR_INVALID_ARGUMENT, DISKIMG_ERR_INTERNAL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn diskimg_get_limit(
    index: usize,
    out: *mut LimitRecord,
    err: *mut *mut ErrorReport,
) -> StatusCode {
    // SAFETY: the header requires NULL or pointers valid for `call` and `write`.
    unsafe {
        call(err, || {
            let limit = all_limits().get(index).ok_or_else(|| {
                invalid("index", format_args!("less than {}", all_limits().len())).found(index)
            })?;
            let record = LimitRecord {
                struct_size: size_of::<LimitRecord>(),
                name: limit.name.as_ptr(),
                default_value: limit.default_value,
                help: limit.help.as_ptr(),
            };
            sized_record::write(out, &record)
        })
    }
}
