"""The values that this package returns."""

from __future__ import annotations

import dataclasses
import datetime
from typing import NamedTuple, Optional

__all__ = [
    "CheckResult",
    "ConvertResult",
    "Extent",
    "Finding",
    "Info",
    "Limit",
    "Measurement",
    "Problem",
    "Reference",
    "Setting",
    "Snapshot",
]


class Extent(NamedTuple):
    """Consecutive guest bytes of one kind."""

    start: int
    """The guest offset of the first byte."""
    length: int
    """The length in bytes, at least 1."""
    data: bool
    """True if the bytes are stored."""
    zero: bool
    """True if the bytes read as zeros."""
    allocated: bool
    """True if the image or a layer below it allocates the range."""
    compressed: bool
    """True if the bytes are stored compressed."""
    depth: int
    """The depth of the layer that the bytes come from; 0 is the image itself."""
    offset: Optional[int]
    """The offset of the bytes in the file of their layer if they are stored verbatim, or None."""


@dataclasses.dataclass(frozen=True)
class Info:
    """The description of an image, as its metadata states it. The library does not verify these values."""

    format: str
    """The format, after decompression."""
    wrapper: Optional[str]
    """The compression of the whole file: "gzip", "xz", "zstd", or None."""
    version: int
    """The version number of the format; 0 if it has none."""
    virtual_size: Optional[int]
    """The size of the guest's disk in bytes. None only for a stream whose end decides."""
    file_size: Optional[int]
    """The length of the file in bytes, or None."""
    allocated_size: Optional[int]
    """The bytes that the file occupies on its file system, or None."""
    cluster_size: int
    """The size of a cluster, grain or block in bytes; 0 if the format has none."""
    subformat: Optional[str]
    """The format's name for the layout, such as "streamOptimized"."""
    compression: Optional[str]
    """The compression of clusters, such as "zstd", if the header states it."""
    encryption: Optional[str]
    """The encryption of the content, such as "luks"."""
    content: Optional[str]
    """The structure at the start of a raw disk, such as "gpt"."""
    flags: frozenset[str]
    """Of "backing", "data_file", "extents", "encrypted", "dirty", "corrupt", "snapshots", "optical_disc"."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A reference from an image to another file. The name is untrusted input: never open it unchecked."""

    role: str
    """One of "backing", "data_file", "extent", "parent"."""
    name: bytes
    """The name exactly as stored in the image. It may have NULs and need not be UTF-8."""
    format: Optional[str]
    """The format of the file as stated by the image."""
    offset: Optional[int]
    """The byte offset of the name in the image file."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """An internal snapshot, as listed in its image."""

    id: str
    name: str
    virtual_size: int
    """The size of the disk in bytes when the snapshot was taken."""
    vm_state_size: int
    """The size of the saved machine state in bytes; 0 if there is none."""
    vm_clock_nanoseconds: int
    """The run time of the guest in nanoseconds."""
    date_nanoseconds: int
    """The time of the snapshot in nanoseconds since 1970 (UTC)."""

    @property
    def date(self) -> datetime.datetime:
        """The time of the snapshot, to the microsecond."""
        seconds, rest = divmod(self.date_nanoseconds, 10**9)
        moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
        return moment.replace(microsecond=rest // 1000)


@dataclasses.dataclass(frozen=True)
class Finding:
    """A property of an image that matters to an importer of untrusted images."""

    severity: str
    """One of "note", "warning", "unsafe"."""
    check: str
    """A short name for programs, such as "backing_file"."""
    message: str
    """A line for people, with names escaped."""
    offset: Optional[int]
    """The byte offset in the image file."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A problem that a check found."""

    kind: str
    """"corruption": guest bytes are wrong or may become so. "leak": space in the file is lost."""
    offset: Optional[int]
    """The byte offset in the image file, if there is a single one."""
    message: str
    """A line for people."""


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """The result of a check. Units are clusters, grains or blocks."""

    corruptions: int
    leaks: int
    total_units: int
    allocated_units: int
    compressed_units: int
    fragmented_units: int
    image_end: int
    """The byte offset after the last unit in use; 0 if unknown."""
    problems: tuple[Problem, ...]
    """The first thousand problems."""


@dataclasses.dataclass(frozen=True)
class ConvertResult:
    """The result of a conversion, in bytes of the guest's disk."""

    virtual_size: int
    written: int
    """The bytes stored as data, before compression."""
    copied: int
    """The part of `written` that the kernel copied from file to file."""
    zeros: int
    """The bytes left as holes or zeros."""


class Measurement(NamedTuple):
    """The size of the file that a conversion would write, in bytes."""

    required: int
    """The largest size for the current content of the disk."""
    fully_allocated: int
    """The size once all of the disk is written."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting of a target format, as for `qemu-img -o`."""

    name: str
    values: str
    """The values that it accepts, and the default, in words."""
    help: str


@dataclasses.dataclass(frozen=True)
class Limit:
    """A limit on what an image may demand, for the option `limits`."""

    name: str
    default: int
    """The value that applies unless the caller sets another."""
    help: str
    """A line for people, with the unit."""
