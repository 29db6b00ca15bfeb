"""Structures of the library as values of Python."""

from __future__ import annotations

import ctypes
import json
from ctypes import c_void_p
from typing import Any, Callable, Optional

from . import _functions as c
from . import _structures as s
from ._arguments import text
from ._constants import EXTENT_FLAGS, INFO_FLAGS, ROLES, SEVERITIES, WRAPPERS
from .errors import call
from .formats import format_name
from .records import Extent, Finding, Info, Reference, Snapshot

__all__ = ["extent", "finding", "info", "optional_text", "parsed_json", "reference", "snapshot"]

_KNOWN = {"size_known", "file_size_known", "allocated_size_known"}


def optional_text(value: Optional[bytes]) -> Optional[str]:
    """Returns a C string as text; None for NULL."""
    return value.decode(errors="backslashreplace") if value is not None else None


def _text(value: Optional[bytes]) -> str:
    return optional_text(value) or ""


def info(record: s.Info) -> Info:
    """Returns a description."""
    flags = frozenset(name for name, bit in INFO_FLAGS.items() if record.flags & bit)
    return Info(
        format=format_name(record.format),
        wrapper=WRAPPERS.get(record.wrapper, "unknown"),
        version=record.version,
        virtual_size=record.virtual_size if "size_known" in flags else None,
        file_size=record.file_size if "file_size_known" in flags else None,
        allocated_size=record.allocated_size if "allocated_size_known" in flags else None,
        cluster_size=record.cluster_size,
        subformat=optional_text(record.subformat),
        compression=optional_text(record.compression),
        encryption=optional_text(record.encryption),
        content=optional_text(record.content),
        flags=flags - _KNOWN,
    )


def reference(record: s.Reference) -> Reference:
    """Returns a reference, with the NULs that its name may have."""
    return Reference(
        role=ROLES.get(record.role, "unknown"),
        name=ctypes.string_at(record.name, record.name_length),
        format=optional_text(record.format),
        offset=record.offset if record.offset_known else None,
    )


def snapshot(record: s.Snapshot) -> Snapshot:
    """Returns a snapshot."""
    return Snapshot(
        id=_text(record.id),
        name=_text(record.name),
        virtual_size=record.virtual_size,
        vm_state_size=record.vm_state_size,
        vm_clock_nanoseconds=record.vm_clock_nanoseconds,
        date_nanoseconds=record.date_seconds * 10**9 + record.date_nanoseconds,
    )


def finding(record: s.Finding) -> Finding:
    """Returns a finding."""
    return Finding(
        severity=SEVERITIES.get(record.severity, "unknown"),
        check=_text(record.check),
        message=_text(record.message),
        offset=record.offset if record.offset_known else None,
    )


def extent(record: s.Extent) -> Extent:
    """Returns an extent."""
    has = {name: bool(record.flags & bit) for name, bit in EXTENT_FLAGS.items()}
    offset = record.file_offset if has.pop("has_offset") else None
    return Extent(record.start, record.length, depth=record.depth, offset=offset, **has)


def parsed_json(function: Callable[..., int], handle: c_void_p, filename: Optional[str]) -> dict[str, Any]:
    """Calls a function that returns JSON, and returns the object."""
    found = c_void_p()
    call(function, handle, text(filename), ctypes.byref(found))
    try:
        value: dict[str, Any] = json.loads(ctypes.string_at(found.value or 0))
    finally:
        c.string_free(found)
    return value
