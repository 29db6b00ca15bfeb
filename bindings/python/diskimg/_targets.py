"""The places that a disk is written to."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import Any, Callable, Iterator, Union

from ._arguments import StrPath, descriptor, path_bytes
from ._constants import CONVERT_FLAGS, STATUSES
from ._provided import forget, writer_io
from ._raised import Raised
from ._streams import fill_writer
from ._structures import ConvertOptions, Target, sized
from ._turn import Turn
from .errors import Error
from .files import RandomWriter, SeekableFile, WritableStream, as_writer

__all__ = ["TargetLike", "target_record"]

TargetLike = Union[StrPath, int, RandomWriter, SeekableFile, WritableStream, Callable[[bytes], object]]
"""A path, a descriptor, an object with `pwrite`, a file object, or a callable that receives the bytes in order."""

_OF_THE_TARGET = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def _empty(file: Any, options: ConvertOptions) -> None:
    """Truncates a file object, as the library does with a file, unless the options keep its content."""
    if not options.flags & (CONVERT_FLAGS["in_place"] | CONVERT_FLAGS["target_is_zero"]):
        file.seek(0)
        file.truncate(0)
        options.flags |= CONVERT_FLAGS["target_is_zero"]


@contextlib.contextmanager
def target_record(
    target: TargetLike, options: ConvertOptions, raised: Raised, turn: Turn
) -> Iterator[ctypes._Pointer[Target]]:
    """Yields the C structure of a target. An error about its path receives the path as `filename`."""
    place, named = sized(Target), None
    place.fd = -1
    if isinstance(target, int):
        place.fd = descriptor(target)
    elif isinstance(target, (str, bytes, os.PathLike)):
        named, place.path = target, path_bytes(target)
    else:
        writer = as_writer(target)
        if writer is None:
            fill_writer(place, target, turn)
        else:
            if writer is not target and isinstance(target, SeekableFile):
                _empty(target, options)
            place.io = ctypes.pointer(writer_io(writer, raised))
    try:
        yield ctypes.pointer(place)
    except BaseException as error:
        if place.io:
            forget(place.io.contents)
        if not isinstance(error, Error):
            raise
        about = error.status in (STATUSES["exists"], STATUSES["in_use"]) or error.errno in _OF_THE_TARGET
        if named is not None and about:
            error.filename = named
        raise
