"""Virtual-disk images in Python with ctypes, without a compiler.

    with diskimg.open("disk.qcow2") as image:
        print(image.format, image.size)
        image.pread(512, 0)
        image.convert("disk.raw")

DISKIMG_LIBRARY is the path of the shared library, if the system does not find it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import io
import json
import os
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_bool, c_char, c_char_p, c_int, c_int32, c_size_t
from ctypes import c_uint32, c_uint64, c_void_p, sizeof
from typing import Any, Callable, Iterator, NamedTuple, Optional, TypeVar, Union

__all__ = ["Cancelled", "Error", "Extent", "Image", "Probe", "UnknownFormat", "open", "open_memory", "version"]

_SUFFIX = "0.1"
_lib = ctypes.CDLL(
    os.environ.get("DISKIMG_LIBRARY") or ctypes.util.find_library("diskimg") or f"libdiskimg.so.{_SUFFIX}"
)

_FORMATS = {"raw": 1, "iso": 1, "qcow2": 2, "vmdk": 3, "vdi": 4}
_WRAPPERS = {1: "gzip", 2: "xz", 3: "zstd"}
_CANCELLED, _UNKNOWN_FORMAT = 3, 4
_ALLOW_RAW, _REFERENCES, _INFO_ONLY = 1 << 0, 1 << 2, 1 << 4
_OVERWRITE, _COMPRESS = 1 << 0, 1 << 1
_EXTENT_DATA, _EXTENT_ZERO, _EXTENT_COMPRESSED, _EXTENT_HAS_OFFSET = 1, 2, 8, 16
_SIZE_KNOWN = 1 << 8

_Self = TypeVar("_Self", bound="_Handle")
_PROGRESS = CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)


class _OpenOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("flags", c_uint32),
        ("format", c_uint32),
        ("max_virtual_size", c_uint64),
        ("max_cache", c_uint64),
        ("max_decoder_memory", c_uint64),
        ("max_temporary", c_uint64),
        ("temporary_directory", c_char_p),
        ("snapshot", c_char_p),
    ]


class _Target(Structure):
    _fields_ = [("struct_size", c_size_t), ("path", c_char_p)]


class _ConvertOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("flags", c_uint32),
        ("format", c_uint32),
        ("threads", c_uint32),
        ("level", c_int32),
        ("preallocation", c_uint32),
        ("reserved", c_uint32),
        ("max_memory", c_uint64),
        ("sparse_size", c_uint64),
        ("settings", c_char_p),
        ("progress", _PROGRESS),
        ("progress_user", c_void_p),
        ("cancel", c_void_p),
    ]


class _Info(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("format", c_uint32),
        ("wrapper", c_uint32),
        ("flags", c_uint32),
        ("version", c_uint32),
        ("virtual_size", c_uint64),
    ]


class _Extent(Structure):
    _fields_ = [
        ("start", c_uint64),
        ("length", c_uint64),
        ("file_offset", c_uint64),
        ("flags", c_uint32),
        ("depth", c_uint32),
    ]


def _declare(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, arguments
    return function


_OUT = POINTER(c_void_p)
_version = _declare("diskimg_version_string", c_char_p)
_format_name = _declare("diskimg_format_name", c_char_p, c_uint32)
_error_os_code = _declare("diskimg_error_os_code", c_int, c_void_p)
_error_message = _declare("diskimg_error_message", c_char_p, c_void_p)
_error_offset = _declare("diskimg_error_offset", c_bool, c_void_p, POINTER(c_uint64))
_error_free = _declare("diskimg_error_free", None, c_void_p)
_string_free = _declare("diskimg_string_free", None, c_void_p)
_open_path = _declare("diskimg_open_path", c_int32, c_char_p, POINTER(_OpenOptions), _OUT, _OUT)
_open_memory = _declare("diskimg_open_memory", c_int32, c_void_p, c_size_t, POINTER(_OpenOptions), _OUT, _OUT)
_close = _declare("diskimg_close", None, c_void_p)
_size = _declare("diskimg_size", c_uint64, c_void_p)
_get_info = _declare("diskimg_get_info", c_int32, c_void_p, POINTER(_Info), _OUT)
_info_json = _declare("diskimg_info_json", c_int32, c_void_p, c_char_p, _OUT, _OUT)
_pread = _declare("diskimg_pread", c_int32, c_void_p, c_void_p, c_size_t, c_uint64, POINTER(c_size_t), _OUT)
_extents = _declare(
    "diskimg_extents", c_int32, c_void_p, c_uint64, c_uint64, POINTER(_Extent), c_size_t, POINTER(c_size_t), _OUT
)
_convert = _declare(
    "diskimg_convert", c_int32, c_void_p, POINTER(_Target), POINTER(_ConvertOptions), c_void_p, _OUT
)
_compare = _declare(
    "diskimg_compare", c_int32, c_void_p, c_void_p, c_void_p, POINTER(c_bool), POINTER(c_uint64), _OUT
)
_probe_new = _declare("diskimg_probe_new", c_int32, POINTER(_OpenOptions), _OUT, _OUT)
_probe_push = _declare("diskimg_probe_push", c_int32, c_void_p, c_char_p, c_size_t, POINTER(c_uint32), _OUT)
_probe_finish = _declare("diskimg_probe_finish", c_int32, c_void_p, POINTER(_Info), _OUT)
_probe_info_json = _declare("diskimg_probe_info_json", c_int32, c_void_p, c_char_p, _OUT, _OUT)
_probe_free = _declare("diskimg_probe_free", None, c_void_p)


class Error(OSError):
    """An error with `status`, `errno` (or None), the byte `offset` in the image (or None), and `message`."""

    def __init__(self, status: int, code: int, offset: Optional[int], message: str) -> None:
        super().__init__(code or None, message)
        self.status, self.offset, self.message = status, offset, message

    def __str__(self) -> str:
        return self.message


class UnknownFormat(Error):
    """No format is recognised, and raw is not allowed."""


class Cancelled(Error):
    """A progress callback cancelled the call."""


class Extent(NamedTuple):
    """An extent of guest bytes. `offset` is their offset in their file if they are stored verbatim, or None."""

    start: int
    length: int
    data: bool
    zero: bool
    compressed: bool
    depth: int
    offset: Optional[int]


def version() -> str:
    """Returns the version of the library at run time."""
    return _version().decode()


def _check(status: int, error: c_void_p) -> None:
    if status == 0:
        return
    kind = {_CANCELLED: Cancelled, _UNKNOWN_FORMAT: UnknownFormat}.get(status, Error)
    offset = c_uint64()
    known = _error_offset(error, byref(offset))
    message = _error_message(error).decode()
    failure = kind(status, _error_os_code(error), offset.value if known else None, message)
    _error_free(error)
    raise failure


def _call(function: Callable[..., int], *arguments: Any) -> None:
    error = c_void_p()
    _check(function(*arguments, byref(error)), error)


def _json(function: Callable[..., int], handle: Any) -> dict[str, Any]:
    text = c_void_p()
    _call(function, handle, None, byref(text))
    try:
        return json.loads(ctypes.string_at(text.value or 0))
    finally:
        _string_free(text)


def _options(format: Optional[str], allow_raw: bool, references: bool, snapshot: Optional[str], info_only: bool) -> Any:
    options = _OpenOptions(struct_size=sizeof(_OpenOptions), format=_number(format))
    options.flags = allow_raw * _ALLOW_RAW | references * _REFERENCES | info_only * _INFO_ONLY
    options.snapshot = snapshot.encode() if snapshot is not None else None
    return options


def _number(format: Optional[str]) -> int:
    if format is None:
        return 0
    if format not in _FORMATS:
        raise ValueError(f"unknown format {format!r}")
    return _FORMATS[format]


class _Handle:
    """Closes itself at the end of a `with` statement, or when it is no longer used."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        raise NotImplementedError


class Image(_Handle):
    """An open image. Several threads may read it. Close it, or use it in a `with` statement."""

    def __init__(self, handle: c_void_p, keep: Any = None) -> None:
        self._handle: Optional[c_void_p] = handle
        self._keep = keep

    def close(self) -> None:
        """Closes the image. A second call does nothing."""
        handle, self._handle = getattr(self, "_handle", None), None
        _close(handle)
        self._keep = None

    def _open(self) -> c_void_p:
        if self._handle is None:
            raise ValueError("the image is closed")
        return self._handle

    @property
    def size(self) -> int:
        """The size of the disk in bytes."""
        return _size(self._open())

    @property
    def format(self) -> str:
        """The format, such as "raw" or "qcow2"."""
        info = _Info(struct_size=sizeof(_Info))
        _call(_get_info, self._open(), byref(info))
        return _format_name(info.format).decode()

    def info(self) -> dict[str, Any]:
        """Returns the description of the image in the format of `qemu-img info --output=json`."""
        return _json(_info_json, self._open())

    def readinto(self, buffer: Any, offset: int) -> int:
        """Reads at an offset into a writable buffer without a copy. Returns the number of bytes, fewer at the end."""
        view = memoryview(buffer).cast("B")
        if view.nbytes == 0:
            return 0
        room = (c_char * view.nbytes).from_buffer(view)
        read = c_size_t()
        _call(_pread, self._open(), room, view.nbytes, offset, byref(read))
        return read.value

    def pread(self, length: int, offset: int) -> bytes:
        """Returns the bytes at an offset, fewer at the end of the disk."""
        buffer = bytearray(max(0, min(length, self.size - offset)))
        return bytes(memoryview(buffer)[: self.readinto(buffer, offset)])

    def extents(self, offset: int = 0, length: Optional[int] = None) -> Iterator[Extent]:
        """Yields the extents of a range in ascending order."""
        end = self.size if length is None else offset + length
        extents, count = (_Extent * 256)(), c_size_t()
        while offset < end:
            _call(_extents, self._open(), offset, end - offset, extents, len(extents), byref(count))
            for extent in extents[: count.value]:
                where = extent.file_offset if extent.flags & _EXTENT_HAS_OFFSET else None
                bits = (bool(extent.flags & bit) for bit in (_EXTENT_DATA, _EXTENT_ZERO, _EXTENT_COMPRESSED))
                yield Extent(extent.start, extent.length, *bits, extent.depth, where)
                offset = extent.start + extent.length

    def file(self) -> io.BufferedReader:
        """Returns the disk as a file object that can read and seek."""
        return io.BufferedReader(_Disk(self), 1 << 20)

    def convert(
        self,
        path: Union[str, os.PathLike[str]],
        format: str = "raw",
        *,
        compress: bool = False,
        overwrite: bool = False,
        settings: Optional[str] = None,
        progress: Optional[Callable[[int, int], bool]] = None,
    ) -> None:
        """Converts the disk to a file. If `progress(done, total)` returns True, the call raises Cancelled."""
        raised: list[BaseException] = []

        def report(_: Any, done: int, total: int) -> int:
            try:
                return 1 if progress is not None and progress(done, total) else 0
            except BaseException as exception:  # noqa: BLE001: raised again below
                raised.append(exception)
                return 1

        options = _ConvertOptions(struct_size=sizeof(_ConvertOptions), format=_number(format))
        options.flags = compress * _COMPRESS | overwrite * _OVERWRITE
        options.settings = settings.encode() if settings is not None else None
        if progress is not None:
            options.progress = _PROGRESS(report)
        try:
            target = _Target(struct_size=sizeof(_Target), path=os.fsencode(path))
            _call(_convert, self._open(), byref(target), byref(options), None)
        except Cancelled:
            if raised:
                raise raised[0]
            raise

    def same_as(self, other: Image) -> bool:
        """Returns True if both disks have the same content."""
        same, first = c_bool(), c_uint64()
        _call(_compare, self._open(), other._open(), None, byref(same), byref(first))
        return same.value


class _Disk(io.RawIOBase):
    def __init__(self, image: Image) -> None:
        self._image, self._at = image, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._image.size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        read = self._image.readinto(buffer, self._at)
        self._at += read
        return read


class Probe(_Handle):
    """Detects the format of a stream that is pushed in chunks."""

    def __init__(self, *, format: Optional[str] = None, allow_raw: bool = False) -> None:
        options = _options(format, allow_raw, False, None, False)
        self._handle: Optional[c_void_p] = c_void_p()
        _call(_probe_new, byref(options), byref(self._handle))

    def close(self) -> None:
        """Frees the probe. A second call does nothing."""
        handle, self._handle = getattr(self, "_handle", None), None
        _probe_free(handle)

    def push(self, chunk: bytes) -> bool:
        """Pushes the next bytes. Returns True once further bytes cannot change the result."""
        state = c_uint32()
        _call(_probe_push, self._handle, chunk, len(chunk), byref(state))
        return state.value == 2

    def info(self) -> dict[str, Any]:
        """Returns the description known so far, in the format of `Image.info`. It is complete after `finish`."""
        return _json(_probe_info_json, self._handle)

    def finish(self) -> tuple[str, Optional[str], Optional[int]]:
        """Ends the stream. Returns format, compression (or None), and virtual size (None if unknown)."""
        info = _Info(struct_size=sizeof(_Info))
        _call(_probe_finish, self._handle, byref(info))
        size = info.virtual_size if info.flags & _SIZE_KNOWN else None
        return _format_name(info.format).decode(), _WRAPPERS.get(info.wrapper), size


def open(
    path: Union[str, os.PathLike[str]],
    *,
    format: Optional[str] = None,
    allow_raw: bool = False,
    references: bool = False,
    snapshot: Optional[str] = None,
    info_only: bool = False,
) -> Image:
    """Opens an image. With `references`, backing files in its directory are opened too."""
    options = _options(format, allow_raw, references, snapshot, info_only)
    handle = c_void_p()
    _call(_open_path, os.fsencode(path), byref(options), byref(handle))
    return Image(handle)


def open_memory(data: bytes, *, format: Optional[str] = None, allow_raw: bool = False) -> Image:
    """Opens an image in memory. The bytes are referenced, not copied."""
    options = _options(format, allow_raw, False, None, False)
    handle = c_void_p()
    _call(_open_memory, data, len(data), byref(options), byref(handle))
    return Image(handle, keep=data)
