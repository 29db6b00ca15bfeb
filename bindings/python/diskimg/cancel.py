"""Stops calls from outside."""

from __future__ import annotations

import threading
import weakref

from ._flag import Flag

__all__ = ["Cancel"]


class Cancel:
    """Makes the calls that it is passed to raise CancelledError. Several calls may share one; it stays triggered.

    Any thread and any signal handler may trigger it.
    """

    def __init__(self) -> None:
        # A signal handler may interrupt a method of the same thread.
        self._lock = threading.RLock()
        self._flags: weakref.WeakSet[Flag] = weakref.WeakSet()
        self._triggered = False

    @property
    def triggered(self) -> bool:
        """True once `trigger` has been called."""
        return self._triggered

    def trigger(self) -> None:
        """Stops all calls that use this object, and those that will."""
        with self._lock:
            self._triggered = True
            for flag in list(self._flags):
                flag.trigger()

    def _attach(self, flag: Flag) -> None:
        """Triggers a flag, as long as it exists, when this object is triggered."""
        with self._lock:
            self._flags.add(flag)
            if self._triggered:
                flag.trigger()
