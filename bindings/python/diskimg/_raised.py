"""The exceptions that callbacks of an open image or writer have raised."""

from __future__ import annotations

import contextlib
import threading
from typing import Iterator, Optional

__all__ = ["Raised"]


class Raised:
    """Exceptions that wait for the end of the call in which they were raised.

    Several calls may run at once. A callback runs in the thread of its call, or in a thread of the library.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callers: list[int] = []
        self._waiting: list[tuple[int, BaseException]] = []

    def add(self, exception: BaseException) -> None:
        """Adds an exception of the current thread."""
        with self._lock:
            self._waiting.append((threading.get_ident(), exception))

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """Marks the current thread as one that makes a call."""
        me = threading.get_ident()
        with self._lock:
            self._callers.append(me)
        try:
            yield
        finally:
            with self._lock:
                self._callers.remove(me)
                idle = not self._callers
                self._waiting = [entry for entry in self._waiting if entry[0] != me and not idle]

    def take(self) -> Optional[BaseException]:
        """Removes and returns an exception of the current thread's call, but none of another caller."""
        me = threading.get_ident()
        with self._lock:
            others = [thread for thread in self._callers if thread != me]
            for index, (thread, _) in enumerate(self._waiting):
                if thread not in others:
                    return self._waiting.pop(index)[1]
        return None
