"""Tests of the module with images of the repository: python3 test_diskimg.py"""

import pathlib
import tempfile
import unittest

import diskimg

GOOD = pathlib.Path(__file__).resolve().parents[2] / "tests/images/good"


class Images(unittest.TestCase):
    def setUp(self) -> None:
        self.scratch = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_image_reads_as_its_raw_copy(self) -> None:
        with diskimg.open(GOOD / "zstd.qcow2") as image:
            self.assertEqual(image.format, "qcow2")
            image.convert(self.scratch / "disk.raw")
            raw = (self.scratch / "disk.raw").read_bytes()
            self.assertEqual(image.size, len(raw))
            self.assertEqual(image.pread(1 << 30, 0), raw)
            self.assertEqual(image.pread(10, image.size), b"")
            with image.file() as file:
                file.seek(1000)
                self.assertEqual(file.read(5000), raw[1000:6000])
            buffer = bytearray(512)
            middle = len(raw) // 2 - 256
            self.assertEqual(image.readinto(buffer, middle), 512)
            self.assertEqual(buffer, raw[middle : middle + 512])

    def test_library_name_has_the_version_of_the_library(self) -> None:
        self.assertEqual(diskimg._SUFFIX, diskimg.version().rpartition(".")[0])

    def test_extents_tile_the_disk(self) -> None:
        with diskimg.open(GOOD / "chain-top.qcow2", references=True) as image:
            at = 0
            for extent in image.extents():
                self.assertEqual(extent.start, at)
                at += extent.length
                if extent.zero and not extent.data:
                    self.assertEqual(image.pread(extent.length, extent.start).count(0), extent.length)
            self.assertEqual(at, image.size)

    def test_info_has_the_keys_of_qemu_img(self) -> None:
        with diskimg.open(GOOD / "chain-top.qcow2", info_only=True) as image:
            info = image.info()
            self.assertEqual(info["format"], "qcow2")
            self.assertEqual(info["virtual-size"], image.size)
            self.assertIn("backing-filename", info)

    def test_round_trip_through_memory_keeps_the_disk(self) -> None:
        with diskimg.open(GOOD / "mixed.qcow2") as image:
            image.convert(self.scratch / "back.qcow2", "qcow2", compress=True, settings="compression_type=zstd")
            with diskimg.open_memory((self.scratch / "back.qcow2").read_bytes()) as back:
                self.assertTrue(image.same_as(back))

    def test_progress_is_reported_and_can_cancel(self) -> None:
        calls: list[tuple[int, int]] = []
        with diskimg.open(GOOD / "mixed.qcow2") as image:
            image.convert(self.scratch / "a", progress=lambda *bytes: calls.append(bytes))  # type: ignore[func-returns-value]
            self.assertEqual(calls[0], (0, image.size))
            self.assertEqual(calls[-1], (image.size, image.size))
            with self.assertRaises(diskimg.Cancelled):
                image.convert(self.scratch / "b", progress=lambda *_: True)
            with self.assertRaises(ZeroDivisionError):
                image.convert(self.scratch / "b", progress=lambda *_: 1 // 0 == 1)
            self.assertFalse((self.scratch / "b").exists())

    def test_errors_have_errno_and_offset(self) -> None:
        with self.assertRaises(diskimg.Error) as caught:
            diskimg.open(self.scratch / "absent")
        self.assertEqual(caught.exception.errno, 2)
        with self.assertRaises(diskimg.UnknownFormat):
            diskimg.open_memory(b"no disk at all" * 100)
        with self.assertRaises(diskimg.Error) as caught:
            diskimg.open(GOOD.parent / "bad/q22-l1-unaligned.qcow2")
        self.assertIsNotNone(caught.exception.offset)
        image = diskimg.open(GOOD / "zstd.qcow2")
        image.close()
        with self.assertRaises(ValueError):
            image.pread(1, 0)

    def test_stream_is_recognised_with_any_chunk_size(self) -> None:
        data = (GOOD / "v3.qcow2.gz").read_bytes()
        with diskimg.open(GOOD / "v3.qcow2") as image:
            expected = ("qcow2", "gzip", image.size)
        for step in (1000, 4096, len(data)):
            with diskimg.Probe() as probe:
                for at in range(0, len(data), step):
                    probe.push(data[at : at + step])
                self.assertEqual(probe.finish(), expected)
        with diskimg.Probe(allow_raw=True) as probe:
            probe.push(b"x" * 1000)
            self.assertEqual(probe.finish(), ("raw", None, 1000))

    def test_stream_has_references_and_findings(self) -> None:
        with diskimg.Probe() as probe:
            with self.assertRaises(diskimg.UnknownFormat):
                probe.info()
            # Padded, because a probe reports its description after about 68 KiB or at the end.
            probe.push((GOOD / "chain-top.qcow2").read_bytes() + bytes(100_000))
            self.assertEqual(probe.info()["format"], "qcow2")
            probe.finish()
            info = probe.info()
        with diskimg.open(GOOD / "chain-top.qcow2", info_only=True) as image:
            self.assertEqual(info["virtual-size"], image.size)
            self.assertEqual(info["diskimg"]["references"], image.info()["diskimg"]["references"])
        self.assertEqual([finding["check"] for finding in info["diskimg"]["findings"]], ["backing_file"])


if __name__ == "__main__":
    unittest.main()
