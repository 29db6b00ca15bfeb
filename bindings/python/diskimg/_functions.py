"""The functions of libdiskimg, with their types."""

from __future__ import annotations

from ctypes import POINTER, c_bool, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Callable

from . import _structures as s
from ._library import library

# A pointer to a result that is a pointer: a handle, a string or an error.
OUT = POINTER(c_void_p)
STATUS = c_int32


def _declare(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    function = getattr(library, f"diskimg_{name}")
    function.restype, function.argtypes = result, arguments
    return function  # type: ignore[no-any-return]


version_string = _declare("version_string", c_char_p)
status_name = _declare("status_name", c_char_p, STATUS)
format_name = _declare("format_name", c_char_p, c_uint32)
format_by_name = _declare("format_by_name", c_uint32, c_char_p)
format_caps = _declare("format_caps", c_uint32, c_uint32)
setting_count = _declare("setting_count", c_size_t, c_uint32)
get_setting = _declare("get_setting", STATUS, c_uint32, c_size_t, POINTER(s.Setting), OUT)
limit_count = _declare("limit_count", c_size_t)
get_limit = _declare("get_limit", STATUS, c_size_t, POINTER(s.Limit), OUT)

error_status = _declare("error_status", STATUS, c_void_p)
error_os_code = _declare("error_os_code", c_int, c_void_p)
error_message = _declare("error_message", c_char_p, c_void_p)
error_hint = _declare("error_hint", c_char_p, c_void_p)
error_format = _declare("error_format", c_char_p, c_void_p)
error_limit = _declare("error_limit", c_char_p, c_void_p)
error_fault = _declare("error_fault", c_uint32, c_void_p)
error_offset = _declare("error_offset", c_bool, c_void_p, POINTER(c_uint64))
error_guest_offset = _declare("error_guest_offset", c_bool, c_void_p, POINTER(c_uint64))
error_free = _declare("error_free", None, c_void_p)
string_free = _declare("string_free", None, c_void_p)

open_path = _declare("open_path", STATUS, c_char_p, POINTER(s.OpenOptions), OUT, OUT)
open_fd = _declare("open_fd", STATUS, c_int, POINTER(s.OpenOptions), OUT, OUT)
open_memory = _declare("open_memory", STATUS, c_void_p, c_size_t, POINTER(s.OpenOptions), OUT, OUT)
open_io = _declare("open_io", STATUS, POINTER(s.Io), POINTER(s.OpenOptions), OUT, OUT)
close = _declare("close", None, c_void_p)
size = _declare("size", c_uint64, c_void_p)
get_info = _declare("get_info", STATUS, c_void_p, POINTER(s.Info), OUT)
info_json = _declare("info_json", STATUS, c_void_p, c_char_p, OUT, OUT)
reference_count = _declare("reference_count", c_size_t, c_void_p)
get_reference = _declare("get_reference", STATUS, c_void_p, c_size_t, POINTER(s.Reference), OUT)
snapshot_count = _declare("snapshot_count", c_size_t, c_void_p)
get_snapshot = _declare("get_snapshot", STATUS, c_void_p, c_size_t, POINTER(s.Snapshot), OUT)
finding_count = _declare("finding_count", c_size_t, c_void_p)
get_finding = _declare("get_finding", STATUS, c_void_p, c_size_t, POINTER(s.Finding), OUT)
pread = _declare("pread", STATUS, c_void_p, c_void_p, c_size_t, c_uint64, POINTER(c_size_t), OUT)
extents = _declare(
    "extents", STATUS, c_void_p, c_uint64, c_uint64, POINTER(s.Extent), c_size_t, POINTER(c_size_t), OUT
)
check = _declare("check", STATUS, c_void_p, POINTER(s.CheckOptions), POINTER(s.CheckResult), OUT)
compare = _declare(
    "compare", STATUS, c_void_p, c_void_p, POINTER(s.CompareOptions), POINTER(c_bool), POINTER(c_uint64), OUT
)
measure = _declare(
    "measure", STATUS, c_void_p, POINTER(s.ConvertOptions), POINTER(c_uint64), POINTER(c_uint64), OUT
)
convert = _declare(
    "convert", STATUS, c_void_p, POINTER(s.Target), POINTER(s.ConvertOptions), POINTER(s.ConvertResult), OUT
)
convert_stream = _declare(
    "convert_stream",
    STATUS,
    POINTER(s.Stream),
    POINTER(s.OpenOptions),
    POINTER(s.Target),
    POINTER(s.ConvertOptions),
    POINTER(s.ConvertResult),
    OUT,
)
create = _declare("create", STATUS, POINTER(s.Target), c_uint64, POINTER(s.ConvertOptions), OUT, OUT)
write = _declare("write", STATUS, c_void_p, c_void_p, c_size_t, c_uint64, OUT)
write_zeroes = _declare("write_zeroes", STATUS, c_void_p, c_uint64, c_uint64, OUT)
finish = _declare("finish", STATUS, c_void_p, OUT)
writer_free = _declare("writer_free", None, c_void_p)

probe_new = _declare("probe_new", STATUS, POINTER(s.OpenOptions), OUT, OUT)
probe_push = _declare("probe_push", STATUS, c_void_p, c_void_p, c_size_t, POINTER(c_uint32), OUT)
probe_info = _declare("probe_info", STATUS, c_void_p, POINTER(s.Info), OUT)
probe_info_json = _declare("probe_info_json", STATUS, c_void_p, c_char_p, OUT, OUT)
probe_finish = _declare("probe_finish", STATUS, c_void_p, POINTER(s.Info), OUT)
probe_free = _declare("probe_free", None, c_void_p)

cancel_new = _declare("cancel_new", c_void_p)
cancel_trigger = _declare("cancel_trigger", None, c_void_p)
cancel_free = _declare("cancel_free", None, c_void_p)
