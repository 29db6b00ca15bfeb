"""The inspectors of the formats."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar, Mapping, NamedTuple, Optional

from ._detection import Detection, FileDetection, StreamDetection

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._arguments import StrPath

LOG = logging.getLogger("diskimg.inspector")
_HARMLESS = "note"


class ImageFormatError(Exception):
    """The format is not the expected one, is not certain, or cannot be checked."""


class SafetyCheck(NamedTuple):
    """A check that failed."""

    name: str
    description: str


class SafetyViolation(Exception):
    """A reason why an image is unsafe. `check` names it."""

    def __init__(self, message: str, check: Optional[SafetyCheck] = None) -> None:
        super().__init__(message)
        self.check = check


class SafetyCheckFailed(Exception):
    """An image is unsafe. `failures` has a SafetyViolation for the name of each check that failed."""

    def __init__(self, failures: Mapping[str, SafetyViolation]) -> None:
        super().__init__("unsafe image: " + "; ".join(f"{name}: {reason}" for name, reason in failures.items()))
        self.failures = dict(failures)


def refuse_parameters(params: Optional[Mapping[str, str]]) -> None:
    if params:
        raise ValueError(f"the parameter {sorted(params)[0]!r} is not supported: encrypted content is not decrypted")


class FileInspector:
    """Inspects a stream in chunks, and reports whether it has the format NAME."""

    NAME: ClassVar[str] = ""

    def __init__(self, tracing: bool = False, params: Optional[Mapping[str, str]] = None) -> None:
        refuse_parameters(params)
        self._tracing, self._finished = tracing, False
        self._stream: Optional[StreamDetection] = StreamDetection()
        self._detection: Detection = self._stream

    @classmethod
    def _of(cls, detection: Detection) -> Self:
        """Returns an inspector of what another object detects."""
        inspector = cls.__new__(cls)
        inspector._tracing, inspector._finished = False, True
        inspector._stream, inspector._detection = None, detection
        return inspector

    def eat_chunk(self, chunk: bytes) -> None:
        """Receives the next bytes of the file, in chunks of any lengths."""
        if self._stream is None or self._finished:
            raise RuntimeError("the inspector is finished and accepts no more data")
        self._stream.push(chunk)
        if self._tracing:
            LOG.debug("%s: %d bytes seen, complete: %s", self, self._detection.seen, self.complete)

    def finish(self) -> None:
        """Ends the stream."""
        self._finished = True
        if self._stream is not None:
            self._stream.finish()

    @classmethod
    def from_file(cls, filename: StrPath) -> Self:
        """Inspects a file. Raises ImageFormatError if it does not have this format."""
        inspector = cls._of(FileDetection(filename))
        if not inspector.format_match:
            raise ImageFormatError(f"{filename!r} is not {cls.NAME}: {found_instead(inspector._detection)}")
        return inspector

    @property
    def format_match(self) -> bool:
        """True if the file has this format. False while that is not known."""
        return self._detection.name == self.NAME

    @property
    def virtual_size(self) -> int:
        """The size of the guest's disk in bytes; 0 while it is unknown, and if the format is not supported."""
        info = self._detection.info
        return (info.virtual_size or 0) if info is not None and self.format_match else 0

    @property
    def actual_size(self) -> int:
        """The length of the file, or the number of bytes received so far."""
        return self._detection.seen

    @property
    def complete(self) -> bool:
        """True once further bytes cannot change the result."""
        return self._detection.complete

    def __str__(self) -> str:
        return self.NAME

    def safety_check(self) -> None:
        """Raises SafetyCheckFailed if the image has a finding of the severity "warning" or "unsafe".

        An image that cannot be described, because it is damaged or not supported, fails too. Raises ImageFormatError if
        the end has not been seen, or the image has another format.
        """
        if not self.complete:
            raise ImageFormatError("the end of the file has not been seen: call finish() first")
        if not self.format_match:
            raise ImageFormatError(f"the file is not {self}: {found_instead(self._detection)}")
        failures = self._failures()
        if failures:
            raise SafetyCheckFailed(failures)

    def _failures(self) -> dict[str, SafetyViolation]:
        """Returns a reason for the name of each check that failed."""
        reasons = {
            finding.check: finding.message
            for finding in self._detection.findings
            if finding.severity != _HARMLESS
        }
        if self._detection.error is not None:
            reasons[self._detection.error.status_name] = str(self._detection.error)
        return {name: SafetyViolation(reason, SafetyCheck(name, reason)) for name, reason in reasons.items()}


def found_instead(detection: Detection) -> str:
    """Returns a description of what was found instead."""
    if detection.error is not None:
        return str(detection.error)
    return f"it is {detection.name}" if detection.name is not None else "the format is not known yet"


class RawFileInspector(FileInspector):
    """A raw disk: anything without another format. Its size is the number of bytes."""

    NAME = "raw"

    @property
    def format_match(self) -> bool:
        """False once another format is detected. Partition tables and optical discs are content of a raw disk."""
        return self._detection.error is None and self._detection.name in (None, "raw", "gpt", "iso")

    @property
    def virtual_size(self) -> int:
        """The number of bytes received so far."""
        return self._detection.seen


class QcowInspector(FileInspector):
    """qcow2, versions 2 and 3."""

    NAME = "qcow2"


class VHDInspector(FileInspector):
    """VHD, by name only: it is never safe."""

    NAME = "vhd"


class VHDXInspector(FileInspector):
    """VHDX, by name only: it is never safe."""

    NAME = "vhdx"


class VMDKInspector(FileInspector):
    """VMDK, all subformats. One that needs other files is not safe."""

    NAME = "vmdk"


class VDIInspector(FileInspector):
    """VDI."""

    NAME = "vdi"


class QEDInspector(FileInspector):
    """QED, by name only: it is never safe."""

    NAME = "qed"


class ISOInspector(FileInspector):
    """An optical disc: ISO 9660 or UDF."""

    NAME = "iso"


class GPTInspector(FileInspector):
    """A raw disk with a partition table: GPT or MBR."""

    NAME = "gpt"


class LUKSInspector(FileInspector):
    """LUKS, by name only: the content is not decrypted, so it is never safe."""

    NAME = "luks"


class UnsupportedInspector(FileInspector):
    """A format outside ALL_FORMATS that is recognised by name, such as "zip" or "ova". It is never safe."""

    @property
    def format_match(self) -> bool:
        """True: the class is made for what was found."""
        return True

    @property
    def virtual_size(self) -> int:
        """0: the file is no disk."""
        return 0

    def _failures(self) -> dict[str, SafetyViolation]:
        message = f"{self} is not supported as a disk"
        return {"unsupported": SafetyViolation(message, SafetyCheck("unsupported", message)), **super()._failures()}

    def __str__(self) -> str:
        return self._detection.name or "unknown"


ALL_FORMATS: dict[str, type[FileInspector]] = {
    kind.NAME: kind
    for kind in (
        RawFileInspector,
        QcowInspector,
        VHDInspector,
        VHDXInspector,
        VMDKInspector,
        VDIInspector,
        QEDInspector,
        ISOInspector,
        GPTInspector,
        LUKSInspector,
    )
}


def get_inspector(format_name: str) -> Optional[type[FileInspector]]:
    """Returns the inspector of a format; None for an unknown name."""
    return ALL_FORMATS.get(format_name)


def inspector_of(detection: Detection) -> FileInspector:
    return ALL_FORMATS.get(detection.name or "", UnsupportedInspector)._of(detection)
