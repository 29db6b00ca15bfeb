"""The formats, settings and limits of the library."""

from __future__ import annotations

from ctypes import byref
from typing import Optional

from . import _functions as c
from ._arguments import text
from ._constants import CAPABILITIES, FORMATS
from ._structures import Limit as LimitRecord
from ._structures import Setting as SettingRecord
from ._structures import sized
from .errors import call
from .records import Limit, Setting

__all__ = ["capabilities", "format_name", "format_number", "formats", "library_version", "limits", "settings"]


def library_version() -> str:
    """Returns the version of the library at run time, such as "0.1.0"."""
    version: bytes = c.version_string()
    return version.decode()


def format_number(name: Optional[str]) -> int:
    """Returns the number of a format; 0 for None. Raises ValueError for an unknown name."""
    if name is None:
        return FORMATS["auto"]
    number: int = c.format_by_name(text(name))
    if number == FORMATS["auto"]:
        raise ValueError(f"unknown format {name!r}, expected one of {', '.join(formats())}")
    return number


def format_name(number: int) -> str:
    """Returns the name of a format; "unknown" for an unknown number."""
    name: Optional[bytes] = c.format_name(number)
    return name.decode() if name is not None else "unknown"


def formats() -> list[str]:
    """Returns the names of the formats that the library reads."""
    return [name for name, number in FORMATS.items() if c.format_caps(number) & CAPABILITIES["read"]]


def capabilities(format: str) -> frozenset[str]:
    """Returns what the library does with a format, of "read", "stream", "create" and "check"."""
    bits: int = c.format_caps(format_number(format))
    return frozenset(name for name, bit in CAPABILITIES.items() if bits & bit)


def settings(format: str) -> list[Setting]:
    """Returns the settings of a target format, for the option `settings`."""
    number, found = format_number(format), []
    for index in range(c.setting_count(number)):
        record = sized(SettingRecord)
        call(c.get_setting, number, index, byref(record))
        found.append(Setting(record.name.decode(), record.values.decode(), record.help.decode()))
    return found


def limits() -> list[Limit]:
    """Returns the limits on what an image may demand, for the option `limits`."""
    found = []
    for index in range(c.limit_count()):
        record = sized(LimitRecord)
        call(c.get_limit, index, byref(record))
        found.append(Limit(record.name.decode(), record.default_value, record.help.decode()))
    return found
