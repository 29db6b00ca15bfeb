"""The wheel: its files, its metadata, and that the same sources give the same bytes."""

from __future__ import annotations

import base64
import csv
import email
import hashlib
import importlib.util
import io
import os
import sys
import unittest.mock
import zipfile

import diskimg
from support import ROOT, Case

PACKAGE = ROOT / "bindings/python"


class Wheel(Case):
    def setUp(self) -> None:
        super().setUp()
        if sys.version_info < (3, 11) and importlib.util.find_spec("tomli") is None:
            print("skipped: tomli cannot be imported", file=sys.stderr)
            self.skipTest("tomli is not installed")
        sys.path.insert(0, str(PACKAGE))
        self.addCleanup(sys.path.remove, str(PACKAGE))
        (self.scratch / "library").write_bytes(b"not a library, but its bytes")
        environment = unittest.mock.patch.dict(os.environ, {"DISKIMG_LIBRARY": str(self.scratch / "library")})
        environment.start()
        self.addCleanup(environment.stop)

    def build(self, directory: str) -> bytes:
        import build_wheel

        (self.scratch / directory).mkdir()
        name = build_wheel.build_wheel(str(self.scratch / directory))
        self.assertRegex(name, rf"^diskimg-{diskimg.__version__}-py3-none-linux_\w+\.whl$")
        return (self.scratch / directory / name).read_bytes()

    def test_wheel_has_the_sources_the_library_and_the_licences(self) -> None:
        with zipfile.ZipFile(io.BytesIO(self.build("a"))) as wheel:
            names = set(wheel.namelist())
            sources = {f"diskimg/{path.name}" for path in (PACKAGE / "diskimg").glob("*.py")}
            info = f"diskimg-{diskimg.__version__}.dist-info"
            licences = {f"{info}/licenses/LICENSE-{name}" for name in ("APACHE", "MIT")}
            others = {"diskimg/py.typed", "diskimg/libdiskimg.so"}
            self.assertEqual(names, sources | licences | others | {f"{info}/{n}" for n in ("METADATA", "WHEEL", "RECORD")})
            self.assertEqual(wheel.read("diskimg/libdiskimg.so"), b"not a library, but its bytes")
            metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
            self.assertEqual((metadata["Name"], metadata["Version"]), ("diskimg", diskimg.__version__))
            self.assertEqual(metadata["License-Expression"], "MIT OR Apache-2.0")
            self.assertIn("## The inspector", str(metadata.get_payload()))
            recorded = set()
            for name, digest, length in csv.reader(io.StringIO(wheel.read(f"{info}/RECORD").decode())):
                recorded.add(name)
                if digest:
                    data = wheel.read(name)
                    expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                    self.assertEqual((digest, length), (f"sha256={expected}", str(len(data))))
            self.assertEqual(recorded, names)

    def test_wheel_is_reproducible(self) -> None:
        self.assertEqual(self.build("a"), self.build("b"))

    def test_version_is_that_of_the_workspace(self) -> None:
        self.assertIn(f'\nversion = "{diskimg.__version__}"\n', (ROOT / "Cargo.toml").read_text())
