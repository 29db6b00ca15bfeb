"""One call of the library that may take long or that calls back.

Python runs signal handlers only in the main thread, and only between two instructions of Python. A call that the main
thread makes is therefore run by a thread of its own, while the main thread waits in Python: Ctrl-C works at once, and
the caller's callbacks still run in the thread that made the call. The thread ends with the call.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import threading
from typing import Any, Callable, Optional, Sequence

from ._flag import Flag
from ._handle import Handle
from ._raised import Raised
from ._registry import find, register
from ._structures import PROBLEM, PROGRESS
from .cancel import Cancel
from .errors import Error, call

__all__ = ["Progress", "Refused", "Turn", "report_problem", "report_progress"]

Progress = Callable[[int, int], object]
_POLL_SECONDS = 0.05


class Refused(Exception):
    """A callback of the caller has raised an exception, or the call has been stopped."""


class _Request:
    """A callback that the thread of the call must run."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._function, self._arguments = function, arguments
        self._answered = threading.Event()
        self._result: Any = None
        self._refused = True

    def serve(self) -> None:
        """Runs the callback in the current thread."""
        try:
            self._result = self._function(*self._arguments)
            self._refused = False
        finally:
            self._answered.set()

    def result(self, turn: Turn) -> Any:
        """Waits for the result. A signal may lose the answer, but then the call is stopped."""
        while not self._answered.wait(_POLL_SECONDS):
            if turn.stopped:
                raise Refused
        if self._refused:
            raise Refused
        return self._result


class Turn:
    """A call: its callbacks, the flag that stops it, and the exception that a callback raised."""

    def __init__(
        self,
        *,
        progress: Optional[Progress] = None,
        cancel: Optional[Cancel] = None,
        flag: Optional[Flag] = None,
        raised: Sequence[Raised] = (),
    ) -> None:
        self.progress = progress
        self.problem: Callable[..., object] = _ignore
        self._raised = raised
        self._exception: Optional[BaseException] = None
        self._requests: Optional[queue.SimpleQueue[Optional[_Request]]] = None
        self._caller = threading.get_ident()
        self._interrupted, self._serving, self._finished = False, True, False
        self._kept: list[object] = []
        # A signal handler may interrupt a method of the same thread.
        self._lock = threading.RLock()
        self._held: Optional[contextlib.ExitStack] = None
        self.flag = flag or Flag()
        """Stops the call. It lives as long as the call, and longer if something else refers to it."""
        self.number = register(self)
        if cancel is not None:
            cancel._attach(self.flag)

    @property
    def stopped(self) -> bool:
        """True once no callback may run any more."""
        return self._interrupted or not self._serving

    def register(self, value: object) -> int:
        """Returns a number by which callbacks find an object until the call ends."""
        self._kept.append(value)
        return register(value)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a callback of the caller in the thread of the call. Raises Refused if it raises an exception."""
        if self.stopped:
            raise Refused
        if self._requests is None or threading.get_ident() == self._caller:
            try:
                return function(*arguments)
            except BaseException as exception:
                self.stop(exception)
                raise Refused from None
        request = _Request(function, arguments)
        self._requests.put(request)
        return request.result(self)

    def stop(self, exception: BaseException) -> None:
        """Stops the call, which then raises the first such exception."""
        with self._lock:
            if self._exception is None:
                self._exception = exception
            self._interrupted = True
        self.flag.trigger()

    def run(self, function: Callable[..., int], *arguments: Any, holding: Sequence[Handle] = ()) -> None:
        """Makes the call. `holding` are its handles; each is passed as its pointer and cannot be freed meanwhile.

        Raises the exception of a callback as it is, or the error of the library.
        """
        with contextlib.ExitStack() as held:
            for handle in holding:
                held.enter_context(handle.borrowed())
            # Streams refer to the call, and the call to them.
            held.callback(self._kept.clear)
            self._held = held.pop_all()
        arguments = tuple(handle.pointer if isinstance(handle, Handle) else handle for handle in arguments)
        failure = self._elsewhere(function, arguments) if _in_main_thread() else self._here(function, arguments)
        exception = failure if self._exception is None else self._exception
        # Without this, the exception would refer to itself through the frame of this call.
        self._exception = None
        if exception is not None:
            try:
                raise exception
            finally:
                del exception, failure

    def _claim(self) -> Optional[contextlib.ExitStack]:
        """Returns what the call holds to the one thread that makes the call and releases it, None to others."""
        with self._lock:
            held, self._held = self._held, None
            return held

    def _here(self, function: Callable[..., int], arguments: tuple[Any, ...]) -> Optional[BaseException]:
        """Makes the call in the current thread, unless another one does. Returns its exception."""
        held, result = self._claim(), None
        if held is None:
            return None
        with held:
            for raised in self._raised:
                held.enter_context(raised.calling())
            try:
                call(function, *arguments)
            except Error as error:
                result = error
            # An exception of a callback is never lost, even if the library could do without its result.
            found = [raised.take() for raised in self._raised]
            return next((exception for exception in found if exception is not None), result)

    def _elsewhere(self, function: Callable[..., int], arguments: tuple[Any, ...]) -> Optional[BaseException]:
        """Makes the call in another thread, and runs callbacks in this one. Returns the exception of the call."""
        requests = self._requests = queue.SimpleQueue()
        result: list[Optional[BaseException]] = []

        def work() -> None:
            try:
                result.append(self._here(function, arguments))
            finally:
                self._finished = True
                requests.put(None)

        thread = threading.Thread(target=work, name="diskimg")
        # A signal may raise an exception between any two lines, also in the handler of an earlier one. The `finally`
        # runs all the same, and then no callback waits for this thread.
        try:
            try:
                thread.start()
            except RuntimeError:
                # No thread can be started.
                self._requests = None
                return self._here(function, arguments)
            except BaseException as exception:
                self.stop(exception)
                held = self._claim()
                if held is not None:
                    held.close()
                    return exception
            while not self._finished:
                try:
                    request = requests.get()
                    if request is not None:
                        request.serve()
                except BaseException as exception:
                    self.stop(exception)
        finally:
            self._serving = False
        thread.join()
        return result[0]


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _ignore(*_: object) -> None:
    """Receives problems that nobody asked for."""


def _report_progress(user: int, done: int, total: int) -> int:
    """The C callback for progress. `user` is the number of a Turn."""
    try:
        turn: Turn = find(user)
        if turn.progress is not None:
            turn.ask(turn.progress, done, total)
        return errno.ECANCELED if turn.stopped else 0
    except Exception:
        return errno.ECANCELED


report_progress = PROGRESS(_report_progress)


def _report_problem(user: int, kind: int, offset: int, message: bytes) -> int:
    """The C callback for problems. `user` is the number of a Turn."""
    try:
        turn: Turn = find(user)
        turn.ask(turn.problem, kind, offset, message)
        return 0
    except Exception:
        return errno.ECANCELED


report_problem = PROBLEM(_report_problem)
