"""The structures of diskimg.h. A test compares them with the header, member by member."""

from __future__ import annotations

from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_int32,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
    sizeof,
)
from typing import TypeVar

S = TypeVar("S", bound=Structure)

# In callbacks, `user` is None for 0, and a pointer to a result is its address.
READ_AT = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t, c_uint64, POINTER(c_size_t))
SIZE = CFUNCTYPE(c_int, c_void_p, POINTER(c_uint64))
NEXT_DATA = CFUNCTYPE(c_int, c_void_p, c_uint64, POINTER(c_uint64), POINTER(c_uint64))
WRITE_AT = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t, c_uint64)
ZERO = CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)
SET_SIZE = CFUNCTYPE(c_int, c_void_p, c_uint64)
FLUSH = CFUNCTYPE(c_int, c_void_p)
CLOSE = CFUNCTYPE(None, c_void_p)
READ = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t, POINTER(c_size_t))
WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
PROGRESS = CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)
PROBLEM = CFUNCTYPE(c_int, c_void_p, c_int, c_uint64, c_char_p)
LOG = CFUNCTYPE(None, c_void_p, c_int, c_char_p)


def sized(kind: type[S]) -> S:
    """Returns a structure of zeros whose first member is its size."""
    return kind(struct_size=sizeof(kind))


class Io(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("user", c_void_p),
        ("pread", READ_AT),
        ("size", SIZE),
        ("next_data", NEXT_DATA),
        ("pwrite", WRITE_AT),
        ("zero", ZERO),
        ("set_size", SET_SIZE),
        ("flush", FLUSH),
        ("close", CLOSE),
    ]


RESOLVE = CFUNCTYPE(c_int, c_void_p, c_uint32, c_char_p, POINTER(Io))


class Parent(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("path", c_char_p),
        ("format", c_uint32),
        ("reserved", c_uint32),
    ]


class OpenOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("flags", c_uint32),
        ("format", c_uint32),
        ("max_virtual_size", c_uint64),
        ("max_cache", c_uint64),
        ("max_decoder_memory", c_uint64),
        ("max_temporary", c_uint64),
        ("temporary_directory", c_char_p),
        ("snapshot", c_char_p),
        ("dir_fd", c_int),
        ("max_depth", c_uint32),
        ("threads", c_uint32),
        ("reserved", c_uint32),
        ("resolve", RESOLVE),
        ("resolve_user", c_void_p),
        ("log", LOG),
        ("log_user", c_void_p),
        ("member", c_char_p),
        ("limits", c_char_p),
        ("progress", PROGRESS),
        ("progress_user", c_void_p),
        ("cancel", c_void_p),
        ("parents", POINTER(Parent)),
        ("parent_count", c_size_t),
        ("search_directory", c_char_p),
    ]


class Target(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("path", c_char_p),
        ("fd", c_int),
        ("reserved", c_uint32),
        ("io", POINTER(Io)),
        ("write", WRITE),
        ("write_user", c_void_p),
    ]


class Stream(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("read", READ),
        ("read_user", c_void_p),
        ("length", c_uint64),
    ]


class ConvertOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("flags", c_uint32),
        ("format", c_uint32),
        ("threads", c_uint32),
        ("level", c_int32),
        ("preallocation", c_uint32),
        ("reserved", c_uint32),
        ("max_memory", c_uint64),
        ("sparse_size", c_uint64),
        ("settings", c_char_p),
        ("progress", PROGRESS),
        ("progress_user", c_void_p),
        ("cancel", c_void_p),
        ("rate", c_uint64),
    ]


class ConvertResult(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("virtual_size", c_uint64),
        ("written", c_uint64),
        ("copied", c_uint64),
        ("zeros", c_uint64),
    ]


class CheckOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("problem", PROBLEM),
        ("problem_user", c_void_p),
        ("progress", PROGRESS),
        ("progress_user", c_void_p),
        ("cancel", c_void_p),
    ]


class CompareOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("progress", PROGRESS),
        ("progress_user", c_void_p),
        ("cancel", c_void_p),
    ]


class CheckResult(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("corruptions", c_uint64),
        ("leaks", c_uint64),
        ("total_units", c_uint64),
        ("allocated_units", c_uint64),
        ("compressed_units", c_uint64),
        ("fragmented_units", c_uint64),
        ("image_end", c_uint64),
    ]


class Info(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("format", c_uint32),
        ("wrapper", c_uint32),
        ("flags", c_uint32),
        ("version", c_uint32),
        ("virtual_size", c_uint64),
        ("file_size", c_uint64),
        ("allocated_size", c_uint64),
        ("cluster_size", c_uint64),
        ("subformat", c_char_p),
        ("compression", c_char_p),
        ("encryption", c_char_p),
        ("content", c_char_p),
    ]


class Reference(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("role", c_uint32),
        ("offset_known", c_uint32),
        ("name", c_void_p),
        ("name_length", c_size_t),
        ("format", c_char_p),
        ("offset", c_uint64),
    ]


class Snapshot(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("id", c_char_p),
        ("name", c_char_p),
        ("virtual_size", c_uint64),
        ("vm_state_size", c_uint64),
        ("vm_clock_nanoseconds", c_uint64),
        ("date_seconds", c_uint32),
        ("date_nanoseconds", c_uint32),
    ]


class Finding(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("severity", c_int),
        ("offset_known", c_uint32),
        ("check", c_char_p),
        ("message", c_char_p),
        ("offset", c_uint64),
    ]


class Extent(Structure):
    _fields_ = [
        ("start", c_uint64),
        ("length", c_uint64),
        ("file_offset", c_uint64),
        ("flags", c_uint32),
        ("depth", c_uint32),
    ]


class Setting(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("values", c_char_p),
        ("help", c_char_p),
    ]


class Limit(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("default_value", c_uint64),
        ("help", c_char_p),
    ]


