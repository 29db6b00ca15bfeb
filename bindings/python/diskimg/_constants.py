"""The numbers of diskimg.h, with the names that this package gives them. A test compares them with the header."""

from __future__ import annotations

from typing import Optional

__all__ = [
    "CAPABILITIES",
    "CONVERT_FLAGS",
    "EXTENT_FLAGS",
    "FAULTS",
    "FORMATS",
    "INFO_FLAGS",
    "OPEN_FLAGS",
    "PREALLOCATIONS",
    "PROBLEMS",
    "ROLES",
    "SEVERITIES",
    "STATUSES",
    "WRAPPERS",
]


def _bits(*names: str) -> dict[str, int]:
    return {name: 1 << bit for bit, name in enumerate(names)}


STATUSES = {
    "ok": 0,
    "invalid_argument": 1,
    "io": 2,
    "cancelled": 3,
    "unknown_format": 4,
    "unsupported": 5,
    "corrupt": 6,
    "truncated": 7,
    "limit": 8,
    "reference": 9,
    "encrypted": 10,
    "ambiguous": 11,
    "out_of_bounds": 12,
    "needs_seek": 13,
    "exists": 14,
    "in_use": 15,
    "internal": 99,
}
FAULTS = {0: "unknown", 1: "image", 2: "caller", 3: "machine"}
FORMATS = {"auto": 0, "raw": 1, "qcow2": 2, "vmdk": 3, "vdi": 4}
WRAPPERS: dict[int, Optional[str]] = {0: None, 1: "gzip", 2: "xz", 3: "zstd"}
ROLES = {1: "backing", 2: "data_file", 3: "extent", 4: "parent"}
SEVERITIES = {0: "note", 1: "warning", 2: "unsafe"}
PROBLEMS = {1: "corruption", 2: "leak"}
PREALLOCATIONS = {"off": 0, "falloc": 1, "full": 2}
CAPABILITIES = _bits("read", "stream", "create", "check")
OPEN_FLAGS = _bits(
    "allow_raw",
    "no_unwrap",
    "references",
    "dir_fd",
    "info_only",
    "no_temporary",
    "direct",
    "allow_part",
    "allow_parent_mismatch",
    "no_verify",
    "strict",
    "ignore_locks",
)
CONVERT_FLAGS = _bits(
    "overwrite",
    "compress",
    "no_sparse",
    "in_place",
    "target_is_zero",
    "no_sync",
    "direct",
    "store_zeros",
    "write_through",
    "ignore_locks",
)
INFO_FLAGS = _bits(
    "backing",
    "data_file",
    "extents",
    "encrypted",
    "dirty",
    "corrupt",
    "snapshots",
    "optical_disc",
    "size_known",
    "file_size_known",
    "allocated_size_known",
)
EXTENT_FLAGS = _bits("data", "zero", "allocated", "compressed", "has_offset")
