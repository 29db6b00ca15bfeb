"""The keyword arguments of the functions that open, convert and create images. Each has the name that it has in C.

An option that is not given has its default. The defaults are safe for untrusted images.
"""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence, TypedDict, Union

from ._arguments import StrPath, descriptor, number, path_bytes, text
from ._callbacks import Resolver, report_finding, resolve_reference
from ._constants import CONVERT_FLAGS, OPEN_FLAGS, PREALLOCATIONS
from ._raised import Raised
from ._structures import ConvertOptions as ConvertRecord
from ._structures import OpenOptions as OpenRecord
from ._structures import Parent, sized
from ._turn import Progress, Turn, report_progress
from .cancel import Cancel
from .files import RandomReader, SeekableFile
from .formats import format_number

__all__ = [
    "ConvertOptions",
    "OpenOptions",
    "ProbeOptions",
    "StreamOptions",
    "convert_record",
    "open_record",
    "split_options",
]

Names = Union[str, Mapping[str, Union[str, int]]]
"""Names with values: "cluster_size=2M,compat=v3", or {"cluster_size": 2 << 20, "compat": "v3"}."""

Resolve = Callable[[str, bytes], Union[RandomReader, SeekableFile, None]]
"""Receives the role ("backing", "data_file", "extent", "parent") and the name of a reference. The name is untrusted.
Returns a file to read, which is closed after its last use, or None to refuse.
"""


class ProbeOptions(TypedDict, total=False):
    """The options of `Probe`."""

    format: Optional[str]
    """The format of the image, after decompression. None detects it."""
    allow_raw: bool
    """Accepts a file that no format recognises as a raw disk."""
    no_unwrap: bool
    """Reads a compressed file as it is."""
    allow_part: bool
    """Reads a file that is only a part of a disk as if it were a disk."""
    max_virtual_size: int
    """The largest virtual size to accept, in bytes."""
    max_decoder_memory: int
    """The largest dictionary that a decoder may allocate, in bytes."""
    member: Optional[str]
    """The name of the disk to read in an archive."""
    limits: Names
    """Further limits by their names: see `diskimg.limits()`."""


class OpenOptions(ProbeOptions, total=False):
    """The options of `open`, `open_memory` and `open_reader`."""

    references: bool
    """Opens the files that the image refers to, in its directory or below it."""
    dir_fd: int
    """The directory to open references in; with `references`."""
    search_directory: StrPath
    """A further directory to search for the files that the image refers to."""
    parents: Sequence[Union[StrPath, tuple[StrPath, Optional[str]]]]
    """The files below the image, nearest first, each a path or a path and its format."""
    resolve: Resolve
    """Opens the files that the image refers to."""
    log: Callable[[str, str], object]
    """Receives the severity and the message of each finding while the image is opened."""
    info_only: bool
    """Reads only the description of the image, and opens no other file."""
    no_temporary: bool
    """Creates no temporary file."""
    direct: bool
    """Bypasses the page cache for files opened by path."""
    allow_parent_mismatch: bool
    """Accepts a parent with another UUID or content id than the image records."""
    no_verify: bool
    """Ignores the digests of the manifest in an OVA."""
    strict: bool
    """Refuses an image with a finding of the severity "warning" or worse."""
    ignore_locks: bool
    """Neither takes nor respects the locks of QEMU."""
    max_cache: int
    """The size of the metadata cache in bytes."""
    max_temporary: int
    """The largest temporary file, in bytes."""
    temporary_directory: StrPath
    """The directory for temporary files."""
    snapshot: Optional[str]
    """The id or name of an internal snapshot to read."""
    max_depth: int
    """The largest number of layers below the image."""
    threads: int
    """The number of threads; 0 for one per core."""
    progress: Optional[Progress]
    """Receives the bytes done and the total (0 if unknown). An exception that it raises stops the call."""
    cancel: Optional[Cancel]
    """Stops the call from outside."""


class ConvertOptions(TypedDict, total=False):
    """The options of `Image.convert`, `Image.measure` and `create`."""

    overwrite: bool
    """Replaces an existing file once the new one is complete."""
    compress: bool
    """Compresses clusters or grains."""
    no_sparse: bool
    """Writes stored zeros as data."""
    in_place: bool
    """Writes into an existing file or block device, which keeps its size."""
    target_is_zero: bool
    """Assumes that an existing target reads as zeros."""
    no_sync: bool
    """Returns before the data is on stable storage."""
    direct: bool
    """Bypasses the page cache."""
    store_zeros: bool
    """Writes all zeros as data, also those of holes."""
    write_through: bool
    """Passes each write to stable storage before the next."""
    ignore_locks: bool
    """Neither takes nor respects the locks of QEMU."""
    threads: int
    """The number of threads; 0 for one per core."""
    level: int
    """The compression level; 0 for the method's default."""
    preallocation: str
    """"off", "falloc" or "full", for raw files. Image formats have a setting for it."""
    max_memory: int
    """The size of the buffers of all threads together, in bytes."""
    sparse_size: int
    """The smallest run of zeros that becomes a hole, in bytes: a power of two of at least 512."""
    settings: Names
    """The settings of the format: see `diskimg.settings()`."""
    rate: int
    """The largest number of bytes of the disk to write per second; 0 for no limit."""
    progress: Optional[Progress]
    """Receives the bytes done and the total (0 if unknown). An exception that it raises stops the call."""
    cancel: Optional[Cancel]
    """Stops the call from outside."""


class StreamOptions(ConvertOptions, total=False):
    """The options of `convert_stream`, for the source and the target."""

    source_format: Optional[str]
    """The format of the source. None detects it."""
    allow_raw: bool
    """Accepts a stream that no format recognises as a raw disk."""
    no_unwrap: bool
    """Reads a compressed stream as it is."""
    allow_part: bool
    """Reads a file that is only a part of a disk as if it were a disk."""
    no_temporary: bool
    """Creates no temporary file."""
    no_verify: bool
    """Ignores the digests of the manifest in an OVA."""
    strict: bool
    """Refuses an image with a finding of the severity "warning" or worse."""
    max_virtual_size: int
    """The largest virtual size to accept, in bytes."""
    max_decoder_memory: int
    """The largest dictionary that a decoder may allocate, in bytes."""
    max_temporary: int
    """The largest temporary file, in bytes."""
    temporary_directory: StrPath
    """The directory for temporary files."""
    snapshot: Optional[str]
    """The id or name of an internal snapshot to read."""
    member: Optional[str]
    """The name of the disk to read in an archive."""
    limits: Names
    """Further limits by their names: see `diskimg.limits()`."""


def _refuse_unknown(options: Mapping[str, Any], known: Iterable[str]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}")


def _flags(options: Mapping[str, Any], flags: Mapping[str, int]) -> int:
    return sum(bit for name, bit in flags.items() if name != "dir_fd" and options.get(name))


def _names(value: Optional[Names]) -> Optional[bytes]:
    """Returns names with values as one string. A comma in a value is doubled, as `qemu-img -o` expects."""
    if value is None or isinstance(value, str):
        return text(value)
    return text(",".join(f"{name}={str(one).replace(',', ',,')}" for name, one in value.items()))


def _parents(given: Sequence[Any]) -> ctypes.Array[Parent]:
    parents = (Parent * len(given))()
    for parent, entry in zip(parents, given):
        path, format = entry if isinstance(entry, tuple) else (entry, None)
        parent.struct_size = ctypes.sizeof(Parent)
        parent.path, parent.format = path_bytes(path), format_number(format)
    return parents


def open_record(
    options: Mapping[str, Any], turn: Optional[Turn], raised: Raised, known: Any = OpenOptions
) -> tuple[OpenRecord, Resolver]:
    """Returns the C structure of `options`, and its callbacks, which an open image keeps using.

    `turn` receives progress and stops the call; None if it has no use.
    """
    _refuse_unknown(options, known.__annotations__)
    record = sized(OpenRecord)
    record.flags = _flags(options, OPEN_FLAGS)
    record.format = format_number(options.get("format"))
    for name in ("max_virtual_size", "max_cache", "max_decoder_memory", "max_temporary"):
        setattr(record, name, number(options.get(name) or 0, name))
    for name in ("max_depth", "threads"):
        setattr(record, name, number(options.get(name) or 0, name, 32))
    for name in ("temporary_directory", "search_directory"):
        if options.get(name) is not None:
            setattr(record, name, path_bytes(options[name]))
    record.snapshot, record.member = text(options.get("snapshot")), text(options.get("member"))
    record.limits = _names(options.get("limits"))
    record.dir_fd = -1
    if options.get("dir_fd") is not None:
        record.flags |= OPEN_FLAGS["dir_fd"]
        record.dir_fd = descriptor(options["dir_fd"])
    if options.get("parents"):
        record.parents = _parents(options["parents"])
        record.parent_count = len(options["parents"])
    resolver = Resolver(options.get("resolve"), options.get("log"), raised)
    if options.get("resolve") is not None:
        record.resolve, record.resolve_user = resolve_reference, resolver.number
    if options.get("log") is not None:
        record.log, record.log_user = report_finding, resolver.number
    if turn is not None:
        record.progress, record.progress_user, record.cancel = report_progress, turn.number, turn.flag.pointer
    return record, resolver


def convert_record(
    format: Optional[str], options: Mapping[str, Any], turn: Turn
) -> ConvertRecord:
    """Returns the C structure of `options`."""
    _refuse_unknown(options, ConvertOptions.__annotations__)
    record = sized(ConvertRecord)
    record.flags = _flags(options, CONVERT_FLAGS)
    record.format = format_number(format)
    record.threads = number(options.get("threads") or 0, "threads", 32)
    for name in ("max_memory", "sparse_size", "rate"):
        setattr(record, name, number(options.get(name) or 0, name))
    level = int(options.get("level") or 0)
    if not -(1 << 31) <= level < 1 << 31:
        raise ValueError(f"level is {level}, expected a number of 32 bits")
    record.level = level
    preallocation = options.get("preallocation") or "off"
    if preallocation not in PREALLOCATIONS:
        raise ValueError(f"unknown preallocation {preallocation!r}, expected one of {', '.join(PREALLOCATIONS)}")
    record.preallocation = PREALLOCATIONS[preallocation]
    record.settings = _names(options.get("settings"))
    record.progress, record.progress_user, record.cancel = report_progress, turn.number, turn.flag.pointer
    return record


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits the options of `convert_stream` into those of the source and those of the target."""
    _refuse_unknown(options, StreamOptions.__annotations__)
    source, target = {}, {}
    for name, value in options.items():
        if name == "source_format":
            source["format"] = value
        elif name in ConvertOptions.__annotations__:
            target[name] = value
        else:
            source[name] = value
    if "threads" in options:
        source["threads"] = options["threads"]
    return source, target
