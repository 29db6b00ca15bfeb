"""Files that the caller provides: the interfaces, and file objects as such files."""

from __future__ import annotations

import fcntl
import io
import os
import threading
from typing import TYPE_CHECKING, Any, Optional, Protocol, SupportsIndex, Union, runtime_checkable

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["RandomReader", "RandomWriter", "SeekableFile", "WritableStream", "as_reader", "as_writer"]


@runtime_checkable
class RandomReader(Protocol):
    """A file that can be read at any offset: an object in a store, an HTTP resource with ranges.

    Several threads may call `pread` at once. A method `next_data(offset)` is optional: it returns the start and end of
    the first range of data that ends after `offset`, or None if there is none. An `Image` is a RandomReader.
    """

    @property
    def size(self) -> int:
        """The length of the file in bytes."""

    def pread(self, length: int, offset: int, /) -> Buffer:
        """Returns up to `length` bytes at `offset`. No bytes mean the end of the file."""


@runtime_checkable
class RandomWriter(Protocol):
    """A file that can be written at any offset.

    Several threads may call `pwrite` at once. These methods are optional: `zero(offset, length)` makes a range read as
    zeros, `set_size(length)` sets the length of the file, and `flush()` makes all writes durable.
    """

    def pwrite(self, data: bytes, offset: int, /) -> object:
        """Writes all bytes at `offset`."""


@runtime_checkable
class SeekableFile(Protocol):
    """A file object that can seek. Its position moves."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Moves to an offset and returns the new one."""

    def seekable(self) -> bool:
        """Returns True if the object can seek."""


@runtime_checkable
class WritableStream(Protocol):
    """A file object that is written from its first byte to its last: a pipe, a socket, a hash with `write`."""

    def write(self, data: bytes, /) -> object:
        """Writes bytes and returns their number, or None for all."""


class _FileReader:
    """Reads a file object. One thread at a time moves its position."""

    def __init__(self, file: Any) -> None:
        self._file, self._lock = file, threading.Lock()

    @property
    def size(self) -> int:
        with self._lock:
            return int(self._file.seek(0, io.SEEK_END))

    def pread(self, length: int, offset: int, /) -> Buffer:
        with self._lock:
            self._file.seek(offset)
            data: Optional[Buffer] = self._file.read(length)
        if data is None:
            raise BlockingIOError("the file object has no bytes yet, but an image needs all of them")
        return data

    def close(self) -> None:
        """Closes the file object. Only for one that a resolver returned."""
        self._file.close()


class _FileWriter:
    """Writes a file object. One thread at a time moves its position."""

    def __init__(self, file: Any) -> None:
        self._file, self._lock = file, threading.Lock()

    def pwrite(self, data: bytes, offset: int, /) -> None:
        with self._lock:
            self._file.seek(offset)
            write_all(self._file, data)

    def set_size(self, length: int) -> None:
        """Sets the length. `truncate` of some file objects cannot extend the file, so the last byte is written."""
        with self._lock:
            end = self._file.seek(0, io.SEEK_END)
            if end > length:
                self._file.truncate(length)
            elif end < length:
                self._file.seek(length - 1)
                write_all(self._file, b"\0")

    def flush(self) -> None:
        self._file.flush()
        if _has_its_own_descriptor(self._file):
            os.fsync(self._file.fileno())


def write_all(file: Any, data: bytes) -> None:
    """Writes all bytes to a file object whose `write` may write less."""
    view = memoryview(data)
    while view:
        # None: the object does not count, as a plain function. A raw file that cannot write now returns it too.
        written = file.write(view if len(view) < len(data) else data)
        if written is None:
            if isinstance(file, io.RawIOBase):
                raise BlockingIOError("the file object does not accept all bytes")
            return
        view = view[written:]


def as_reader(value: Union[RandomReader, SeekableFile]) -> RandomReader:
    """Returns an object with `pread` and `size` as it is, and wraps a file object that can seek."""
    if hasattr(value, "pread") and hasattr(value, "size"):
        return value  # type: ignore[return-value]
    if isinstance(value, SeekableFile) and hasattr(value, "read"):
        if not value.seekable():
            raise io.UnsupportedOperation("the file object cannot seek: use convert_stream() or Probe")
        return _FileReader(value)
    raise TypeError(f"{type(value).__name__} has neither pread and size nor read and seek")


def as_writer(value: object) -> Optional[RandomWriter]:
    """Returns an object with `pwrite` as it is, and wraps a file object that can seek. Returns None for others."""
    if isinstance(value, RandomWriter):
        return value
    if isinstance(value, io.TextIOBase):
        raise TypeError("the file object is open for text; open it with the mode \"wb\" or \"w+b\"")
    if isinstance(value, SeekableFile) and hasattr(value, "write") and value.seekable():
        if _appends(value):
            raise ValueError("the file object is open for appending: every write would go to its end")
        return _FileWriter(value)
    return None


def _has_its_own_descriptor(file: object) -> bool:
    """Returns True if the descriptor is known to be that of the file itself: only for the standard library."""
    return type(file) in (io.FileIO, io.BufferedWriter, io.BufferedRandom)


def _appends(file: Any) -> bool:
    return _has_its_own_descriptor(file) and bool(fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND)


def length_of(reader: RandomReader) -> int:
    """Returns the size of a reader. A method `size()` is accepted too."""
    size: Union[SupportsIndex, Any] = reader.size
    return int(size() if callable(size) else size)
