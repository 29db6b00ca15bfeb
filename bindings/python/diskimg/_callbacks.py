"""The callbacks that resolve references and receive findings. An open image keeps using them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Callable, Optional, Union

from ._constants import ROLES, SEVERITIES
from ._provided import fill_reader
from ._raised import Raised
from ._registry import find, register
from ._structures import LOG, RESOLVE, Io
from .files import RandomReader, SeekableFile, as_reader

if TYPE_CHECKING:
    from ctypes import _Pointer

__all__ = ["Resolver", "report_finding", "resolve_reference"]


class Resolver:
    """The callbacks of the caller for one image, which keeps this object."""

    def __init__(
        self,
        resolve: Optional[Callable[[str, bytes], Union[RandomReader, SeekableFile, None]]],
        log: Optional[Callable[[str, str], object]],
        raised: Raised,
    ) -> None:
        self._resolve, self._log, self.raised = resolve, log, raised
        self.number = register(self)

    def resolve(self, role: int, name: bytes, io: Io) -> int:
        """Fills in the file with this name. Returns 0 or an errno to refuse."""
        file = self._resolve(ROLES.get(role, "unknown"), name) if self._resolve is not None else None
        if file is None:
            return errno.EACCES
        fill_reader(io, as_reader(file), self.raised, owned=True)
        return 0

    def release(self) -> None:
        """Drops the callbacks: the image is freed."""
        self._resolve = self._log = None

    def log(self, level: int, message: bytes) -> None:
        """Passes a finding to the caller."""
        if self._log is not None:
            self._log(SEVERITIES.get(level, "unknown"), message.decode())


def _resolve_reference(user: int, role: int, name: bytes, io: _Pointer[Io]) -> int:
    """The C callback for references. `user` is the number of a Resolver."""
    try:
        resolver: Resolver = find(user)
        return resolver.resolve(role, name, io.contents)
    except BaseException as exception:
        find(user).raised.add(exception)
        return errno.EIO


resolve_reference = RESOLVE(_resolve_reference)


def _report_finding(user: int, level: int, message: bytes) -> None:
    """The C callback for findings. `user` is the number of a Resolver."""
    try:
        resolver: Resolver = find(user)
        resolver.log(level, message)
    except BaseException as exception:
        find(user).raised.add(exception)


report_finding = LOG(_report_finding)
