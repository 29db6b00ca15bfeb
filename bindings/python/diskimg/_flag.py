"""The flag of the library that stops calls."""

from __future__ import annotations

import threading
from typing import Optional

from . import _functions as c

__all__ = ["Flag"]


class Flag:
    """A flag that calls use. It is freed once nothing refers to it, so an owner of calls in progress keeps it."""

    def __init__(self) -> None:
        # A signal handler may interrupt a method of the same thread.
        self._lock = threading.RLock()
        self.pointer: Optional[int] = c.cancel_new()

    def trigger(self) -> None:
        """Stops all calls that use the flag."""
        with self._lock:
            c.cancel_trigger(self.pointer)

    def __del__(self) -> None:
        with self._lock:
            pointer, self.pointer = self.pointer, None
            c.cancel_free(pointer)
