"""Detects, inspects, reads, converts and compares virtual-disk images, safely.

    import diskimg

    with diskimg.open("disk.qcow2") as image:
        print(image.format, image.size)
        image.pread(512, 0)
        image.convert("disk.raw")

Images are treated as untrusted input: a file that an image refers to is opened only if the caller allows it, no file is
read as raw by a guess, and the use of memory and disk space is limited.

Every error of the library is a `diskimg.Error`, which is an OSError; with an errno it is also the builtin class for that
errno, such as FileNotFoundError. Exceptions that the caller's own callbacks and files raise are raised as they are.
"""

from ._version import __version__
from .cancel import Cancel
from .convert import convert_stream
from .errors import (
    AmbiguousError,
    CancelledError,
    CorruptError,
    EncryptedError,
    Error,
    ExistsError,
    InternalError,
    InUseError,
    InvalidArgumentError,
    IoError,
    LimitError,
    NeedsSeekError,
    OutOfBoundsError,
    ReferenceDeniedError,
    TruncatedError,
    UnknownFormatError,
    UnsupportedError,
)
from .files import RandomReader, RandomWriter, SeekableFile, WritableStream
from .formats import capabilities, formats, library_version, limits, settings
from .image import Image, open, open_memory, open_reader
from .probe import Probe, ProbeState
from .records import (
    CheckResult,
    ConvertResult,
    Extent,
    Finding,
    Info,
    Limit,
    Measurement,
    Problem,
    Reference,
    Setting,
    Snapshot,
)
from .writer import Writer, create

__all__ = [
    "AmbiguousError",
    "Cancel",
    "CancelledError",
    "CheckResult",
    "ConvertResult",
    "CorruptError",
    "EncryptedError",
    "Error",
    "ExistsError",
    "Extent",
    "Finding",
    "Image",
    "InUseError",
    "Info",
    "InternalError",
    "InvalidArgumentError",
    "IoError",
    "Limit",
    "LimitError",
    "Measurement",
    "NeedsSeekError",
    "OutOfBoundsError",
    "Probe",
    "ProbeState",
    "Problem",
    "RandomReader",
    "RandomWriter",
    "Reference",
    "ReferenceDeniedError",
    "SeekableFile",
    "Setting",
    "Snapshot",
    "TruncatedError",
    "UnknownFormatError",
    "UnsupportedError",
    "WritableStream",
    "Writer",
    "__version__",
    "capabilities",
    "convert_stream",
    "create",
    "formats",
    "library_version",
    "limits",
    "open",
    "open_memory",
    "open_reader",
    "settings",
]
