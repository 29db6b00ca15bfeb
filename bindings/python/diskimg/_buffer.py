"""The memory of any object with the buffer protocol, without a copy.

`ctypes` gives an address only for writable objects. The functions of Python's C interface do it for all: bytes, mmap,
memoryview, array, numpy arrays.
"""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Borrowed"]

_WRITABLE = 1


class _PyBuffer(ctypes.Structure):
    """`Py_buffer`, part of Python's stable ABI."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_acquire = ctypes.pythonapi.PyObject_GetBuffer
_acquire.argtypes = [ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int]
_acquire.restype = ctypes.c_int
_release = ctypes.pythonapi.PyBuffer_Release
_release.argtypes = [ctypes.POINTER(_PyBuffer)]
_release.restype = None


class Borrowed:
    """A buffer that stays valid until `release`. Raises TypeError for an object without one, BufferError for one that
    is not contiguous, or not writable with `writable`.
    """

    def __init__(self, value: Buffer, *, writable: bool = False) -> None:
        self._view: Optional[_PyBuffer] = None
        view = _PyBuffer()
        _acquire(value, view, _WRITABLE if writable else 0)
        self._view = view
        self.address: Optional[int] = view.buf
        self.length: int = view.len

    def release(self) -> None:
        """Gives the buffer back. A second call does nothing."""
        view, self._view = self._view, None
        if view is not None:
            _release(view)

    def __enter__(self) -> Borrowed:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()
