"""A stream that is inspected while it is read."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Iterator, Mapping, Optional, Sequence, Union

from ._detection import StreamDetection
from ._inspectors import (
    ALL_FORMATS,
    LOG,
    FileInspector,
    ImageFormatError,
    RawFileInspector,
    found_instead,
    inspector_of,
    refuse_parameters,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class InspectWrapper:
    """Passes a stream through, and detects its format meanwhile.

    `source` is a file object or an iterator of bytes. With `expected_format`, reading raises ImageFormatError as soon as
    another format is certain. With `allowed_formats`, all others are refused at the end, and none of them is reported as
    raw.
    """

    def __init__(
        self,
        source: Union[IO[bytes], Iterator[bytes]],
        expected_format: Optional[str] = None,
        allowed_formats: Optional[Sequence[str]] = None,
        tracing: bool = False,
        params: Optional[Mapping[str, str]] = None,
    ) -> None:
        refuse_parameters(params)
        self._source: Any = source
        self._expected, self._allowed, self._tracing = expected_format, allowed_formats, tracing
        self._detection = StreamDetection()
        self._finished = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        chunk: Optional[bytes] = next(self._source, None)
        if chunk is None:
            self._end()
            raise StopIteration
        self._push(chunk)
        return chunk

    def read(self, size: int = -1) -> bytes:
        """Reads from the source."""
        chunk: bytes = self._source.read(size)
        if chunk:
            self._push(chunk)
        elif size != 0:
            self._end()
        return chunk

    def _push(self, chunk: bytes) -> None:
        self._detection.push(chunk)
        if self._tracing:
            LOG.debug("%d bytes seen: %s", self._detection.seen, found_instead(self._detection))
        self._check_expectation()

    def _end(self) -> None:
        self._finish()
        self._check_expectation()

    def _finish(self) -> None:
        self._detection.finish()
        self._finished = True

    def _check_expectation(self) -> None:
        detection = self._detection
        if self._expected is None or (detection.name is None and not detection.complete):
            return
        kind = ALL_FORMATS.get(self._expected)
        if kind is None or not kind._of(detection).format_match:
            raise ImageFormatError(f"the content is not {self._expected}: {found_instead(detection)}")

    def close(self) -> None:
        """Closes the source, if it can be closed, and ends the detection."""
        if hasattr(self._source, "close"):
            self._source.close()
        self._finish()

    @property
    def formats(self) -> Optional[list[FileInspector]]:
        """The inspector of the format in a list, empty if it is not allowed; None while it is not known.

        Raises ImageFormatError if the bytes are valid as more than one format.
        """
        detection = self._detection
        if detection.ambiguous:
            raise ImageFormatError(str(detection.error))
        if detection.name is None and not detection.complete:
            return None
        found = inspector_of(detection)
        if self._allowed and str(found) not in self._allowed:
            # Partition tables and optical discs are content of a raw disk.
            raw = RawFileInspector._of(detection)
            return [raw] if "raw" in self._allowed and raw.format_match else []
        return [found]

    @property
    def format(self) -> Optional[FileInspector]:
        """The inspector of the format; None while it is not known.

        Raises ImageFormatError if the format is not allowed, or if the bytes are valid as more than one.
        """
        found = self.formats
        if found is None:
            return None
        if not found:
            raise ImageFormatError(f"the format is not allowed: {found_instead(self._detection)}")
        return found[0]
