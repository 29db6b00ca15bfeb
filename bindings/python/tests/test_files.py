"""Images in files that the caller provides."""

from __future__ import annotations

import gzip
import io
import os
import threading
from typing import Any, Callable

import diskimg
from support import GOOD, Case, MemoryReader, disk_bytes, painted

DATA = (GOOD / "v3.qcow2").read_bytes()


class Readers(Case):
    def test_reader_and_file_object_read_as_the_file(self) -> None:
        expected = disk_bytes(GOOD / "v3.qcow2")
        with open(GOOD / "v3.qcow2", "rb") as file, gzip.open(GOOD / "v3.qcow2.gz") as decompressed:
            readers: list[Any] = [MemoryReader(DATA), io.BytesIO(DATA), file, decompressed]
            for reader in readers:
                with self.subTest(type(reader)):
                    with diskimg.open_reader(reader) as image:
                        self.assertEqual(image.pread(image.size, 0), expected)
                    self.assertFalse(getattr(reader, "closed", False))

    def test_image_is_a_reader_of_an_image_inside(self) -> None:
        with diskimg.create(self.scratch / "outer.vdi", len(DATA), "vdi") as writer:
            writer.pwrite(DATA, 0)
        with diskimg.open(self.scratch / "outer.vdi") as outer:
            with diskimg.open_reader(outer) as inner:
                self.assertEqual(inner.format, "qcow2")
                self.assertEqual(inner.pread(inner.size, 0), disk_bytes(GOOD / "v3.qcow2"))
            self.assertFalse(outer.closed)

    def test_reader_with_holes_is_asked_for_them(self) -> None:
        class Sparse(MemoryReader):
            def next_data(self, offset: int) -> Any:
                return (1 << 20, (1 << 20) + 4096) if offset < (1 << 20) + 4096 else None

        reader = Sparse(bytes(1 << 20) + painted(4096) + bytes(1 << 20))
        with diskimg.open_reader(reader, format="raw") as image:
            extents = [(extent.start, extent.length, extent.data) for extent in image.extents()]
        self.assertEqual(extents, [(0, 1 << 20, False), (1 << 20, 4096, True), ((1 << 20) + 4096, 1 << 20, False)])

    def test_exception_of_a_reader_is_raised_as_it_is(self) -> None:
        failures: list[BaseException] = [LookupError("gone"), ConnectionResetError(104, "reset"), KeyboardInterrupt()]
        for failure in failures:
            with self.subTest(failure):
                with self.assertRaises(type(failure)) as caught:
                    diskimg.open_reader(MemoryReader(DATA, failure))
                self.assertIs(caught.exception, failure)
                reader = MemoryReader(DATA)
                with diskimg.open_reader(reader) as image:
                    reader.failure = failure
                    calls: list[Callable[[], object]] = [
                        lambda: image.pread(image.size, 0),
                        lambda: image.convert(self.scratch / "out"),
                        lambda: image.compare(image),
                    ]
                    for call in calls:
                        with self.assertRaises(type(failure)) as caught:
                            call()
                        self.assertIs(caught.exception, failure)
                    reader.failure = None
                    self.assertEqual(image.pread(image.size, 0), disk_bytes(GOOD / "v3.qcow2"))
        self.assertEqual(self.files(), [])

    def test_exceptions_reach_the_thread_whose_call_failed(self) -> None:
        class Named(MemoryReader):
            def pread(self, length: int, offset: int, /) -> memoryview:
                if self.failure is not None:
                    raise LookupError(threading.current_thread().name)
                return super().pread(length, offset)

        reader, wrong = Named(painted(1 << 16)), []
        with diskimg.open_reader(reader, format="raw") as image:
            reader.failure = LookupError()

            def work() -> None:
                for _ in range(200):
                    try:
                        image.pread(100, 0)
                        wrong.append("no exception")
                    except LookupError as error:
                        if error.args[0] != threading.current_thread().name:
                            wrong.append(error.args[0])

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])

    def test_reader_that_returns_too_much_is_an_error(self) -> None:
        class Greedy(MemoryReader):
            def pread(self, length: int, offset: int, /) -> memoryview:
                return memoryview(bytes(length + 1))

        with self.assertRaisesRegex(ValueError, "were returned, at most"):
            diskimg.open_reader(Greedy(DATA))

    def test_reader_of_a_wrong_type_is_a_type_error(self) -> None:
        wrong: Any
        for wrong in (b"bytes", "text", 7, None):
            with self.assertRaises(TypeError):
                diskimg.open_reader(wrong)
        read, write = os.pipe()
        os.close(write)
        with open(read, "rb") as pipe, self.assertRaises(io.UnsupportedOperation):
            diskimg.open_reader(pipe)

    def test_negative_size_is_an_error(self) -> None:
        class Negative(MemoryReader):
            size = -1

        with self.assertRaisesRegex(ValueError, "-1"):
            diskimg.open_reader(Negative(DATA))
