"""The programs in examples/python."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import diskimg
from support import BAD, GOOD, ROOT, Case, disk_bytes

EXAMPLES = ROOT / "examples/python"


def run(name: str, *arguments: Any, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    package = pathlib.Path(diskimg.__file__).resolve().parents[1]
    return subprocess.run(
        [sys.executable, "-B", EXAMPLES / name, *map(str, arguments)],
        input=data,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(package)},
    )


class Examples(Case):
    def test_converter_shows_progress_and_errors(self) -> None:
        target = self.scratch / "disk.raw"
        result = run("convert.py", GOOD / "v3.qcow2", target)
        self.assertEqual((result.returncode, target.read_bytes()), (0, disk_bytes(GOOD / "v3.qcow2")))
        self.assertIn(b"] 100 %", result.stderr)
        self.assertEqual(run("convert.py", GOOD / "v3.qcow2", target).returncode, 1)
        refused = run("convert.py", GOOD / "chain-top.qcow2", self.scratch / "other")
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"not allowed", refused.stderr)
        self.assertEqual(run("convert.py").returncode, 2)
        self.assertEqual(self.files(), ["disk.raw"])

    def test_upload_is_stored_only_if_it_is_safe(self) -> None:
        target = self.scratch / "upload"
        for declared, path in (
            ("qcow2", GOOD / "chain-top.qcow2"),
            ("raw", GOOD / "v3.qcow2"),
            ("qcow2", BAD / "q22-l1-unaligned.qcow2"),
            ("raw", BAD / "r02-mbr-with-vmdk-text.raw"),
            ("qcow2", GOOD / "disk.ova"),
        ):
            result = run("receive_upload.py", declared, target, data=path.read_bytes())
            self.assertEqual((result.returncode, self.files()), (1, []), path.name)
            self.assertTrue(result.stderr.startswith(b"refused: "))
        for declared, path in (("qcow2", GOOD / "v3.qcow2"), ("raw", GOOD / "gpt.raw"), ("raw", GOOD / "text.raw")):
            result = run("receive_upload.py", declared, target, data=path.read_bytes())
            self.assertEqual((result.returncode, target.read_bytes()), (0, path.read_bytes()), result.stderr)
            target.unlink()
        self.assertEqual(run("receive_upload.py", "floppy", target).returncode, 2)
