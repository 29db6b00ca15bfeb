"""Finds and loads libdiskimg, and checks that it has the ABI of this package."""

from __future__ import annotations

import ctypes
import os
import pathlib

from ._version import __version__

__all__ = ["BUNDLED", "library"]

BUNDLED = pathlib.Path(__file__).resolve().parent / "libdiskimg.so"
"""The library inside an installed wheel. A source tree has none."""

_MAJOR, _MINOR = (int(part) for part in __version__.split(".")[:2])
_ABI = f"{_MAJOR}.{_MINOR}"


def _file() -> str:
    """Returns the name to load: DISKIMG_LIBRARY, the bundled library, or the one that the system finds."""
    named = os.environ.get("DISKIMG_LIBRARY")
    if named:
        return named
    return str(BUNDLED) if BUNDLED.exists() else f"libdiskimg.so.{_ABI}"


def _load() -> ctypes.CDLL:
    file = _file()
    try:
        found = ctypes.CDLL(file)
        number_of = found.diskimg_version_number
    except (OSError, AttributeError) as error:
        raise ImportError(
            f"libdiskimg {_ABI} cannot be loaded: {error}. Install the wheel, which contains it, or set "
            "DISKIMG_LIBRARY to the path of libdiskimg.so"
        ) from None
    number_of.restype = ctypes.c_uint32
    number = number_of()
    # Before 1.0 each minor version has its own ABI.
    if number >> 8 != _MAJOR << 8 | _MINOR:
        version = f"{number >> 16}.{number >> 8 & 255}.{number & 255}"
        raise ImportError(f"{file} is libdiskimg {version}, but this package needs {_ABI}")
    return found


library = _load()
