"""Images that are written."""

from __future__ import annotations

from ctypes import byref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, SupportsIndex

from . import _functions as c
from ._arguments import number
from ._buffer import Borrowed
from ._flag import Flag
from ._handle import Handle
from ._raised import Raised
from ._targets import TargetLike, target_record
from ._turn import Turn
from .errors import call
from .options import ConvertOptions, convert_record

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self, Unpack

__all__ = ["Writer", "create"]


class Writer:
    """A disk that is written. Bytes that are never written read as zeros.

    In a `with` statement, the image is completed at the end, and abandoned if an exception is raised: then no file
    remains at a path. Any number of threads may write different ranges.
    """

    def __init__(self, handle: Handle, size: int, raised: Raised, flag: Flag, calls_back: bool) -> None:
        self._handle, self._raised, self._calls_back = handle, raised, calls_back
        # The library uses the flag of the creation until the writer is freed.
        self._flag = flag
        self.size = size
        """The size of the disk in bytes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is not None:
            self.abandon()
        elif not self.closed:
            self.finish()

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            handle.close()

    def __repr__(self) -> str:
        return f"<diskimg.Writer of {self.size} bytes{', closed' if self.closed else ''}>"

    @property
    def closed(self) -> bool:
        """True once the writer has been finished or abandoned."""
        return self._handle.closed

    def _call(self, function: Callable[..., int], *arguments: Any, may_take_long: bool = False) -> None:
        if self._calls_back or may_take_long:
            Turn(flag=self._flag, raised=[self._raised]).run(function, self._handle, *arguments, holding=[self._handle])
            return
        with self._handle.borrowed() as pointer:
            call(function, pointer, *arguments)

    def pwrite(self, data: Buffer, offset: SupportsIndex, /) -> int:
        """Writes all bytes of any buffer at an offset of the disk. Returns their number."""
        start = number(offset, "offset")
        with Borrowed(data) as borrowed:
            self._call(c.write, borrowed.address or b"", borrowed.length, start)
            return borrowed.length

    def zero(self, offset: SupportsIndex, length: SupportsIndex, /) -> None:
        """Makes a range read as zeros. It is cheap for a range that was never written."""
        self._call(c.write_zeroes, number(offset, "offset"), number(length, "length"))

    def finish(self) -> None:
        """Completes the image and closes the writer. A failure leaves no valid image."""
        try:
            self._call(c.finish, may_take_long=True)
        finally:
            self._handle.close()

    def abandon(self) -> None:
        """Closes the writer without an image. A second call does nothing."""
        self._handle.close()


def create(
    target: TargetLike, size: SupportsIndex, format: str = "raw", **options: Unpack[ConvertOptions]
) -> Writer:
    """Creates a disk of `size` bytes. For `target` see `Image.convert`. The file appears with `Writer.finish`, which
    `cancel` stops too.
    """
    raised, bytes_wanted = Raised(), number(size, "size")
    turn = Turn(progress=options.get("progress"), cancel=options.get("cancel"), raised=[raised])
    record, handle = convert_record(format, options, turn), Handle("writer", c.writer_free)
    try:
        with target_record(target, record, raised, turn) as place:
            calls_back = bool(place.contents.io) or bool(place.contents.write)
            turn.run(c.create, place, bytes_wanted, byref(record), byref(handle.pointer))
    except BaseException:
        handle.close()
        raise
    return Writer(handle, bytes_wanted, raised, turn.flag, calls_back)
