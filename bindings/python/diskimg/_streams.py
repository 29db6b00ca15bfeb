"""Streams of the caller, as C callbacks. They run in the thread that made the call, if that is the main thread."""

from __future__ import annotations

import ctypes
import errno
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Optional, Protocol, Union

from ._provided import copy_into
from ._registry import find
from ._structures import READ, WRITE, Stream, Target, sized
from ._turn import Turn
from .files import write_all

if TYPE_CHECKING:
    from ctypes import _Pointer

    from typing_extensions import Buffer

__all__ = ["ReadableStream", "StreamSource", "fill_writer", "stream_of"]


class ReadableStream(Protocol):
    """A file object that is read from its position to its end: a pipe, a socket, an HTTP response."""

    def read(self, length: int, /) -> Buffer:
        """Returns up to `length` bytes. No bytes mean the end of the stream."""


StreamSource = Union[ReadableStream, "Iterable[Buffer]"]
"""A stream: a file object, or chunks of bytes of any lengths."""


class _Chunks:
    """Reads from an iterator of chunks, which may be longer than a read."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    def read(self, length: int, /) -> Buffer:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk).cast("B")
        data, self._rest = self._rest[:length], self._rest[length:]
        return data


class _Reading:
    def __init__(self, turn: Turn, read: Callable[[int], Any]) -> None:
        self.turn, self._read = turn, read

    def read_into(self, address: int, length: int) -> int:
        """Reads up to `length` bytes and returns their number."""
        data = self._read(length)
        if data is None:
            raise BlockingIOError("the stream has no bytes yet; pass a blocking one")
        return copy_into(data, address, length)


class _Writing:
    def __init__(self, turn: Turn, write: Callable[[bytes], object]) -> None:
        self.turn, self.write = turn, write


def _on_read(user: int, address: int, length: int, count: _Pointer[ctypes.c_size_t]) -> int:
    try:
        reading: _Reading = find(user)
        count[0] = reading.turn.ask(reading.read_into, address, length)
        return 0
    except Exception:
        return errno.ECANCELED


_read = READ(_on_read)


def _on_write(user: int, address: int, length: int) -> int:
    try:
        writing: _Writing = find(user)
        # A copy, because the caller may keep the bytes.
        writing.turn.ask(writing.write, ctypes.string_at(address, length))
        return 0
    except Exception:
        return errno.ECANCELED


_write = WRITE(_on_write)


def stream_of(source: StreamSource, length: Optional[int], turn: Turn) -> Stream:
    """Returns the C structure of a stream that is read, until the call ends."""
    read = getattr(source, "read", None)
    if read is None:
        if isinstance(source, (str, bytes, bytearray, memoryview)) or not isinstance(source, Iterable):
            raise TypeError(f"{type(source).__name__} is no stream: it has no read() and yields no chunks")
        read = _Chunks(iter(source)).read
    stream = sized(Stream)
    stream.read, stream.read_user = _read, turn.register(_Reading(turn, read))
    stream.length = length or 0
    return stream


def fill_writer(target: Target, writer: Any, turn: Turn) -> None:
    """Fills in a target that is written from its first byte to its last: a callable, or an object with `write`."""
    if hasattr(writer, "write"):
        write: Callable[[bytes], object] = lambda data: write_all(writer, data)  # noqa: E731
    elif callable(writer):
        write = writer
    else:
        raise TypeError(f"{type(writer).__name__} is no target: a path, descriptor, file object or callable is")
    target.write, target.write_user = _write, turn.register(_Writing(turn, write))
