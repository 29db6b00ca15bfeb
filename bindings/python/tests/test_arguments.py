"""Arguments that must be refused, at every function that accepts them."""

from __future__ import annotations

import os
import unittest
from typing import Any, Callable

import diskimg
from diskimg import inspector
from support import GOOD, Case

NUL_NAMES: list[Any] = ["disk.qcow2\0junk", b"disk.qcow2\0junk", "\0", "disk.qcow2\0"]


class Names(Case):
    """A NUL would end a name in C: another file would be opened, or created."""

    def setUp(self) -> None:
        super().setUp()
        (self.scratch / "disk.qcow2").write_bytes((GOOD / "v3.qcow2").read_bytes())
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.scratch)
        image = diskimg.open("disk.qcow2")
        self.addCleanup(image.close)
        self.image = image

    def refused(self, call: Callable[[Any], Any], names: list[Any] = NUL_NAMES) -> None:
        for name in names:
            with self.subTest(name), self.assertRaisesRegex(ValueError, "embedded null byte"):
                call(name)
        self.assertEqual(self.files(), ["disk.qcow2"])

    def test_nul_in_a_path_is_refused(self) -> None:
        self.refused(diskimg.open)
        self.refused(self.image.convert)
        self.refused(lambda name: diskimg.convert_stream([b""], name))
        self.refused(lambda name: diskimg.create(name, 1 << 20))
        self.refused(inspector.detect_file_format)
        self.refused(inspector.QcowInspector.from_file)

    def test_nul_in_a_path_object_is_refused(self) -> None:
        class Name(os.PathLike[str]):
            def __fspath__(self) -> str:
                return "disk.qcow2\0junk"

        self.refused(diskimg.open, [Name()])

    def test_nul_in_an_option_is_refused(self) -> None:
        text = ["a\0b", "\0"]
        for option in ("temporary_directory", "search_directory"):
            self.refused(lambda name: diskimg.open("disk.qcow2", **{option: name}))
        self.refused(lambda name: diskimg.open("disk.qcow2", parents=[name]))
        for option in ("format", "snapshot", "member", "limits"):
            self.refused(lambda name: diskimg.open("disk.qcow2", **{option: name}), text)
            self.refused(lambda name: diskimg.open_memory(b"", **{option: name}), text)
        self.refused(lambda name: diskimg.open("disk.qcow2", parents=[("disk.qcow2", name)]), text)
        for option in ("format", "member", "limits"):
            self.refused(lambda name: diskimg.Probe(**{option: name}), text)
        self.refused(lambda name: self.image.convert("new", name), text)
        self.refused(lambda name: self.image.convert("new", settings=name), text)
        self.refused(lambda name: self.image.convert("new", settings={"preallocation": name}), text)
        self.refused(lambda name: self.image.measure(name), text)
        self.refused(lambda name: diskimg.create("new", 512, name), text)
        self.refused(lambda name: diskimg.convert_stream([b""], "new", source_format=name), text)
        self.refused(diskimg.settings, text)
        self.refused(diskimg.capabilities, text)

    def test_nul_in_a_name_to_report_is_refused(self) -> None:
        self.refused(self.image.info_json, ["a\0b"])
        with diskimg.Probe(allow_raw=True) as probe:
            self.refused(probe.info_json, ["a\0b"])


class Numbers(Case):
    """ctypes would wrap a negative number to a huge one, and 2^64 to 0."""

    def refused(self, call: Callable[[Any], Any], wrong: tuple[int, ...] = (-1, -(1 << 63), 1 << 64)) -> None:
        for value in wrong:
            with self.subTest(value), self.assertRaises(ValueError):
                call(value)
        with self.assertRaises(TypeError):
            call(1.5)

    def test_negative_and_huge_offsets_and_lengths_are_refused(self) -> None:
        with diskimg.open(GOOD / "v3.qcow2") as image:
            self.refused(lambda value: image.pread(value, 0))
            self.refused(lambda value: image.pread(1, value))
            self.refused(lambda value: image.readinto(bytearray(1), value))
            self.refused(lambda value: image.readinto(bytearray(0), value))
            self.refused(lambda value: image.extents(value))
            self.refused(lambda value: image.extents(0, value))
        with diskimg.create(self.scratch / "new", 1 << 20) as writer:
            self.refused(lambda value: writer.pwrite(b"x", value))
            self.refused(lambda value: writer.zero(value, 1))
            self.refused(lambda value: writer.zero(0, value))
        self.refused(lambda value: diskimg.create(self.scratch / "other", value))
        self.refused(lambda value: diskimg.convert_stream([b""], self.scratch / "other", length=value))

    def test_negative_and_huge_options_are_refused(self) -> None:
        for option in ("max_virtual_size", "max_cache", "max_decoder_memory", "max_temporary"):
            self.refused(lambda value: diskimg.open(GOOD / "v3.qcow2", **{option: value}))
        for option in ("max_depth", "threads"):
            self.refused(lambda value: diskimg.open(GOOD / "v3.qcow2", **{option: value}), (-1, 1 << 32))
        with diskimg.open(GOOD / "v3.qcow2") as image:
            for option in ("max_memory", "sparse_size", "rate"):
                self.refused(lambda value: image.convert(self.scratch / "new", **{option: value}))
            for value in (1 << 31, -(1 << 31) - 1):
                with self.assertRaises(ValueError):
                    image.convert(self.scratch / "new", level=value)

    def test_negative_descriptor_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "negative file descriptor"):
            diskimg.open(-1)
        with diskimg.open(GOOD / "v3.qcow2") as image, self.assertRaisesRegex(ValueError, "negative file descriptor"):
            image.convert(-1)
        with self.assertRaisesRegex(ValueError, "negative file descriptor"):
            diskimg.open(GOOD / "v3.qcow2", references=True, dir_fd=-1)


class Options(unittest.TestCase):
    def test_unknown_option_is_a_type_error(self) -> None:
        wrong: Any = {"read_only": True}
        with diskimg.open(GOOD / "v3.qcow2") as image:
            calls: list[Callable[[], object]] = [
                lambda: diskimg.open(GOOD / "v3.qcow2", **wrong),
                lambda: diskimg.open_memory(b"", **wrong),
                lambda: diskimg.Probe(**wrong),
                lambda: image.convert("never", **wrong),
                lambda: image.measure(**wrong),
                lambda: diskimg.create("never", 512, **wrong),
                lambda: diskimg.convert_stream([b""], "never", **wrong),
            ]
            for call in calls:
                with self.assertRaisesRegex(TypeError, "read_only"):
                    call()

    def test_unknown_format_names_the_known_ones(self) -> None:
        with self.assertRaisesRegex(ValueError, "unknown format 'qcow22', expected one of raw, qcow2, vmdk, vdi"):
            diskimg.open(GOOD / "v3.qcow2", format="qcow22")

    def test_unknown_preallocation_is_refused(self) -> None:
        with diskimg.open(GOOD / "v3.qcow2") as image, self.assertRaisesRegex(ValueError, "off, falloc, full"):
            image.convert("never", preallocation="some")

    def test_every_option_of_c_is_an_option(self) -> None:
        from diskimg import _structures, options
        from diskimg._constants import CONVERT_FLAGS, OPEN_FLAGS

        plumbing = {"struct_size", "flags", "reserved", "resolve_user", "log_user", "progress_user", "parent_count"}
        in_open = {field[0] for field in _structures.OpenOptions._fields_} | set(OPEN_FLAGS)
        self.assertEqual(set(options.OpenOptions.__annotations__), in_open - plumbing)
        in_convert = {field[0] for field in _structures.ConvertOptions._fields_} | set(CONVERT_FLAGS)
        # The format is a parameter.
        self.assertEqual(set(options.ConvertOptions.__annotations__), in_convert - plumbing - {"format"})
