"""Shared parts of the tests: images of the repository, scratch directories, files that callbacks provide."""

from __future__ import annotations

import pathlib
import tempfile
import threading
import unittest
from typing import Optional

import diskimg

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOOD = ROOT / "tests/images/good"
BAD = ROOT / "tests/images/bad"


class Case(unittest.TestCase):
    """A test with a scratch directory."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)

    def files(self) -> list[str]:
        """Returns the names in the scratch directory."""
        return sorted(path.name for path in self.scratch.iterdir())


def disk_bytes(path: pathlib.Path) -> bytes:
    """Returns all bytes of a disk."""
    with diskimg.open(path, references=True) as image:
        return image.pread(image.size, 0)


def painted(length: int) -> bytes:
    """Returns bytes of which no two neighbouring blocks are the same."""
    return bytes(i % 251 for i in range(length))


class MemoryReader:
    """A file in memory that counts its reads, and raises an exception if it is set."""

    def __init__(self, data: bytes, failure: Optional[BaseException] = None) -> None:
        self._data, self.failure = data, failure
        self.reads = 0
        self.threads: set[int] = set()

    @property
    def size(self) -> int:
        return len(self._data)

    def pread(self, length: int, offset: int, /) -> memoryview:
        self.reads += 1
        self.threads.add(threading.get_ident())
        if self.failure is not None:
            raise self.failure
        return memoryview(self._data)[offset : offset + length]


class MemoryWriter:
    """A file in memory that is written at any offset."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.flushed = 0
        self._lock = threading.Lock()

    def _reserve(self, end: int) -> None:
        if len(self.data) < end:
            self.data += bytes(end - len(self.data))

    def pwrite(self, data: bytes, offset: int, /) -> None:
        with self._lock:
            self._reserve(offset + len(data))
            self.data[offset : offset + len(data)] = data

    def set_size(self, length: int) -> None:
        with self._lock:
            self._reserve(length)
            del self.data[length:]

    def flush(self) -> None:
        self.flushed += 1
