"""The exceptions of libdiskimg: one class for each status, all of them OSError.

An error with an errno is also an instance of the builtin class for that errno, so `except FileNotFoundError` works as
with open().
"""

from __future__ import annotations

import errno as numbers
import functools
from ctypes import byref, c_uint64, c_void_p
from typing import Any, Callable, Optional, Union

from . import _functions as c
from ._constants import FAULTS, STATUSES

__all__ = [
    "AmbiguousError",
    "CancelledError",
    "CorruptError",
    "EncryptedError",
    "Error",
    "ExistsError",
    "InUseError",
    "InternalError",
    "InvalidArgumentError",
    "IoError",
    "LimitError",
    "NeedsSeekError",
    "OutOfBoundsError",
    "ReferenceDeniedError",
    "TruncatedError",
    "UnknownFormatError",
    "UnsupportedError",
    "call",
]


class Error(OSError):
    """An error of libdiskimg. Each status has a subclass."""

    status: int = 0
    """The number of the status, one of DISKIMG_ERR_*."""
    message: str = ""
    """A line for people: format, field, byte offset, the value found and the value expected."""
    hint: Optional[str] = None
    """A sentence that suggests how the caller can avoid the error."""
    offset: Optional[int] = None
    """The byte offset in the image file."""
    guest_offset: Optional[int] = None
    """The byte offset in the guest's disk."""
    format: Optional[str] = None
    """The format that was recognised, such as "qcow2"; also an unsupported one, such as "vhdx"."""
    limit: Optional[str] = None
    """The name of the limit that was met, as in the option `limits`."""
    fault: str = "unknown"
    """The side at fault: "image", "caller", "machine" or "unknown"."""

    @property
    def status_name(self) -> str:
        """The name of the status, such as "corrupt"."""
        name: bytes = c.status_name(self.status)
        return name.decode()

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # The class that a pickle names is the one of the status: the one with the builtin is made again.
        return _restore, (self.status, self.errno, self.message, self.__dict__, self.filename)


class InvalidArgumentError(Error, ValueError):
    """An argument or an option is invalid."""


class IoError(Error):
    """The system failed. `errno` has its number."""


class CancelledError(Error):
    """A `Cancel` stopped the call."""


class UnknownFormatError(Error):
    """No format is recognised, and raw was not requested."""


class UnsupportedError(Error):
    """The image is valid, but its version, feature or format is not supported."""


class CorruptError(Error):
    """The image contradicts itself or its specification."""


class TruncatedError(Error):
    """The image ends before data that it refers to."""


class LimitError(Error):
    """A limit of the caller or of the library is exceeded. `limit` has its name."""


class ReferenceDeniedError(Error):
    """The image refers to another file, and access to that file is refused."""


class EncryptedError(Error):
    """The content is encrypted."""


class AmbiguousError(Error):
    """The bytes are valid as more than one format."""


class OutOfBoundsError(Error):
    """The range extends past the end of the disk."""


class NeedsSeekError(Error):
    """The source or target is a stream, and the operation must seek back."""


class ExistsError(Error, FileExistsError):
    """The target exists, and `overwrite` is not set."""


class InUseError(Error):
    """Another process uses the file."""


class InternalError(Error):
    """A bug in the library was caught. Close the handle."""


_CLASSES: dict[int, type[Error]] = {
    STATUSES["invalid_argument"]: InvalidArgumentError,
    STATUSES["io"]: IoError,
    STATUSES["cancelled"]: CancelledError,
    STATUSES["unknown_format"]: UnknownFormatError,
    STATUSES["unsupported"]: UnsupportedError,
    STATUSES["corrupt"]: CorruptError,
    STATUSES["truncated"]: TruncatedError,
    STATUSES["limit"]: LimitError,
    STATUSES["reference"]: ReferenceDeniedError,
    STATUSES["encrypted"]: EncryptedError,
    STATUSES["ambiguous"]: AmbiguousError,
    STATUSES["out_of_bounds"]: OutOfBoundsError,
    STATUSES["needs_seek"]: NeedsSeekError,
    STATUSES["exists"]: ExistsError,
    STATUSES["in_use"]: InUseError,
    STATUSES["internal"]: InternalError,
}


@functools.lru_cache(maxsize=None)
def _class_of(status: int, code: Optional[int]) -> type[Error]:
    """Returns the class of a status that is also the builtin class of an errno."""
    kind = _CLASSES.get(status, Error)
    builtin = type(OSError(code, "")) if code else OSError
    if issubclass(kind, builtin):
        return kind
    return type(kind.__name__, (kind, builtin), {"__doc__": kind.__doc__, "__module__": kind.__module__})


def _restore(
    status: int, code: Optional[int], message: str, details: dict[str, Any], filename: Union[str, bytes, None]
) -> Error:
    kind = _class_of(status, code)
    error = kind(code, message) if code else kind(message)
    error.__dict__.update(details)
    error.status, error.message = status, message
    if filename is not None:
        error.filename = filename
    return error


def _text(value: Optional[bytes]) -> Optional[str]:
    return value.decode() if value is not None else None


def _number(function: Callable[..., Any], error: c_void_p) -> Optional[int]:
    value = c_uint64()
    return value.value if function(error, byref(value)) else None


def _exception(status: int, error: c_void_p) -> Error:
    """Returns the exception for an error of the library, and frees the error."""
    try:
        code = c.error_os_code(error) or (numbers.EEXIST if status == STATUSES["exists"] else None)
        message: bytes = c.error_message(error)
        details = {
            "hint": _text(c.error_hint(error)),
            "offset": _number(c.error_offset, error),
            "guest_offset": _number(c.error_guest_offset, error),
            "format": _text(c.error_format(error)),
            "limit": _text(c.error_limit(error)),
            "fault": FAULTS.get(c.error_fault(error), "unknown"),
        }
    finally:
        c.error_free(error)
    return _restore(status, code, message.decode(), details, None)


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function whose last parameter receives an error. Raises that error."""
    error = c_void_p()
    status = function(*arguments, byref(error))
    if status:
        raise _exception(status, error)
