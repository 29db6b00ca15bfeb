"""The format of an image, as the inspectors see it: from a stream that is pushed, or from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from ._arguments import StrPath
from .errors import AmbiguousError, Error, InUseError, IoError, UnknownFormatError
from .image import open as open_image
from .probe import Probe, ProbeState
from .records import Finding, Info

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Detection", "FileDetection", "StreamDetection"]

_CONTENTS = {"gpt": "gpt", "mbr": "gpt", "iso9660": "iso", "udf": "iso", "iso9660+udf": "iso"}


class Detection:
    """A format, its description and its findings, as far as they are known."""

    def __init__(self) -> None:
        self.complete = False
        """True once nothing more can become known."""
        self.info: Optional[Info] = None
        self.findings: list[Finding] = []
        self.error: Optional[Error] = None
        """The reason why the image cannot be described."""
        self.archive: Optional[str] = None
        """The kind of archive, such as "ova", if the file is one; `info` then describes the disk in it."""
        self.seen = 0
        """The length of the file, or the bytes pushed so far."""

    @property
    def name(self) -> Optional[str]:
        """The name of the format, "gpt" or "iso" for raw disks with that content; None if it is not known."""
        if self.archive is not None:
            return self.archive
        if self.info is not None:
            return _CONTENTS.get(self.info.content or "", "raw") if self.info.format == "raw" else self.info.format
        return self.error.format if self.error is not None else None

    @property
    def ambiguous(self) -> bool:
        """True if the bytes are valid as more than one format."""
        return isinstance(self.error, AmbiguousError)


class FileDetection(Detection):
    """Detects the format of a file. Reads only the metadata that it needs."""

    def __init__(self, path: StrPath) -> None:
        super().__init__()
        self.complete = True
        try:
            with open_image(path, allow_raw=True, no_unwrap=True, info_only=True) as image:
                self.info, self.findings = image.info, image.findings
                self.archive = image.info_json()["diskimg"].get("archive")
                self.seen = self.info.file_size or 0
        except OSError as error:
            if not isinstance(error, Error) or isinstance(error, (IoError, InUseError)):
                raise
            self.error = error


class StreamDetection(Detection):
    """Detects the format of a stream that is pushed in chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._probe = Probe(allow_raw=True, no_unwrap=True)

    def push(self, chunk: Buffer) -> None:
        """Pushes the next bytes."""
        self.seen += memoryview(chunk).nbytes
        if self.complete:
            return
        state = self._probe.push(chunk)
        if state is ProbeState.DONE:
            self.finish()
        elif state is ProbeState.FORMAT and self.info is None:
            self._look(final=False)

    def finish(self) -> None:
        """Ends the stream, or stops looking at it."""
        if not self.complete:
            self.complete = True
            self._look(final=True)
            self._probe.close()

    def _look(self, *, final: bool) -> None:
        try:
            self.info = self._probe.finish() if final else self._probe.info
            details = self._probe.info_json()["diskimg"]
        except UnknownFormatError as error:
            self.error = error if final else None
        except Error as error:
            self.error = error
        else:
            self.findings = [
                Finding(entry["severity"], entry["check"], entry["message"], entry.get("offset"))
                for entry in details.get("findings", [])
            ]
            self.archive = details.get("archive")
