"""Inspectors with the interface of `oslo_utils.imageutils.format_inspector`, on top of this library.

A program that uses those inspectors works with these after a change of its import. README.md lists the differences.

    with open("upload", "rb") as file:
        wrapper = InspectWrapper(file)
        for chunk in iter(lambda: wrapper.read(1 << 16), b""):
            ...
        wrapper.close()
    wrapper.format.safety_check()

Compressed files and archives are not looked into: a `disk.qcow2.gz` is no qcow2 image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Optional

from ._detection import FileDetection
from ._inspect_wrapper import InspectWrapper
from ._inspectors import (
    ALL_FORMATS,
    LOG,
    FileInspector,
    GPTInspector,
    ISOInspector,
    ImageFormatError,
    LUKSInspector,
    QEDInspector,
    QcowInspector,
    RawFileInspector,
    SafetyCheck,
    SafetyCheckFailed,
    SafetyViolation,
    UnsupportedInspector,
    VDIInspector,
    VHDInspector,
    VHDXInspector,
    VMDKInspector,
    found_instead,
    get_inspector,
    inspector_of,
    refuse_parameters,
)

if TYPE_CHECKING:
    from ._arguments import StrPath

__all__ = [
    "ALL_FORMATS",
    "FileInspector",
    "GPTInspector",
    "ISOInspector",
    "ImageFormatError",
    "InspectWrapper",
    "LUKSInspector",
    "QEDInspector",
    "QcowInspector",
    "RawFileInspector",
    "SafetyCheck",
    "SafetyCheckFailed",
    "SafetyViolation",
    "UnsupportedInspector",
    "VDIInspector",
    "VHDInspector",
    "VHDXInspector",
    "VMDKInspector",
    "detect_file_format",
    "get_inspector",
]

def detect_file_format(
    filename: StrPath, tracing: bool = False, params: Optional[Mapping[str, str]] = None
) -> FileInspector:
    """Returns the inspector of the format of a file. Reads only the metadata that it needs.

    Raises ImageFormatError if the bytes are valid as more than one format.
    """
    refuse_parameters(params)
    detection = FileDetection(filename)
    if detection.ambiguous:
        raise ImageFormatError(str(detection.error))
    if tracing:
        LOG.debug("%s: %s", filename, found_instead(detection))
    return inspector_of(detection)
