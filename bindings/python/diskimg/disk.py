"""A disk as a file object."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Disk", "open_disk"]


class _Readable(Protocol):
    @property
    def size(self) -> int: ...

    def readinto(self, buffer: Buffer, offset: int, /) -> int: ...


class Disk(io.RawIOBase):
    """The disk of an image as a raw file object that can read and seek."""

    def __init__(self, image: _Readable) -> None:
        super().__init__()
        self._image, self._at = image, 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Moves the position, which may be past the end, and returns it."""
        self._check_open()
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._image.size}
        if whence not in bases:
            raise ValueError(f"whence is {whence}, expected 0, 1 or 2")
        if bases[whence] + offset < 0:
            raise ValueError(f"negative seek position {bases[whence] + offset}")
        self._at = bases[whence] + offset
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        """Reads at the position into a writable buffer. Returns the number of bytes, 0 at the end."""
        self._check_open()
        read = self._image.readinto(buffer, self._at)
        self._at += read
        return read

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


def open_disk(image: _Readable, buffer_size: int) -> io.BufferedReader:
    """Returns a buffered file object of a disk."""
    return io.BufferedReader(Disk(image), buffer_size)
