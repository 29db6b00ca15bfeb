"""Exceptions: one class for each status, which is also the builtin class of the errno."""

from __future__ import annotations

import errno
import os
import pickle
import unittest

import diskimg
from diskimg import errors
from support import BAD, GOOD, Case


class Classes(unittest.TestCase):
    def test_every_errno_gives_the_builtin_class(self) -> None:
        for status, kind in errors._CLASSES.items():
            for code in (None, *errno.errorcode):
                error = errors._restore(status, code, "message", {"offset": 7}, None)
                self.assertIsInstance(error, kind)
                self.assertIsInstance(error, type(OSError(code or 0, "")))
                self.assertEqual((error.errno, error.status, str(error), error.offset), (code, status, "message", 7))

    def test_unknown_status_is_an_error(self) -> None:
        error = errors._restore(77, None, "message", {}, None)
        self.assertIs(type(error), diskimg.Error)

    def test_pickle_keeps_class_and_details(self) -> None:
        details = {"offset": 7, "guest_offset": None, "hint": "try", "format": "qcow2", "limit": None, "fault": "image"}
        for status in errors._CLASSES:
            for code in (None, errno.ENOENT, errno.ENOSPC):
                error = errors._restore(status, code, "message", details, "name")
                again = pickle.loads(pickle.dumps(error))
                self.assertIs(type(again), type(error))
                self.assertEqual((again.__dict__, again.errno, again.filename), (error.__dict__, code, "name"))


class Details(Case):
    def test_missing_file_is_file_not_found(self) -> None:
        for name in ("absent", b"absent"):
            with self.assertRaises(FileNotFoundError) as caught:
                diskimg.open(name)
            error = caught.exception
            assert isinstance(error, diskimg.IoError)
            self.assertEqual((error.errno, error.filename, error.fault), (errno.ENOENT, name, "caller"))
            self.assertEqual(error.status_name, "io")

    def test_builtin_class_follows_the_errno(self) -> None:
        (self.scratch / "file").write_bytes(b"")
        (self.scratch / "loop").symlink_to("loop")
        with self.assertRaises(NotADirectoryError):
            diskimg.open(self.scratch / "file/disk")
        with self.assertRaises(diskimg.Error) as caught:
            diskimg.open(self.scratch / "loop")
        self.assertEqual(caught.exception.errno, errno.ELOOP)
        with self.assertRaises(diskimg.Error) as caught:
            diskimg.open(self.scratch / ("n" * 300))
        self.assertEqual(caught.exception.errno, errno.ENAMETOOLONG)
        with diskimg.open(GOOD / "v3.qcow2") as image:
            for call in (image.convert, lambda path: diskimg.create(path, 512)):
                with self.assertRaises(FileNotFoundError) as missing:
                    call(self.scratch / "absent/disk")
                self.assertEqual(missing.exception.filename, self.scratch / "absent/disk")
                with self.assertRaises(NotADirectoryError):
                    call(self.scratch / "file/disk")
                with self.assertRaises(FileExistsError):
                    call(self.scratch / "file")

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become another user")
    def test_file_of_another_user_is_a_permission_error(self) -> None:
        (self.scratch / "disk").write_bytes(b"")
        (self.scratch / "disk").chmod(0)
        self.scratch.chmod(0o755)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setuid(65534)
                diskimg.open(self.scratch / "disk")
            except PermissionError as error:
                code = 0 if error.errno == errno.EACCES else 2
            finally:
                os._exit(code)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_damaged_image_has_an_offset(self) -> None:
        with self.assertRaises(diskimg.CorruptError) as caught:
            diskimg.open(BAD / "q22-l1-unaligned.qcow2")
        error = caught.exception
        self.assertEqual((error.offset, error.format, error.fault, error.errno), (40, "qcow2", "image", None))
        self.assertIn("l1_table_offset", str(error))

    def test_unsupported_format_is_named(self) -> None:
        for name in ("vhdx", "luks", "qed", "zip"):
            with self.assertRaises(diskimg.UnsupportedError) as caught:
                diskimg.open(BAD / f"r10-head-of.{name}")
            self.assertEqual((caught.exception.format, caught.exception.fault), (name, "image"))

    def test_limit_is_named(self) -> None:
        with self.assertRaises(diskimg.LimitError) as caught:
            diskimg.open(GOOD / "v3.qcow2", max_virtual_size=4096)
        self.assertEqual(caught.exception.limit, "virtual-size")

    def test_refused_reference_has_a_hint(self) -> None:
        with self.assertRaises(diskimg.ReferenceDeniedError) as caught:
            diskimg.open(GOOD / "chain-top.qcow2")
        self.assertIsNotNone(caught.exception.hint)

    def test_invalid_argument_is_a_value_error(self) -> None:
        with self.assertRaises(ValueError) as caught:
            diskimg.open(GOOD / "v3.qcow2", limits="nonsense=1")
        self.assertIsInstance(caught.exception, diskimg.InvalidArgumentError)

    def test_every_bad_image_is_an_error_or_can_be_read(self) -> None:
        for path in sorted(BAD.iterdir()):
            with self.subTest(path.name):
                try:
                    with diskimg.open(path, allow_raw=True) as image:
                        image.pread(1 << 20, 0)
                except diskimg.Error as error:
                    self.assertNotEqual(str(error), "")
                    self.assertIs(errors._CLASSES[error.status], type(error))
