"""A handle of the library that any thread may close while others use it."""

from __future__ import annotations

import contextlib
import threading
from ctypes import c_void_p
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Closeable", "Handle"]


class Handle:
    """A pointer that is freed once: when it is closed and no call uses it any more."""

    def __init__(self, kind: str, free: Callable[[Any], None]) -> None:
        self.pointer = c_void_p()
        """Receives the pointer from the library."""
        self._kind, self._free = kind, free
        # A signal handler may interrupt a method of the same thread.
        self._lock = threading.RLock()
        self._users, self._closed = 0, False
        self._kept: list[Callable[[], None]] = []

    @property
    def closed(self) -> bool:
        """True once `close` has been called, even if a call in another thread still runs."""
        return self._closed

    def when_freed(self, action: Callable[[], None]) -> None:
        """Runs an action after the pointer has been freed."""
        self._kept.append(action)

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[c_void_p]:
        """Lends the pointer, which is not freed meanwhile. Raises ValueError if the handle is closed."""
        with self._lock:
            if self._closed:
                raise ValueError(f"I/O operation on closed {self._kind}")
            self._users += 1
        try:
            yield self.pointer
        finally:
            with self._lock:
                self._users -= 1
            self._free_if_unused()

    def close(self) -> None:
        """Closes the handle. Calls in other threads end normally; the last one frees the pointer."""
        with self._lock:
            self._closed = True
        self._free_if_unused()

    def _free_if_unused(self) -> None:
        with self._lock:
            if self._users or not self._closed:
                return
            pointer, self.pointer = self.pointer, c_void_p()
            kept, self._kept = self._kept, []
        self._free(pointer)
        for action in kept:
            action()


class Closeable:
    """An object that a `with` statement closes, with its handle."""

    _handle: Handle

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the object. A second call does nothing."""
        self._handle.close()

    @property
    def closed(self) -> bool:
        """True once the object has been closed."""
        return self._handle.closed
