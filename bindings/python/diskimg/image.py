"""Images that are open for reading."""

from __future__ import annotations

import warnings
from ctypes import byref, c_bool, c_size_t, c_uint64
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional, SupportsIndex, TypeVar, Union

from . import _functions as c
from . import _records
from . import _structures as s
from ._arguments import StrPath, descriptor, number, path_bytes
from ._buffer import Borrowed
from ._constants import PROBLEMS, STATUSES
from ._handle import Closeable, Handle
from ._provided import forget, reader_io
from ._raised import Raised
from ._targets import TargetLike, target_record
from ._turn import Progress, Turn, report_problem, report_progress
from .cancel import Cancel
from .disk import open_disk
from .errors import Error, call
from .files import RandomReader, SeekableFile, as_reader
from .options import ConvertOptions, OpenOptions, convert_record, open_record
from .records import CheckResult, ConvertResult, Extent, Finding, Info, Measurement, Problem, Reference, Snapshot

if TYPE_CHECKING:
    import io

    from typing_extensions import Buffer, Unpack

__all__ = ["Image", "open", "open_memory", "open_reader"]

_T = TypeVar("_T")
_NO_OFFSET = (1 << 64) - 1
_AT_ONCE = 256


class Image(Closeable):
    """An open image: its disk and its description. Any number of threads may use it.

    Use it in a `with` statement, or close it. It may be closed while other threads read: their calls end normally, and
    later calls raise ValueError.
    """

    def __init__(self, handle: Handle, raised: Raised, calls_back: bool) -> None:
        self._handle, self._raised, self._calls_back = handle, raised, calls_back

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and not handle.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            handle.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<diskimg.Image, closed>"
        return f"<diskimg.Image {self.format}, {self.size} bytes>"

    def _turn(self, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None, *more: Raised) -> Turn:
        return Turn(progress=progress, cancel=cancel, raised=(self._raised, *more))

    def _call(self, function: Callable[..., int], *arguments: Any) -> None:
        """Calls a function that takes the handle first and takes no long time, unless the file is the caller's."""
        if self._calls_back:
            self._turn().run(function, self._handle, *arguments, holding=[self._handle])
            return
        with self._handle.borrowed() as pointer:
            call(function, pointer, *arguments)

    @property
    def size(self) -> int:
        """The size of the disk in bytes."""
        with self._handle.borrowed() as pointer:
            return int(c.size(pointer))

    @property
    def format(self) -> str:
        """The format, such as "raw" or "qcow2"."""
        return self.info.format

    @property
    def info(self) -> Info:
        """The description of the image."""
        record = s.sized(s.Info)
        with self._handle.borrowed() as pointer:
            call(c.get_info, pointer, byref(record))
            return _records.info(record)

    def info_json(self, filename: Optional[str] = None) -> dict[str, Any]:
        """Returns the description in the format of `qemu-img info --output=json`, with additions under "diskimg".

        `filename` is the file name to report; None for the path that the image was opened by.
        """
        with self._handle.borrowed() as pointer:
            return _records.parsed_json(c.info_json, pointer, filename)

    def _list(self, count: Callable[..., int], get: Callable[..., int], kind: Any, value: Callable[[Any], _T]) -> list[_T]:
        found = []
        with self._handle.borrowed() as pointer:
            for index in range(count(pointer)):
                record = s.sized(kind)
                call(get, pointer, index, byref(record))
                found.append(value(record))
        return found

    @property
    def references(self) -> list[Reference]:
        """The references from the image to other files."""
        return self._list(c.reference_count, c.get_reference, s.Reference, _records.reference)

    @property
    def snapshots(self) -> list[Snapshot]:
        """The internal snapshots. To read one, open the image with its id or name."""
        return self._list(c.snapshot_count, c.get_snapshot, s.Snapshot, _records.snapshot)

    @property
    def findings(self) -> list[Finding]:
        """The properties of the image that matter to an importer of untrusted images."""
        return self._list(c.finding_count, c.get_finding, s.Finding, _records.finding)

    def readinto(self, buffer: Buffer, offset: SupportsIndex, /) -> int:
        """Reads at an offset into any writable buffer, without a copy. Returns the number of bytes, fewer only at the
        end of the disk.
        """
        start, count = number(offset, "offset"), c_size_t()
        with Borrowed(buffer, writable=True) as borrowed:
            if borrowed.length == 0:
                self.size  # noqa: B018: raises ValueError if the image is closed
                return 0
            self._call(c.pread, borrowed.address, borrowed.length, start, byref(count))
        return count.value

    def pread(self, length: SupportsIndex, offset: SupportsIndex, /) -> bytes:
        """Returns `length` bytes at an offset, fewer only at the end of the disk."""
        wanted, start = number(length, "length"), number(offset, "offset")
        data = bytearray(max(0, min(wanted, self.size - start)))
        read = self.readinto(data, start)
        return bytes(data) if read == len(data) else bytes(memoryview(data)[:read])

    def extents(self, offset: SupportsIndex = 0, length: Optional[SupportsIndex] = None) -> Iterator[Extent]:
        """Yields the extents of a range in ascending order and without gaps. None for the rest of the disk."""
        at = number(offset, "offset")
        end = self.size if length is None else at + number(length, "length")
        return self._extents(at, end)

    def _extents(self, at: int, end: int) -> Iterator[Extent]:
        records, count = (s.Extent * _AT_ONCE)(), c_size_t()
        while at < end:
            self._call(c.extents, at, end - at, records, _AT_ONCE, byref(count))
            found = [_records.extent(record) for record in records[: count.value]]
            at = found[-1].start + found[-1].length
            yield from found

    def stream(self, buffer_size: int = 1 << 20) -> io.BufferedReader:
        """Returns the disk as a file object that can read and seek. Closing it does not close the image."""
        return open_disk(self, buffer_size)

    def convert(self, target: TargetLike, format: str = "raw", **options: Unpack[ConvertOptions]) -> ConvertResult:
        """Converts the disk.

        `target` is a path, a descriptor, a file object, an object with `pwrite`, or a callable that receives the bytes
        from the first to the last. A file at a path appears only when it is complete and durable.
        """
        raised = Raised()
        turn = self._turn(options.get("progress"), options.get("cancel"), raised)
        record, result = convert_record(format, options, turn), s.sized(s.ConvertResult)
        with target_record(target, record, raised, turn) as place:
            turn.run(c.convert, self._handle, place, byref(record), byref(result), holding=[self._handle])
        return ConvertResult(result.virtual_size, result.written, result.copied, result.zeros)

    def measure(self, format: str = "raw", **options: Unpack[ConvertOptions]) -> Measurement:
        """Measures the file that `convert` would write with these options. Reads no data."""
        turn = self._turn(options.get("progress"), options.get("cancel"))
        record, required, full = convert_record(format, options, turn), c_uint64(), c_uint64()
        turn.run(c.measure, self._handle, byref(record), byref(required), byref(full), holding=[self._handle])
        return Measurement(required.value, full.value)

    def check(
        self,
        *,
        problem: Optional[Callable[[Problem], object]] = None,
        progress: Optional[Progress] = None,
        cancel: Optional[Cancel] = None,
    ) -> CheckResult:
        """Checks the structure of the image, but not of the layers below it.

        Problems are no exception: they are in the result, and `problem` receives each. An exception that it raises
        stops the check.
        """
        found: list[Problem] = []

        def receive(kind: int, offset: int, message: bytes) -> None:
            text = _records.optional_text(message) or ""
            found.append(Problem(PROBLEMS.get(kind, "unknown"), None if offset == _NO_OFFSET else offset, text))
            if problem is not None:
                problem(found[-1])

        turn = self._turn(progress, cancel)
        turn.problem = receive
        options, result = s.sized(s.CheckOptions), s.sized(s.CheckResult)
        options.problem, options.problem_user = report_problem, turn.number
        options.progress, options.progress_user, options.cancel = report_progress, turn.number, turn.flag.pointer
        turn.run(c.check, self._handle, byref(options), byref(result), holding=[self._handle])
        return CheckResult(
            corruptions=result.corruptions,
            leaks=result.leaks,
            total_units=result.total_units,
            allocated_units=result.allocated_units,
            compressed_units=result.compressed_units,
            fragmented_units=result.fragmented_units,
            image_end=result.image_end,
            problems=tuple(found),
        )

    def first_difference(
        self, other: Image, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None
    ) -> Optional[int]:
        """Returns the offset of the first byte in which two disks differ; None if they are equal.

        The shorter disk is treated as if zeros followed it.
        """
        turn = self._turn(progress, cancel, other._raised)
        options = s.sized(s.CompareOptions)
        options.progress, options.progress_user, options.cancel = report_progress, turn.number, turn.flag.pointer
        same, first = c_bool(), c_uint64()
        turn.run(
            c.compare, self._handle, other._handle, byref(options), byref(same), byref(first),
            holding=[self._handle, other._handle],
        )  # fmt: skip
        return None if same.value else first.value

    def compare(self, other: Image, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None) -> bool:
        """Returns True if two disks have the same content: see `first_difference`."""
        return self.first_difference(other, progress=progress, cancel=cancel) is None


def _open(function: Callable[..., int], arguments: tuple[Any, ...], options: OpenOptions, raised: Raised,
          opened: Handle, calls_back: bool) -> Image:  # fmt: skip
    turn = Turn(progress=options.get("progress"), cancel=options.get("cancel"), raised=[raised])
    record, resolver = open_record(options, turn, raised)
    opened.when_freed(resolver.release)
    calls_back = calls_back or options.get("resolve") is not None
    try:
        turn.run(function, *arguments, byref(record), byref(opened.pointer))
    except BaseException:
        opened.close()
        raise
    return Image(opened, raised, calls_back)


def open(path: Union[StrPath, int], /, **options: Unpack[OpenOptions]) -> Image:
    """Opens the image in a file or block device, by its path or by a descriptor, which stays the caller's."""
    function: Callable[..., int] = c.open_path
    if isinstance(path, int):
        function, argument = c.open_fd, descriptor(path)
    else:
        argument = path_bytes(path)  # type: ignore[assignment]
    try:
        return _open(function, (argument,), options, Raised(), Handle("image", c.close), False)
    except Error as error:
        if error.status in (STATUSES["io"], STATUSES["in_use"]) and not isinstance(path, int):
            error.filename = path
        raise


def open_memory(data: Buffer, /, **options: Unpack[OpenOptions]) -> Image:
    """Opens the image in any buffer, without a copy.

    The buffer cannot be resized until the image is closed. Its bytes must not change meanwhile.
    """
    borrowed, handle = Borrowed(data), Handle("image", c.close)
    handle.when_freed(borrowed.release)
    return _open(c.open_memory, (borrowed.address or b"", borrowed.length), options, Raised(), handle, False)


def open_reader(reader: Union[RandomReader, SeekableFile], /, **options: Unpack[OpenOptions]) -> Image:
    """Opens the image in a file that the caller provides: a file object that can seek, or an object with `pread` and
    `size`. It stays the caller's. An exception that it raises ends the call that needed the bytes.
    """
    raised, file = Raised(), as_reader(reader)
    io = reader_io(file, raised)
    try:
        return _open(c.open_io, (byref(io),), options, raised, Handle("image", c.close), True)
    except BaseException:
        forget(io)
        raise
