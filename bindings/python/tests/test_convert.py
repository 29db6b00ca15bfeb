"""Conversions to every kind of target, from images and from streams."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import pathlib
import threading
import urllib.request
from typing import Any, Iterator

import diskimg
from support import BAD, GOOD, Case, MemoryWriter, disk_bytes, painted


class Targets(Case):
    def setUp(self) -> None:
        super().setUp()
        self.image = diskimg.open(GOOD / "zstd.qcow2")
        self.addCleanup(self.image.close)
        self.expected = disk_bytes(GOOD / "zstd.qcow2")

    def test_path_receives_the_disk(self) -> None:
        for name in ("text", b"bytes", pathlib.Path("object")):
            path = self.scratch / os.fsdecode(name)
            result = self.image.convert(path)
            self.assertEqual(path.read_bytes(), self.expected)
            self.assertEqual(result.virtual_size, len(self.expected))
            self.assertEqual(result.written + result.zeros, len(self.expected))

    def test_descriptor_receives_the_disk_and_stays_open(self) -> None:
        with open(self.scratch / "out", "w+b") as file:
            file.write(b"old" * (1 << 20))
            file.flush()
            self.image.convert(file.fileno())
            file.seek(0)
            self.assertEqual(file.read(), self.expected)

    def test_file_object_receives_the_disk_in_place_of_its_content(self) -> None:
        for format in ("raw", "qcow2", "vmdk", "vdi"):
            with self.subTest(format):
                memory = io.BytesIO(b"old" * (1 << 20))
                self.image.convert(memory, format)
                with open(self.scratch / "out", "w+b") as file:
                    self.image.convert(file, format)
                for data in (memory.getvalue(), (self.scratch / "out").read_bytes()):
                    with diskimg.open_memory(data, format=format) as back:
                        self.assertTrue(back.compare(self.image))

    def test_raw_file_object_has_the_length_of_the_disk(self) -> None:
        with diskimg.open_memory(painted(1000) + bytes(100_000), format="raw") as image:
            memory = io.BytesIO(b"x" * 200_000)
            image.convert(memory)
            self.assertEqual(memory.getvalue(), painted(1000) + bytes(100_000))

    def test_writer_object_receives_the_disk_and_is_flushed(self) -> None:
        for format in ("raw", "qcow2"):
            target = MemoryWriter()
            self.image.convert(target, format)
            with diskimg.open_memory(target.data, format=format) as back:
                self.assertTrue(back.compare(self.image))
            self.assertEqual(target.flushed, 1)

    def test_callable_and_stream_receive_the_bytes_in_order(self) -> None:
        digest = hashlib.sha256()
        self.image.convert(digest.update)
        self.assertEqual(digest.hexdigest(), hashlib.sha256(self.expected).hexdigest())
        read, write = os.pipe()
        received: list[bytes] = []
        with open(read, "rb") as source:
            reader = threading.Thread(target=lambda: received.append(source.read()))
            reader.start()
            with open(write, "wb", buffering=0) as pipe:
                self.image.convert(pipe)
            reader.join()
        self.assertEqual(received, [self.expected])
        with self.assertRaises(diskimg.NeedsSeekError):
            self.image.convert(digest.update, "qcow2")

    def test_target_of_a_wrong_type_is_a_type_error(self) -> None:
        wrong: Any
        for wrong in (None, 1.5, object()):
            with self.assertRaises(TypeError):
                self.image.convert(wrong)

    def test_file_object_for_text_or_appending_is_refused_and_kept(self) -> None:
        (self.scratch / "out").write_bytes(b"old")
        with open(self.scratch / "out", "r+") as text, self.assertRaises(TypeError):
            self.image.convert(text)
        for buffering in (0, -1):
            with open(self.scratch / "out", "ab", buffering=buffering) as file, self.assertRaises(ValueError):
                self.image.convert(file)
        self.assertEqual((self.scratch / "out").read_bytes(), b"old")

    def test_settings_and_flags_are_used(self) -> None:
        path = self.scratch / "out.qcow2"
        names: dict[str, str | int] = {"compression_type": "zstd", "cluster_size": 4096}
        for settings in ("compression_type=zstd,cluster_size=4k", names):
            self.image.convert(path, "qcow2", compress=True, level=3, overwrite=True, threads=1, settings=settings)
            with diskimg.open(path) as back:
                self.assertEqual((back.info.cluster_size, back.info.compression), (4096, "zstd"))
                self.assertTrue(back.compare(self.image))
        self.image.convert(self.scratch / "full", store_zeros=True)
        self.assertGreaterEqual((self.scratch / "full").stat().st_blocks * 512, self.image.size)
        with self.assertRaises(diskimg.InvalidArgumentError):
            self.image.convert(self.scratch / "wrong", sparse_size=7)

    def test_existing_file_is_kept_without_overwrite(self) -> None:
        path = self.scratch / "out"
        path.write_bytes(b"old")
        with self.assertRaises(FileExistsError) as caught:
            self.image.convert(path)
        self.assertEqual((caught.exception.filename, path.read_bytes()), (path, b"old"))
        self.image.convert(path, overwrite=True)
        self.assertEqual(path.read_bytes(), self.expected)

    def test_failed_conversion_leaves_no_file(self) -> None:
        with diskimg.open(BAD / "q32-deflate-cut.qcow2") as image, self.assertRaises(diskimg.TruncatedError) as caught:
            image.convert(self.scratch / "out")
        self.assertIsNotNone(caught.exception.guest_offset)
        self.assertEqual(self.files(), [])

    def test_progress_is_reported_on_the_calling_thread(self) -> None:
        calls, threads = [], set()

        def progress(done: int, total: int) -> bool:
            calls.append((done, total))
            threads.add(threading.get_ident())
            return True  # the result means nothing: tqdm's update returns True

        self.image.convert(self.scratch / "out", progress=progress)
        self.assertEqual((calls[0], calls[-1]), ((0, self.image.size), (self.image.size, self.image.size)))
        self.assertEqual(calls, sorted(calls))
        self.assertEqual(threads, {threading.get_ident()})

    def test_exception_of_a_progress_callback_is_raised_as_it_is(self) -> None:
        failures: list[BaseException] = [LookupError("stop"), KeyboardInterrupt(), SystemExit(3)]
        for failure in failures:

            def progress(done: int, total: int) -> None:
                raise failure

            with self.assertRaises(type(failure)) as caught:
                self.image.convert(self.scratch / "out", progress=progress)
            self.assertIs(caught.exception, failure)
            self.assertEqual(self.files(), [])

    def test_exception_of_a_target_is_raised_as_it_is(self) -> None:
        failure = LookupError("full")

        class Full(MemoryWriter):
            def pwrite(self, data: bytes, offset: int, /) -> None:
                raise failure

        def write(data: bytes) -> None:
            raise failure

        targets: list[Any] = [Full(), write]
        for target in targets:
            with self.assertRaises(LookupError) as caught:
                self.image.convert(target)
            self.assertIs(caught.exception, failure)

    def test_cancel_stops_a_conversion(self) -> None:
        cancel = diskimg.Cancel()
        with self.assertRaises(diskimg.CancelledError):
            self.image.convert(self.scratch / "out", cancel=cancel, progress=lambda *_: cancel.trigger())
        self.assertTrue(cancel.triggered)
        with self.assertRaises(diskimg.CancelledError):
            self.image.convert(self.scratch / "out", cancel=cancel)
        self.assertEqual(self.files(), [])


class Streams(Case):
    def test_file_object_and_iterator_are_converted(self) -> None:
        expected = disk_bytes(GOOD / "v3.qcow2")
        data = (GOOD / "v3.qcow2.gz").read_bytes()

        def chunks(size: int) -> Iterator[bytes]:
            for at in range(0, len(data), size):
                yield data[at : at + size]
                yield b""

        sources: list[Any] = [io.BytesIO(data), chunks(1), chunks(777), [data], [memoryview(data), bytearray()]]
        for source in sources:
            target = io.BytesIO()
            result = diskimg.convert_stream(source, target, length=len(data))
            self.assertEqual(target.getvalue(), expected)
            self.assertEqual(result.virtual_size, len(expected))

    def test_http_response_is_converted_to_a_file(self) -> None:
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(GOOD))

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/v3.qcow2.gz"
            with urllib.request.urlopen(url) as response:
                diskimg.convert_stream(response, self.scratch / "out", length=int(response.headers["Content-Length"]))
        finally:
            server.shutdown()
            serving.join()
            server.server_close()
        self.assertEqual((self.scratch / "out").read_bytes(), disk_bytes(GOOD / "v3.qcow2"))

    def test_stream_of_another_length_creates_no_target(self) -> None:
        data = (GOOD / "v3.qcow2").read_bytes()
        for length, kind in ((len(data) + 1, diskimg.TruncatedError), (len(data) - 1, diskimg.CorruptError)):
            with self.assertRaises(kind):
                diskimg.convert_stream([data], self.scratch / "out", length=length)
        self.assertEqual(self.files(), [])

    def test_raw_stream_needs_permission(self) -> None:
        data = painted(10_000)
        with self.assertRaises(diskimg.UnknownFormatError):
            diskimg.convert_stream([data], self.scratch / "out")
        for option in ({"allow_raw": True}, {"source_format": "raw"}):
            target = io.BytesIO()
            diskimg.convert_stream([data], target, **option)
            self.assertEqual(target.getvalue(), data)

    def test_exception_of_a_source_is_raised_as_it_is(self) -> None:
        failures: list[BaseException] = [ConnectionResetError(104, "reset"), KeyboardInterrupt(), LookupError()]
        for failure in failures:

            def chunks() -> Iterator[bytes]:
                yield (GOOD / "v3.qcow2").read_bytes()[:70_000]
                raise failure

            with self.assertRaises(type(failure)) as caught:
                diskimg.convert_stream(chunks(), self.scratch / "out")
            self.assertIs(caught.exception, failure)
        self.assertEqual(self.files(), [])

    def test_source_of_a_wrong_type_is_a_type_error(self) -> None:
        wrong: Any
        for wrong in (None, 7, b"bytes", "text"):
            with self.assertRaises(TypeError):
                diskimg.convert_stream(wrong, self.scratch / "out")

    def test_source_that_does_not_block_is_an_error(self) -> None:
        class Empty:
            def read(self, length: int, /) -> Any:
                return None

        with self.assertRaises(BlockingIOError):
            diskimg.convert_stream(Empty(), self.scratch / "out")

    def test_temporary_file_needs_permission(self) -> None:
        # A target that is written in order needs the whole image first.
        data, received = (GOOD / "v3.qcow2").read_bytes(), bytearray()
        with self.assertRaises(diskimg.NeedsSeekError):
            diskimg.convert_stream([data], received.extend, no_temporary=True)
        diskimg.convert_stream([data], received.extend, temporary_directory=self.scratch)
        self.assertEqual(received, disk_bytes(GOOD / "v3.qcow2"))


class Writing(Case):
    def test_writer_completes_the_image_at_the_end(self) -> None:
        data = painted(5000)
        targets: list[Any] = [self.scratch / "out.qcow2", io.BytesIO(), MemoryWriter()]
        for target in targets:
            with diskimg.create(target, 1 << 20, "qcow2") as writer:
                self.assertEqual((writer.size, writer.pwrite(data, 777)), (1 << 20, 5000))
                self.assertEqual(writer.pwrite(memoryview(data)[:9], 0), 9)
                self.assertEqual(writer.pwrite(b"", 0), 0)
                writer.zero(1000, 100)
                self.assertEqual(self.files(), [] if target is targets[0] else ["out.qcow2"])
            expected = bytearray(1 << 20)
            expected[777 : 777 + 5000] = data
            expected[:9] = data[:9]
            expected[1000:1100] = bytes(100)
            written = target if target is targets[0] else getattr(target, "data", None) or target.getvalue()
            opened = diskimg.open(written) if target is targets[0] else diskimg.open_memory(written)
            with opened as image:
                self.assertEqual(image.pread(1 << 20, 0), expected)

    def test_writer_is_abandoned_if_an_exception_is_raised(self) -> None:
        with self.assertRaises(ZeroDivisionError), diskimg.create(self.scratch / "out", 1 << 20) as writer:
            writer.pwrite(b"x", 0)
            raise ZeroDivisionError
        self.assertTrue(writer.closed)
        self.assertEqual(self.files(), [])
        with self.assertRaises(ValueError):
            writer.pwrite(b"x", 0)

    def test_finished_writer_is_closed(self) -> None:
        writer = diskimg.create(self.scratch / "out", 512)
        writer.finish()
        for call in (writer.finish, lambda: writer.pwrite(b"x", 0), lambda: writer.zero(0, 1)):
            with self.assertRaises(ValueError):
                call()
        writer.abandon()
        self.assertEqual(self.files(), ["out"])

    def test_cancel_stops_the_completion_of_an_image(self) -> None:
        cancel = diskimg.Cancel()
        writer = diskimg.create(self.scratch / "out", 1 << 20, "qcow2", cancel=cancel)
        writer.pwrite(painted(100_000), 0)
        cancel.trigger()
        with self.assertRaises(diskimg.CancelledError):
            writer.finish()
        self.assertEqual((writer.closed, self.files()), (True, []))

    def test_write_past_the_end_is_refused(self) -> None:
        with diskimg.create(self.scratch / "out", 512) as writer:
            with self.assertRaises(diskimg.OutOfBoundsError):
                writer.pwrite(b"xx", 511)

    def test_exception_of_a_target_is_raised_by_the_write(self) -> None:
        target, failure = MemoryWriter(), LookupError("full")

        class Full(MemoryWriter):
            full = False

            def pwrite(self, data: bytes, offset: int, /) -> None:
                if self.full:
                    raise failure
                super().pwrite(data, offset)

        target = Full()
        writer = diskimg.create(target, 1 << 20)
        target.full = True
        with self.assertRaises(LookupError) as caught:
            writer.pwrite(painted(1 << 16), 0)
            writer.finish()
        self.assertIs(caught.exception, failure)
        writer.abandon()
