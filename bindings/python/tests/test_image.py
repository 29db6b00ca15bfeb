"""Open images: reading, description, lists, extents, checks and comparisons."""

from __future__ import annotations

import array
import io
import mmap
import os
import pathlib
from typing import Any

import diskimg
from support import BAD, GOOD, Case, MemoryReader, disk_bytes, painted


class Opening(Case):
    def test_path_may_be_text_bytes_or_an_object(self) -> None:
        path = GOOD / "v3.qcow2"
        for name in (str(path), os.fsencode(path), path):
            with diskimg.open(name) as image:
                self.assertEqual(image.format, "qcow2")

    def test_path_that_is_not_utf8_is_opened(self) -> None:
        name = os.fsencode(self.scratch) + b"/\xff.qcow2"
        pathlib.Path(os.fsdecode(name)).write_bytes((GOOD / "v3.qcow2").read_bytes())
        for path in (name, os.fsdecode(name)):
            with diskimg.open(path) as image:
                self.assertEqual(image.format, "qcow2")

    def test_descriptor_stays_open_and_is_not_moved(self) -> None:
        with open(GOOD / "v3.qcow2", "rb") as file:
            with diskimg.open(file.fileno()) as image:
                self.assertEqual(image.pread(image.size, 0), disk_bytes(GOOD / "v3.qcow2"))
            self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_CUR), 0)

    def test_memory_may_be_any_buffer_and_is_locked_until_the_image_is_closed(self) -> None:
        data = (GOOD / "v3.qcow2").read_bytes()
        expected = disk_bytes(GOOD / "v3.qcow2")
        with open(GOOD / "v3.qcow2", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for buffer in (data, bytearray(data), memoryview(data), array.array("B", data), mapped):
                with self.subTest(type(buffer)), diskimg.open_memory(buffer) as image:
                    self.assertEqual(image.pread(image.size, 0), expected)
        growing = bytearray(data)
        image = diskimg.open_memory(growing)
        with self.assertRaises(BufferError):
            growing += b"x"
        image.close()
        growing += b"x"

    def test_memory_is_released_if_it_cannot_be_opened(self) -> None:
        data = bytearray(b"no disk" * 100)
        with self.assertRaises(diskimg.UnknownFormatError):
            diskimg.open_memory(data)
        data += b"x"

    def test_buffer_that_is_not_contiguous_is_refused(self) -> None:
        with self.assertRaises(BufferError):
            diskimg.open_memory(memoryview(bytes(1000))[::2])
        not_a_buffer: Any = "text"
        with self.assertRaises(TypeError):
            diskimg.open_memory(not_a_buffer)

    def test_empty_memory_is_an_empty_image(self) -> None:
        with self.assertRaises(diskimg.UnknownFormatError):
            diskimg.open_memory(b"")
        with diskimg.open_memory(b"", format="raw") as image:
            self.assertEqual((image.size, image.pread(10, 0), image.readinto(bytearray(4), 0)), (0, b"", 0))

    def test_references_need_permission(self) -> None:
        with self.assertRaises(diskimg.ReferenceDeniedError):
            diskimg.open(GOOD / "chain-top.qcow2")
        with diskimg.open(GOOD / "chain-top.qcow2", references=True) as image:
            expected = image.pread(image.size, 0)
        directory = os.open(GOOD, os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, directory)
        moved = self.scratch / "top.qcow2"
        moved.write_bytes((GOOD / "chain-top.qcow2").read_bytes())
        with diskimg.open(moved, references=True, dir_fd=directory) as image:
            self.assertEqual(image.pread(image.size, 0), expected)
        with diskimg.open(moved, search_directory=GOOD) as image:
            self.assertEqual(image.pread(image.size, 0), expected)
        for parents in ([GOOD / "chain-middle.qcow2"], [(GOOD / "chain-middle.qcow2", "qcow2")]):
            with diskimg.open(moved, references=True, parents=parents) as image:
                self.assertEqual(image.pread(image.size, 0), expected)

    def test_resolver_opens_references_and_its_files_are_closed(self) -> None:
        expected = disk_bytes(GOOD / "chain-top.qcow2")
        asked: list[tuple[str, bytes]] = []
        opened: list[io.BufferedReader] = []

        def resolve(role: str, name: bytes) -> io.BufferedReader:
            asked.append((role, name))
            opened.append(open(GOOD / os.fsdecode(name), "rb"))
            return opened[-1]

        with diskimg.open(GOOD / "chain-top.qcow2", resolve=resolve) as image:
            self.assertEqual(image.pread(image.size, 0), expected)
            self.assertFalse(opened[0].closed)
        self.assertEqual(asked[0], ("backing", b"chain-middle.qcow2"))
        self.assertTrue(all(file.closed for file in opened))

    def test_resolver_may_refuse_or_raise(self) -> None:
        with self.assertRaises(diskimg.ReferenceDeniedError):
            diskimg.open(GOOD / "chain-top.qcow2", resolve=lambda role, name: None)

        def fail(role: str, name: bytes) -> MemoryReader:
            raise KeyError(name)

        with self.assertRaises(KeyError):
            diskimg.open(GOOD / "chain-top.qcow2", resolve=fail)

    def test_log_receives_findings_and_may_raise(self) -> None:
        findings: list[tuple[str, str]] = []
        with diskimg.open(GOOD / "chain-top.qcow2", info_only=True, log=lambda *found: findings.append(found)):
            self.assertEqual([severity for severity, _ in findings], ["unsafe"])

        def fail(severity: str, message: str) -> None:
            raise LookupError(message)

        with self.assertRaises(LookupError):
            diskimg.open(GOOD / "chain-top.qcow2", info_only=True, log=fail)

    def test_snapshot_member_and_limits_are_used(self) -> None:
        with diskimg.open(GOOD / "snapshots.qcow2") as image:
            first = image.snapshots[0]
        with diskimg.open(GOOD / "snapshots.qcow2", snapshot=first.id) as image:
            self.assertEqual(image.size, first.virtual_size)
        with self.assertRaises(diskimg.Error):
            diskimg.open(GOOD / "disk.ova", member="absent")
        for limits in ("virtual-size=4k", {"virtual-size": 4096}):
            with self.assertRaises(diskimg.LimitError) as caught:
                diskimg.open(GOOD / "v3.qcow2", limits=limits)
            self.assertEqual(caught.exception.limit, "virtual-size")
        with self.assertRaises(diskimg.LimitError):
            diskimg.open(GOOD / "v3.qcow2", max_virtual_size=4096)

    def test_strict_refuses_an_image_with_a_warning(self) -> None:
        with diskimg.open(GOOD / "corrupt-bit.qcow2") as image:
            self.assertIn("warning", [finding.severity for finding in image.findings])
        with self.assertRaises(diskimg.CorruptError):
            diskimg.open(GOOD / "corrupt-bit.qcow2", strict=True)

    def test_opening_reports_progress_and_can_be_stopped(self) -> None:
        seen: list[tuple[int, int]] = []
        with diskimg.open(GOOD / "cluster-2m.qcow2.xz", progress=lambda *bytes: seen.append(bytes)):
            self.assertTrue(seen)
        with self.assertRaises(ZeroDivisionError):
            diskimg.open(GOOD / "cluster-2m.qcow2.xz", progress=lambda *_: 1 // 0)
        cancel = diskimg.Cancel()
        cancel.trigger()
        with self.assertRaises(diskimg.CancelledError):
            diskimg.open(GOOD / "cluster-2m.qcow2.xz", cancel=cancel)


class Reading(Case):
    def test_image_reads_as_its_raw_copy(self) -> None:
        with diskimg.open(GOOD / "zstd.qcow2") as image:
            image.convert(self.scratch / "disk.raw")
            raw = (self.scratch / "disk.raw").read_bytes()
            self.assertEqual(image.size, len(raw))
            self.assertEqual(image.pread(1 << 60, 0), raw)
            for offset in (image.size - 1, image.size, image.size + 1, (1 << 64) - 1):
                self.assertEqual(image.pread(10, offset), raw[offset : offset + 10])
                self.assertEqual(image.readinto(bytearray(10), offset), len(raw[offset : offset + 10]))

    def test_readinto_fills_any_writable_buffer(self) -> None:
        expected = disk_bytes(GOOD / "v3.qcow2")[:4096]
        with diskimg.open(GOOD / "v3.qcow2") as image:
            buffers: list[Any] = [bytearray(4096), memoryview(bytearray(4096)), array.array("H", bytes(4096)),
                                  mmap.mmap(-1, 4096)]  # fmt: skip
            for buffer in buffers:
                with self.subTest(type(buffer)):
                    self.assertEqual(image.readinto(buffer, 0), 4096)
                    self.assertEqual(bytes(memoryview(buffer).cast("B")), expected)
            buffers[-1].close()
            with self.assertRaises(BufferError):
                image.readinto(bytes(10), 0)

    def test_stream_reads_and_seeks_as_a_file(self) -> None:
        expected = disk_bytes(GOOD / "v3.qcow2")
        with diskimg.open(GOOD / "v3.qcow2") as image, image.stream() as file:
            self.assertEqual(file.read(), expected)
            self.assertEqual(file.read(1), b"")
            self.assertEqual(file.seek(-5, io.SEEK_END), len(expected) - 5)
            self.assertEqual(file.read(100), expected[-5:])
            self.assertEqual(file.seek(len(expected) + 10), len(expected) + 10)
            self.assertEqual(file.read(1), b"")
            file.seek(1000)
            self.assertEqual(file.seek(24, io.SEEK_CUR), 1024)
            self.assertEqual(file.read(5000), expected[1024:6024])
            for wrong in ((-1, 0), (0, 7)):
                with self.assertRaises(ValueError):
                    file.raw.seek(*wrong)
            file.close()
            with self.assertRaises(ValueError):
                file.raw.readinto(memoryview(bytearray(1)))
            self.assertFalse(image.closed)

    def test_extents_tile_the_disk(self) -> None:
        for name in ("chain-top.qcow2", "zstd.qcow2", "mixed.qcow2", "mbr.raw"):
            with self.subTest(name), diskimg.open(GOOD / name, references=True) as image:
                at = 0
                for extent in image.extents():
                    self.assertEqual(extent.start, at)
                    at += extent.length
                    if extent.zero and not extent.data:
                        self.assertEqual(image.pread(extent.length, extent.start).count(0), extent.length)
                    if extent.compressed:
                        self.assertIsNone(extent.offset)
                self.assertEqual(at, image.size)
                part = list(image.extents(512, 1024))
                self.assertEqual((part[0].start, sum(extent.length for extent in part)), (512, 1024))

    def test_extents_past_the_end_are_refused(self) -> None:
        with diskimg.open(GOOD / "v3.qcow2") as image:
            self.assertEqual(list(image.extents(image.size)), [])
            with self.assertRaises(diskimg.OutOfBoundsError):
                list(image.extents(image.size, 1))


class Describing(Case):
    def test_info_has_the_values_of_the_header(self) -> None:
        with diskimg.open(GOOD / "v3.qcow2.gz") as image:
            info = image.info
            self.assertEqual((info.format, info.wrapper, info.version), ("qcow2", "gzip", 3))
            self.assertEqual((info.virtual_size, info.file_size), (image.size, (GOOD / "v3.qcow2.gz").stat().st_size))
        with diskimg.open(GOOD / "stream.vmdk") as image:
            self.assertEqual(image.info.subformat, "streamOptimized")
        with diskimg.open(GOOD / "zstd.qcow2") as image:
            self.assertEqual(image.info.compression, "zstd")
        with diskimg.open(GOOD / "iso9660.iso") as image:
            self.assertEqual((image.info.content, image.info.flags), ("iso9660", {"optical_disc"}))
        with diskimg.open(BAD / "q17-luks.qcow2", info_only=True) as image:
            self.assertEqual((image.info.encryption, "encrypted" in image.info.flags), ("luks", True))

    def test_info_json_has_the_keys_of_qemu_img(self) -> None:
        with diskimg.open(GOOD / "chain-top.qcow2", info_only=True) as image:
            info = image.info_json("shown.qcow2")
            self.assertEqual((info["format"], info["virtual-size"]), ("qcow2", image.size))
            self.assertEqual((info["filename"], info["backing-filename"]), ("shown.qcow2", "chain-middle.qcow2"))

    def test_references_are_exact(self) -> None:
        with diskimg.open(BAD / "q14-backing-nul.qcow2", info_only=True) as image:
            (reference,) = image.references
            self.assertEqual(reference.role, "backing")
            self.assertIn(b"\0", reference.name)
            assert reference.offset is not None
            stored = (BAD / "q14-backing-nul.qcow2").read_bytes()[reference.offset :]
            self.assertTrue(stored.startswith(reference.name))

    def test_snapshots_are_listed(self) -> None:
        with diskimg.open(GOOD / "snapshots.qcow2") as image:
            self.assertGreater(len(image.snapshots), 0)
            snapshot = image.snapshots[0]
            listed = image.info_json()["snapshots"][0]
            self.assertEqual((snapshot.id, snapshot.name), (listed["id"], listed["name"]))
            self.assertEqual(snapshot.date_nanoseconds, listed["date-sec"] * 10**9 + listed["date-nsec"])
            self.assertEqual(int(snapshot.date.timestamp()), listed["date-sec"])

    def test_findings_name_their_check(self) -> None:
        with diskimg.open(GOOD / "chain-top.qcow2", info_only=True) as image:
            (finding,) = image.findings
            self.assertEqual((finding.severity, finding.check), ("unsafe", "backing_file"))
            self.assertIn("chain-middle.qcow2", finding.message)

    def test_repr_describes_the_image(self) -> None:
        image = diskimg.open(GOOD / "v3.qcow2")
        self.assertEqual(repr(image), f"<diskimg.Image qcow2, {image.size} bytes>")
        image.close()
        self.assertEqual(repr(image), "<diskimg.Image, closed>")


class Checking(Case):
    def test_good_image_has_no_problem(self) -> None:
        with diskimg.open(GOOD / "zstd.qcow2") as image:
            result = image.check()
            self.assertEqual((result.corruptions, result.leaks, result.problems), (0, 0, ()))
            self.assertGreater(result.allocated_units, 0)

    def test_problems_are_reported_and_may_stop_the_check(self) -> None:
        seen: list[diskimg.Problem] = []
        with diskimg.open(BAD / "q28-data-is-l1-table.qcow2") as image:
            result = image.check(problem=seen.append)
            self.assertGreater(result.corruptions, 0)
            self.assertEqual(tuple(seen), result.problems)
            self.assertEqual({problem.kind for problem in seen} & {"corruption"}, {"corruption"})
            with self.assertRaises(ZeroDivisionError):
                image.check(problem=lambda _: 1 // 0)
            with self.assertRaises(ZeroDivisionError):
                image.check(progress=lambda *_: 1 // 0)

    def test_format_without_check_is_unsupported(self) -> None:
        with diskimg.open(GOOD / "mbr.raw") as image, self.assertRaises(diskimg.UnsupportedError):
            image.check()

    def test_comparison_finds_the_first_difference(self) -> None:
        data = bytearray(painted(1 << 20))
        with diskimg.open_memory(bytes(data), format="raw") as a:
            with diskimg.open_memory(bytes(data), format="raw") as b:
                self.assertTrue(a.compare(b))
                self.assertIsNone(a.first_difference(b))
            data[54321] ^= 1
            with diskimg.open_memory(bytes(data), format="raw") as b:
                self.assertFalse(a.compare(b))
                self.assertEqual(a.first_difference(b), 54321)
                with self.assertRaises(ZeroDivisionError):
                    a.compare(b, progress=lambda *_: 1 // 0)
                b.close()
                with self.assertRaises(ValueError):
                    a.compare(b)

    def test_measurement_bounds_the_file(self) -> None:
        with diskimg.open(GOOD / "mixed.qcow2") as image:
            measured = image.measure("qcow2")
            image.convert(self.scratch / "out.qcow2", "qcow2")
            self.assertLessEqual((self.scratch / "out.qcow2").stat().st_size, measured.required)
            self.assertLessEqual(measured.required, measured.fully_allocated)
