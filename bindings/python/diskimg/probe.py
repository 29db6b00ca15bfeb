"""Detection of the format of a stream."""

from __future__ import annotations

import enum
import threading
from ctypes import byref, c_uint32
from typing import TYPE_CHECKING, Any, Optional

from . import _functions as c
from . import _records
from . import _structures as s
from ._buffer import Borrowed
from ._handle import Closeable, Handle
from ._raised import Raised
from .errors import call
from .options import ProbeOptions, open_record
from .records import Info

if TYPE_CHECKING:
    from typing_extensions import Buffer, Unpack

__all__ = ["Probe", "ProbeState"]


class ProbeState(enum.IntEnum):
    """The knowledge of a probe."""

    MORE = 0
    """The format is not known yet."""
    FORMAT = 1
    """The format is known; other values may become known later."""
    DONE = 2
    """Everything is known. Further bytes change nothing."""


class Probe(Closeable):
    """Detects the format of a stream that is pushed in chunks of any lengths. It does no I/O and uses less than 2 MiB."""

    def __init__(self, **options: Unpack[ProbeOptions]) -> None:
        self._handle = Handle("probe", c.probe_free)
        # The library allows one thread at a time.
        self._lock = threading.RLock()
        record, _ = open_record(options, None, Raised(), ProbeOptions)
        call(c.probe_new, byref(record), byref(self._handle.pointer))

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            handle.close()

    def push(self, chunk: Buffer, /) -> ProbeState:
        """Pushes the next bytes of the stream. Errors in them are raised by `finish`."""
        state = c_uint32()
        with Borrowed(chunk) as borrowed, self._lock, self._handle.borrowed() as pointer:
            call(c.probe_push, pointer, borrowed.address or b"", borrowed.length, byref(state))
        return ProbeState(state.value)

    @property
    def info(self) -> Info:
        """The description known so far. Raises UnknownFormatError while nothing is known."""
        record = s.sized(s.Info)
        with self._lock, self._handle.borrowed() as pointer:
            call(c.probe_info, pointer, byref(record))
            return _records.info(record)

    def info_json(self, filename: Optional[str] = None) -> dict[str, Any]:
        """Returns the description known so far, with references, snapshots and findings, as `Image.info_json` does."""
        with self._lock, self._handle.borrowed() as pointer:
            return _records.parsed_json(c.probe_info_json, pointer, filename)

    def finish(self) -> Info:
        """Ends the stream and returns its description. A second call returns the same or raises the same."""
        record = s.sized(s.Info)
        with self._lock, self._handle.borrowed() as pointer:
            call(c.probe_finish, pointer, byref(record))
            return _records.info(record)
