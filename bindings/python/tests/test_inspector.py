"""Inspectors with the interface of oslo.utils."""

from __future__ import annotations

import io
import unittest
from typing import Any, Iterator

from diskimg import inspector
from diskimg.inspector import ImageFormatError, InspectWrapper, SafetyCheckFailed, detect_file_format, get_inspector
from support import BAD, GOOD, Case


def inspected(data: bytes, step: int = 1 << 16, **options: Any) -> InspectWrapper:
    """Returns a wrapper that has passed all bytes through."""
    wrapper = InspectWrapper(io.BytesIO(data), **options)
    passed = b"".join(iter(lambda: wrapper.read(step), b""))
    assert passed == data
    wrapper.close()
    return wrapper


def found(wrapper: InspectWrapper) -> inspector.FileInspector:
    format = wrapper.format
    assert format is not None
    return format


class Single(unittest.TestCase):
    def test_inspector_of_each_format_matches_its_own(self) -> None:
        names = {
            "qcow2": GOOD / "v3.qcow2",
            "vmdk": GOOD / "stream.vmdk",
            "vhd": BAD / "r10-head-of.vhd",
            "vhdx": BAD / "r10-head-of.vhdx",
            "qed": BAD / "r10-head-of.qed",
            "luks": BAD / "r10-head-of.luks",
            "iso": GOOD / "iso9660.iso",
            "gpt": GOOD / "gpt.raw",
            "raw": GOOD / "text.raw",
        }
        for name, path in names.items():
            data = path.read_bytes()
            for other in names:
                kind = get_inspector(other)
                assert kind is not None
                eater = kind()
                for at in range(0, len(data), 3000):
                    eater.eat_chunk(data[at : at + 3000])
                eater.finish()
                raw_disk = other == "raw" and name in ("iso", "gpt")
                self.assertEqual(eater.format_match, name == other or raw_disk, (name, other))
                self.assertEqual((str(eater), eater.complete, eater.actual_size), (other, True, len(data)))

    def test_unknown_name_has_no_inspector(self) -> None:
        self.assertIsNone(get_inspector("floppy"))

    def test_finished_inspector_accepts_no_data(self) -> None:
        eater = inspector.QcowInspector()
        eater.finish()
        with self.assertRaises(RuntimeError):
            eater.eat_chunk(b"x")

    def test_check_before_the_end_is_refused(self) -> None:
        eater = inspector.QcowInspector()
        eater.eat_chunk((GOOD / "v3.qcow2").read_bytes()[:1000])
        self.assertFalse(eater.complete)
        self.assertEqual(eater.virtual_size, 0)
        with self.assertRaises(ImageFormatError):
            eater.safety_check()

    def test_check_of_another_format_is_refused(self) -> None:
        eater = inspector.VDIInspector()
        eater.eat_chunk((GOOD / "v3.qcow2").read_bytes())
        eater.finish()
        with self.assertRaisesRegex(ImageFormatError, "it is qcow2"):
            eater.safety_check()

    def test_decryption_is_refused(self) -> None:
        for make in (inspector.LUKSInspector, lambda params: InspectWrapper(io.BytesIO(), params=params)):
            with self.assertRaisesRegex(ValueError, "luks_passphrase"):
                make(params={"luks_passphrase": "secret"})

    def test_tracing_logs_each_chunk(self) -> None:
        with self.assertLogs("diskimg.inspector", "DEBUG") as logs:
            inspector.QcowInspector(tracing=True).eat_chunk(b"QFI\xfb")
        self.assertIn("qcow2: 4 bytes seen", logs.output[0])


class Wrapped(Case):
    def test_bytes_pass_unchanged_and_the_format_is_found(self) -> None:
        for step in (1, 4096, 1 << 20):
            wrapper = inspected((GOOD / "v3.qcow2").read_bytes(), step)
            self.assertEqual((str(found(wrapper)), found(wrapper).virtual_size), ("qcow2", 1 << 20))
            found(wrapper).safety_check()

    def test_iterator_passes_through(self) -> None:
        data = (GOOD / "stream.vmdk").read_bytes()
        wrapper = InspectWrapper(data[at : at + 1000] for at in range(0, len(data), 1000))
        self.assertIsNone(wrapper.format)
        self.assertEqual(b"".join(wrapper), data)
        self.assertEqual(str(found(wrapper)), "vmdk")
        self.assertEqual([str(one) for one in wrapper.formats or []], ["vmdk"])

    def test_source_is_closed(self) -> None:
        source = io.BytesIO(b"x")
        InspectWrapper(source).close()
        self.assertTrue(source.closed)

    def test_dangerous_images_fail_the_check_by_name(self) -> None:
        cases = {
            GOOD / "chain-top.qcow2": "backing_file",
            GOOD / "data-file.qcow2": "data_file",
            GOOD / "flat.vmdk": "extents",
            BAD / "q07-unknown-feature-63.qcow2": "unknown_features",
            BAD / "q17-luks.qcow2": "encrypted",
            BAD / "q22-l1-unaligned.qcow2": "corrupt",
            BAD / "q03-version-4.qcow2": "unsupported",
            BAD / "r10-head-of.vhdx": "unsupported",
            BAD / "r10-head-of.zip": "unsupported",
            GOOD / "disk.ova": "unsupported",
        }
        for path, check in cases.items():
            for format in (found(inspected(path.read_bytes())), detect_file_format(path)):
                with self.subTest(path.name), self.assertRaises(SafetyCheckFailed) as caught:
                    format.safety_check()
                failure = caught.exception.failures[check]
                assert failure.check is not None
                self.assertEqual(failure.check.name, check)
                self.assertIn(check, str(caught.exception))

    def test_archive_and_compressed_file_are_no_disks(self) -> None:
        self.assertEqual(str(found(inspected((GOOD / "disk.ova").read_bytes()))), "ova")
        self.assertEqual(str(detect_file_format(GOOD / "disk.ova")), "ova")
        self.assertEqual(detect_file_format(GOOD / "disk.ova").virtual_size, 0)
        for path in (GOOD / "v3.qcow2.gz", GOOD / "cluster-2m.qcow2.xz", GOOD / "cluster-2m-extended-l2.qcow2.zst"):
            self.assertEqual(str(found(inspected(path.read_bytes()))), "raw")
            self.assertEqual(str(detect_file_format(path)), "raw")

    def test_expected_format_stops_another_stream_early(self) -> None:
        def endless() -> Iterator[bytes]:
            yield (GOOD / "v3.qcow2").read_bytes()
            while True:
                yield bytes(1 << 16)

        with self.assertRaisesRegex(ImageFormatError, "not vmdk: it is qcow2"):
            for _ in InspectWrapper(endless(), expected_format="vmdk"):
                pass
        with self.assertRaisesRegex(ImageFormatError, "not qcow2"):
            inspected(b"text" * 1000, expected_format="qcow2")
        with self.assertRaisesRegex(ImageFormatError, "not floppy"):
            inspected((GOOD / "v3.qcow2").read_bytes(), expected_format="floppy")

    def test_expected_format_lets_its_own_pass(self) -> None:
        for name, path in (("qcow2", "v3.qcow2"), ("raw", "gpt.raw"), ("gpt", "gpt.raw"), ("iso", "udf.iso")):
            inspected((GOOD / path).read_bytes(), expected_format=name)

    def test_format_outside_the_allowed_ones_is_refused_and_is_not_raw(self) -> None:
        wrapper = inspected((GOOD / "v3.qcow2").read_bytes(), allowed_formats=["raw", "vmdk"])
        self.assertEqual(wrapper.formats, [])
        with self.assertRaisesRegex(ImageFormatError, "not allowed: it is qcow2"):
            wrapper.format  # noqa: B018: raises
        self.assertEqual(str(found(inspected((GOOD / "gpt.raw").read_bytes(), allowed_formats=["raw"]))), "raw")
        self.assertEqual(str(found(inspected((GOOD / "v3.qcow2").read_bytes(), allowed_formats=["qcow2"]))), "qcow2")

    def test_two_formats_at_once_are_refused(self) -> None:
        for name in ("r01-iso-with-qcow2-header.iso", "r02-mbr-with-vmdk-text.raw"):
            wrapper = inspected((BAD / name).read_bytes())
            for read in (lambda: wrapper.format, lambda: wrapper.formats, lambda: detect_file_format(BAD / name)):
                with self.assertRaises(ImageFormatError):
                    read()

    def test_raw_stream_is_certain_at_its_end_only(self) -> None:
        # A VHD or DMG may have its only header there.
        wrapper = InspectWrapper(io.BytesIO(bytes(1 << 20)))
        wrapper.read(1 << 20)
        self.assertIsNone(wrapper.format)
        self.assertEqual(wrapper.read(1), b"")
        self.assertEqual((str(found(wrapper)), found(wrapper).virtual_size), ("raw", 1 << 20))


class Files(Case):
    def test_file_is_inspected_without_reading_all_of_it(self) -> None:
        path = self.scratch / "large.raw"
        with open(path, "wb") as file:
            file.write((GOOD / "gpt.raw").read_bytes())
            file.truncate(1 << 40)
        found = detect_file_format(path)
        self.assertEqual((str(found), found.virtual_size, found.actual_size), ("gpt", 1 << 40, 1 << 40))

    def test_inspector_of_a_file_needs_its_format(self) -> None:
        found = inspector.QcowInspector.from_file(GOOD / "v3.qcow2")
        self.assertEqual((found.virtual_size, found.complete), (1 << 20, True))
        found.safety_check()
        with self.assertRaisesRegex(ImageFormatError, "not vmdk: it is qcow2"):
            inspector.VMDKInspector.from_file(GOOD / "v3.qcow2")
        with self.assertRaises(RuntimeError):
            found.eat_chunk(b"x")

    def test_missing_file_is_file_not_found(self) -> None:
        with self.assertRaises(FileNotFoundError):
            detect_file_format(self.scratch / "absent")
