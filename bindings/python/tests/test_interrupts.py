"""Ctrl-C and other signals during calls that take long."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any, Iterator

import diskimg
from support import Case, MemoryReader


class Interrupts(Case):
    def setUp(self) -> None:
        super().setUp()
        # With a rate of 1 MiB/s, no conversion ends by itself.
        self.large = self.scratch / "large.raw"
        self.large.write_bytes(os.urandom(32 << 20))

    def interrupted(self, call: Any, delay: float = 0.3) -> float:
        """Makes a call, sends SIGINT meanwhile, and returns the time from the signal to the exception."""
        sent: list[float] = []

        def send() -> None:
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(delay, send)
        timer.start()
        try:
            call()
            # Otherwise the signal would stop the next test.
            timer.cancel()
        except KeyboardInterrupt:
            end = time.monotonic()
            timer.join()
            return end - sent[0]
        self.fail("the call ended before the signal")

    def test_ctrl_c_stops_a_conversion_without_callbacks(self) -> None:
        with diskimg.open(self.large, format="raw") as image:
            for format in ("raw", "qcow2"):
                target = self.scratch / "out"
                took = self.interrupted(lambda: image.convert(target, format, rate=1 << 20))
                self.assertLess(took, 2)
                self.assertEqual(self.files(), ["large.raw"])

    def test_ctrl_c_stops_a_stream_that_waits(self) -> None:
        read, write = os.pipe()
        with open(read, "rb", buffering=0) as source:
            took = self.interrupted(lambda: diskimg.convert_stream(source, self.scratch / "out", source_format="raw"))
            self.assertLess(took, 2)
        os.close(write)
        self.assertEqual(self.files(), ["large.raw"])

    def test_ctrl_c_stops_a_call_with_a_slow_progress_callback(self) -> None:
        with diskimg.open(self.large, format="raw") as image:
            self.interrupted(
                lambda: image.convert(
                    self.scratch / "out", rate=1 << 20, progress=lambda *_: time.sleep(0.02)
                )
            )
        self.assertEqual(self.files(), ["large.raw"])

    def test_ctrl_c_stops_reads_of_a_slow_reader(self) -> None:
        class Slow(MemoryReader):
            def pread(self, length: int, offset: int, /) -> memoryview:
                time.sleep(0.05)
                return super().pread(min(length, 512), offset)

        with diskimg.open_reader(Slow(bytes(1 << 20)), format="raw") as image:

            def read() -> None:
                while True:
                    image.pread(4096, 0)

            self.interrupted(read)
            self.assertEqual(image.pread(10, 0), bytes(10))

    def test_signal_handler_may_cancel_a_call(self) -> None:
        cancel = diskimg.Cancel()
        previous = signal.signal(signal.SIGUSR1, lambda *_: cancel.trigger())
        self.addCleanup(signal.signal, signal.SIGUSR1, previous)
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        with diskimg.open(self.large, format="raw") as image, self.assertRaises(diskimg.CancelledError):
            image.convert(self.scratch / "out", rate=1 << 20, cancel=cancel)
        timer.join()

    def test_many_interrupts_at_any_time_neither_hang_nor_crash(self) -> None:
        program = textwrap.dedent(
            f"""
            import diskimg, os, random, signal, threading, time
            source = {str(self.large)!r}
            def send():
                while not done:
                    time.sleep(random.random() / 50)
                    os.kill(os.getpid(), signal.SIGINT)
            done = []
            interrupts = 0
            end = time.monotonic() + 4
            thread = threading.Thread(target=send)
            while True:
                try:
                    if thread.ident is None:
                        thread.start()
                    with diskimg.open(source, format="raw") as image:
                        while time.monotonic() < end:
                            image.convert(lambda data: None, progress=lambda *_: None)
                    break
                except KeyboardInterrupt:
                    interrupts += 1
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            done.append(True)
            thread.join()
            while threading.active_count() > 1:
                time.sleep(0.01)
            print("interrupts", interrupts)
            """
        )
        result = subprocess.run(
            [sys.executable, "-B", "-c", program], capture_output=True, text=True, timeout=60, env=environment()
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertGreater(int(result.stdout.split()[-1]), 20, result.stderr)


def environment() -> dict[str, str]:
    """Returns the environment for a program that imports the same package."""
    package = pathlib.Path(diskimg.__file__).resolve().parent
    return {**os.environ, "PYTHONPATH": str(package.parent)}


class Threads(Case):
    def test_calls_of_other_threads_run_there(self) -> None:
        seen: set[int] = set()

        def chunks() -> Iterator[bytes]:
            seen.add(threading.get_ident())
            yield bytes(1000)

        def work() -> None:
            diskimg.convert_stream(
                chunks(), lambda data: None, source_format="raw", progress=lambda *_: seen.add(threading.get_ident())
            )
            seen.discard(threading.get_ident())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertNotIn(threading.get_ident(), seen)
