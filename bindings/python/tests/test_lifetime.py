"""Closing, threads, processes, and what remains after many calls."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pathlib
import threading
import time
import unittest
import warnings
from typing import Callable

import diskimg
from diskimg import _provided, _registry
from support import GOOD, Case, MemoryReader, disk_bytes


def memory_kib() -> int:
    """Returns the resident memory of this process."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def read_in_child(path: str) -> bytes:
    with diskimg.open(path) as image:
        return image.pread(image.size, 0)


class Closing(Case):
    def test_closed_image_refuses_every_call(self) -> None:
        image = diskimg.open(GOOD / "snapshots.qcow2")
        stream = image.stream()
        extents = image.extents()
        image.close()
        image.close()
        self.assertTrue(image.closed)
        calls: list[Callable[[], object]] = [
            lambda: image.size,
            lambda: image.format,
            lambda: image.info,
            lambda: image.references,
            lambda: image.snapshots,
            lambda: image.findings,
            lambda: image.pread(1, 0),
            lambda: image.readinto(bytearray(1), 0),
            lambda: image.readinto(bytearray(0), 0),
            lambda: list(image.extents()),
            lambda: next(extents),
            lambda: stream.read(1),
            lambda: image.check(),
            lambda: image.measure(),
            lambda: image.compare(image),
            lambda: image.convert(self.scratch / "out"),
            image.info_json,
        ]
        for call in calls:
            with self.assertRaisesRegex(ValueError, "closed"):
                call()
        self.assertEqual(self.files(), [])

    def test_closed_probe_refuses_every_call(self) -> None:
        probe = diskimg.Probe()
        probe.close()
        for call in (lambda: probe.push(b""), lambda: probe.info, probe.info_json, probe.finish):
            with self.assertRaisesRegex(ValueError, "closed"):
                call()

    def test_image_may_be_closed_while_others_read(self) -> None:
        expected = disk_bytes(GOOD / "zstd.qcow2")
        for _ in range(30):
            image = diskimg.open(GOOD / "zstd.qcow2")
            wrong: list[object] = []

            def read() -> None:
                while True:
                    try:
                        if image.pread(1 << 30, 0) != expected:
                            wrong.append("bytes")
                    except ValueError:
                        return
                    except BaseException as error:
                        wrong.append(error)
                        return

            threads = [threading.Thread(target=read) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.005)
            image.close()
            for thread in threads:
                thread.join()
            self.assertEqual(wrong, [])

    def test_image_may_be_closed_by_its_own_callback(self) -> None:
        image = diskimg.open(GOOD / "v3.qcow2")
        image.convert(self.scratch / "out", progress=lambda *_: image.close())
        self.assertEqual((self.scratch / "out").read_bytes(), disk_bytes(GOOD / "v3.qcow2"))
        with self.assertRaises(ValueError):
            image.size  # noqa: B018: raises

    def test_forgotten_image_is_closed_with_a_warning(self) -> None:
        before = descriptors()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            diskimg.open(GOOD / "v3.qcow2")
            gc.collect()
        self.assertEqual([entry.category for entry in caught], [ResourceWarning])
        self.assertEqual(descriptors(), before)

    def test_forgotten_writer_leaves_no_file(self) -> None:
        diskimg.create(self.scratch / "out", 1 << 20)
        gc.collect()
        self.assertEqual(self.files(), [])


class Resources(Case):
    def test_ten_thousand_opens_leave_nothing(self) -> None:
        data = (GOOD / "v3.qcow2").read_bytes()

        def round_of(count: int) -> None:
            for index in range(count):
                if index % 4 == 0:
                    image = diskimg.open(GOOD / "v3.qcow2")
                elif index % 4 == 1:
                    image = diskimg.open_memory(data)
                elif index % 4 == 2:
                    image = diskimg.open_reader(MemoryReader(data))
                else:
                    with self.assertRaises(diskimg.UnknownFormatError):
                        diskimg.open_memory(b"text" * 100, log=print, resolve=lambda *_: None)
                    continue
                image.pread(512, 0)
                image.close()

        round_of(500)
        gc.collect()
        before = memory_kib(), descriptors(), threading.active_count(), len(_registry._objects) + len(_provided._in_use)
        round_of(10_000)
        gc.collect()
        self.assertEqual((descriptors(), threading.active_count(), len(_registry._objects) + len(_provided._in_use)), before[1:])
        self.assertLess(memory_kib(), before[0] + 8 * 1024)

    def test_calls_leave_nothing_registered(self) -> None:
        gc.collect()
        before = len(_registry._objects) + len(_provided._in_use)
        with diskimg.open(GOOD / "v3.qcow2", log=print) as image:
            image.convert(lambda data: None, progress=lambda *_: None)
            image.check()
            image.compare(image)
            with self.assertRaises(ValueError):
                image.convert(self.scratch / "a\0b")
            with self.assertRaises(FileNotFoundError):
                image.convert(self.scratch / "absent/file")
            diskimg.convert_stream([(GOOD / "v3.qcow2").read_bytes()], lambda data: None)
        with self.assertRaises(ValueError):
            diskimg.open(GOOD / "v3.qcow2", snapshot="a\0b", log=print)
        gc.collect()
        self.assertEqual(len(_registry._objects) + len(_provided._in_use), before)


class Processes(Case):
    def test_child_process_reads_an_inherited_image(self) -> None:
        expected = disk_bytes(GOOD / "v3.qcow2")
        with diskimg.open(GOOD / "v3.qcow2") as image:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    same = image.pread(image.size, 0) == expected
                    image.close()
                    code = 0 if same and read_in_child(str(GOOD / "v3.qcow2")) == expected else 2
                finally:
                    os._exit(code)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual(image.pread(image.size, 0), expected)

    def test_pool_of_processes_returns_bytes_and_errors(self) -> None:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            self.assertEqual(pool.apply(read_in_child, (str(GOOD / "v3.qcow2"),)), disk_bytes(GOOD / "v3.qcow2"))
            with self.assertRaises(FileNotFoundError) as caught:
                pool.apply(read_in_child, (str(self.scratch / "absent"),))
            self.assertIsInstance(caught.exception, diskimg.IoError)


if __name__ == "__main__":
    unittest.main()
