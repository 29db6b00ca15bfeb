"""Checks of arguments. ctypes itself would wrap a negative number and end a string at a NUL."""

from __future__ import annotations

import operator
import os
from typing import Optional, SupportsIndex, Union

__all__ = ["StrPath", "descriptor", "number", "path_bytes", "text"]

StrPath = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


def number(value: SupportsIndex, name: str, bits: int = 64) -> int:
    """Returns an unsigned number of at most `bits` bits. Raises TypeError or ValueError for anything else."""
    found = operator.index(value)
    if found < 0:
        raise ValueError(f"{name} is {found}, expected no negative number")
    if found >> bits:
        raise ValueError(f"{name} is {found}, expected less than 2^{bits}")
    return found


def descriptor(value: int) -> int:
    """Returns a file descriptor. Raises ValueError if it is negative, as open() does."""
    if value < 0:
        raise ValueError("negative file descriptor")
    return number(value, "the file descriptor", 31)


def _without_nul(value: bytes) -> bytes:
    if b"\0" in value:
        raise ValueError("embedded null byte")
    return value


def path_bytes(path: StrPath) -> bytes:
    """Returns a path as the system expects it. Raises ValueError if it has a NUL, as open() does."""
    return _without_nul(os.fsencode(path))


def text(value: Optional[str]) -> Optional[bytes]:
    """Returns a string in UTF-8; None for None. Raises ValueError if it has a NUL."""
    return None if value is None else _without_nul(value.encode())
