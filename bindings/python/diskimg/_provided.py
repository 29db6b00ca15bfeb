"""Files that the caller provides, as C callbacks."""

from __future__ import annotations

import contextlib
import ctypes
import errno
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._buffer import Borrowed
from ._raised import Raised
from ._registry import find, register
from ._structures import CLOSE, FLUSH, NEXT_DATA, READ_AT, SET_SIZE, SIZE, WRITE_AT, ZERO, Io, sized
from .files import RandomReader, RandomWriter, length_of

if TYPE_CHECKING:
    from ctypes import _Pointer

__all__ = ["copy_into", "fill_reader", "forget", "reader_io", "writer_io"]


class _Provided:
    """A file of the caller, and the place for its exceptions. The library reports its last use by `close`."""

    def __init__(self, file: Any, raised: Raised, *, owned: bool = False) -> None:
        self.file, self._raised, self._owned = file, raised, owned

    def close(self) -> None:
        """Closes the file if nobody else can."""
        if self._owned and hasattr(self.file, "close"):
            self.attempt(self.file.close)

    def attempt(self, action: Callable[[], None]) -> int:
        """Runs an action. Its exception is kept until the call ends; the library receives an errno."""
        try:
            action()
        except BaseException as exception:
            self._raised.add(exception)
            return exception.errno if isinstance(exception, OSError) and exception.errno else errno.EIO
        return 0


# The files that the library may still use.
_in_use: dict[int, _Provided] = {}


def _attempt(user: int, action: Callable[[Any], None]) -> int:
    try:
        provided: _Provided = find(user)
        return provided.attempt(lambda: action(provided.file))
    except Exception:
        return errno.EIO


def copy_into(data: Any, address: int, room: int) -> int:
    """Copies the bytes of a buffer to an address and returns their number. Raises ValueError if they do not fit."""
    with Borrowed(data) as borrowed:
        if borrowed.length > room:
            raise ValueError(f"{borrowed.length} bytes were returned, at most {room} were requested")
        if borrowed.address is not None:
            ctypes.memmove(address, borrowed.address, borrowed.length)
        return borrowed.length


def _on_pread(user: int, address: int, length: int, offset: int, count: _Pointer[ctypes.c_size_t]) -> int:
    def read(file: RandomReader) -> None:
        count[0] = copy_into(file.pread(length, offset), address, length)

    return _attempt(user, read)


_pread = READ_AT(_on_pread)


def _on_size(user: int, size: _Pointer[ctypes.c_uint64]) -> int:
    def measure(file: RandomReader) -> None:
        length = length_of(file)
        if length < 0:
            raise ValueError(f"the size of the file is {length}")
        size[0] = length

    return _attempt(user, measure)


_size = SIZE(_on_size)


def _on_next_data(user: int, offset: int, start: _Pointer[ctypes.c_uint64], end: _Pointer[ctypes.c_uint64]) -> int:
    def search(file: Any) -> None:
        found: Optional[tuple[int, int]] = file.next_data(offset)
        start[0], end[0] = found if found is not None else (length_of(file), length_of(file))

    return _attempt(user, search)


_next_data = NEXT_DATA(_on_next_data)


def _on_pwrite(user: int, address: int, length: int, offset: int) -> int:
    # A copy, because the caller may keep the bytes.
    return _attempt(user, lambda file: file.pwrite(ctypes.string_at(address, length), offset))


_pwrite = WRITE_AT(_on_pwrite)


def _on_zero(user: int, offset: int, length: int) -> int:
    return _attempt(user, lambda file: file.zero(offset, length))


_zero = ZERO(_on_zero)


def _on_set_size(user: int, length: int) -> int:
    return _attempt(user, lambda file: file.set_size(length))


_set_size = SET_SIZE(_on_set_size)


def _on_flush(user: int) -> int:
    return _attempt(user, lambda file: file.flush())


_flush = FLUSH(_on_flush)


def _on_close(user: int) -> None:
    with contextlib.suppress(Exception):
        _in_use.pop(user).close()


_close = CLOSE(_on_close)


def _use(provided: _Provided) -> int:
    number = register(provided)
    _in_use[number] = provided
    return number


def forget(io: Io) -> None:
    """Releases a file that the library has not received, or has closed."""
    _in_use.pop(io.user, None)


def fill_reader(io: Io, file: RandomReader, raised: Raised, *, owned: bool = False) -> None:
    """Fills the C structure of a file that is read. With `owned`, the file is closed after its last use."""
    io.user = _use(_Provided(file, raised, owned=owned))
    io.pread, io.size, io.close = _pread, _size, _close
    if hasattr(file, "next_data"):
        io.next_data = _next_data


def reader_io(file: RandomReader, raised: Raised) -> Io:
    """Returns the C structure of a file that is read. The library releases it with `close`."""
    io = sized(Io)
    fill_reader(io, file, raised)
    return io


def writer_io(file: RandomWriter, raised: Raised) -> Io:
    """Returns the C structure of a file that is written. The library releases it with `close`."""
    io = sized(Io)
    io.user = _use(_Provided(file, raised))
    io.pwrite, io.close = _pwrite, _close
    for name, callback in (("zero", _zero), ("set_size", _set_size), ("flush", _flush)):
        if hasattr(file, name):
            setattr(io, name, callback)
    return io
