"""Loading of the library, each time in a new process."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from typing import Optional

import diskimg
from diskimg import _library
from support import Case

FAKE = """
unsigned diskimg_version_number(void) {{ return {}; }}
"""


def run(program: str, library: Optional[str]) -> subprocess.CompletedProcess[str]:
    """Runs a program that imports this package, with a value of DISKIMG_LIBRARY."""
    environment = {name: value for name, value in os.environ.items() if name != "DISKIMG_LIBRARY"}
    environment["PYTHONPATH"] = str(pathlib.Path(diskimg.__file__).resolve().parents[1])
    if library is not None:
        environment["DISKIMG_LIBRARY"] = library
    return subprocess.run([sys.executable, "-B", "-c", program], env=environment, capture_output=True, text=True)


class Loading(Case):
    def test_named_library_wins(self) -> None:
        result = run("import diskimg", "/nonexistent/libdiskimg.so")
        self.assertIn("ImportError: libdiskimg 0.1 cannot be loaded", result.stderr)
        self.assertIn("/nonexistent/libdiskimg.so", result.stderr)
        self.assertIn("DISKIMG_LIBRARY", result.stderr)

    def test_other_library_is_refused(self) -> None:
        result = run("import diskimg", "libm.so.6")
        self.assertIn("ImportError: libdiskimg 0.1 cannot be loaded", result.stderr)

    @unittest.skipIf(subprocess.run(["which", "cc"], capture_output=True).returncode, "skipped: cc is not installed")
    def test_other_version_is_refused(self) -> None:
        for number, version in ((1 << 8 << 8 | 1 << 8, "1.1.0"), (2 << 8, "0.2.0"), (0, "0.0.0")):
            source = self.scratch / "fake.c"
            source.write_text(FAKE.format(number))
            subprocess.run(["cc", "-shared", "-o", self.scratch / "fake.so", source], check=True)
            result = run("import diskimg", str(self.scratch / "fake.so"))
            self.assertIn(f"fake.so is libdiskimg {version}, but this package needs 0.1", result.stderr)

    def test_patch_versions_are_compatible(self) -> None:
        self.assertEqual(_library._ABI, diskimg.library_version().rpartition(".")[0])

    @unittest.skipUnless(_library.BUNDLED.exists(), "skipped: the package under test has no library inside")
    def test_bundled_library_is_loaded_without_a_name(self) -> None:
        program = "import diskimg; print([line.split()[-1] for line in open('/proc/self/maps') if 'libdiskimg' in line][0])"
        result = run(program, None)
        self.assertEqual(result.stdout.strip(), str(_library.BUNDLED), result.stderr)

    def test_message_of_a_missing_library_names_the_remedy(self) -> None:
        with tempfile.TemporaryDirectory() as empty:
            package = pathlib.Path(empty) / "diskimg"
            package.mkdir()
            for path in _library.BUNDLED.parent.glob("*.py"):
                (package / path.name).write_bytes(path.read_bytes())
            result = subprocess.run(
                [sys.executable, "-B", "-c", "import diskimg"],
                env={"PYTHONPATH": empty, "PATH": os.environ["PATH"]},
                capture_output=True,
                text=True,
            )
        # The system may have a library of its own.
        if result.returncode:
            self.assertIn("Install the wheel", result.stderr)
