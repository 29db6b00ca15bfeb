"""The build backend (PEP 517) of this package: a wheel with libdiskimg inside, for any Python 3 on this machine's kind.

The library is the file that DISKIMG_LIBRARY names; without it, `crates/capi/install.sh` builds one, which needs cargo and
cc. The package needs no compiler itself, so the wheel has no tag of a Python version.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib
import io
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from typing import Any, Optional

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LICENCES = ("LICENSE-APACHE", "LICENSE-MIT")
# The earliest time that a zip file can have: the wheel does not depend on when it is built.
EPOCH = (1980, 1, 1, 0, 0, 0)


def _project() -> dict[str, Any]:
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project: dict[str, Any] = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    version = re.search(r'^__version__ = "(.*)"$', (HERE / "diskimg/_version.py").read_text(), re.M)
    assert version is not None, "diskimg/_version.py has no version"
    return {**project, "version": version[1]}


def _metadata(project: dict[str, Any]) -> str:
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", project["name"]),
        ("Version", project["version"]),
        ("Summary", project["description"]),
        ("Keywords", ",".join(project["keywords"])),
        *(("Classifier", classifier) for classifier in project["classifiers"]),
        ("Requires-Python", project["requires-python"]),
        ("License-Expression", project["license"]),
        *(("License-File", name) for name in LICENCES),
        ("Description-Content-Type", "text/markdown"),
    ]
    head = "".join(f"{name}: {value}\n" for name, value in fields)
    return f"{head}\n{(HERE / 'README.md').read_text()}"


def _tag() -> str:
    return "py3-none-" + re.sub(r"[-.]", "_", sysconfig.get_platform())


def _wheel_file() -> str:
    return f"Wheel-Version: 1.0\nGenerator: diskimg build_wheel\nRoot-Is-Purelib: false\nTag: {_tag()}\n"


def _library() -> bytes:
    """Returns the bytes of the library. Raises subprocess.CalledProcessError if it cannot be built."""
    named = os.environ.get("DISKIMG_LIBRARY")
    if named:
        return pathlib.Path(named).read_bytes()
    with tempfile.TemporaryDirectory() as prefix:
        environment = {name: value for name, value in os.environ.items() if name not in ("LIBDIR", "DESTDIR")}
        # Standard output is that of pip.
        subprocess.run([ROOT / "crates/capi/install.sh"], env={**environment, "PREFIX": prefix}, stdout=2, check=True)
        return (pathlib.Path(prefix) / "lib/libdiskimg.so").read_bytes()


class _Wheel:
    """A zip file with a list of the digests of its files."""

    def __init__(self, path: pathlib.Path) -> None:
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self._record: list[tuple[str, str, str]] = []

    def add(self, name: str, data: bytes, mode: int = 0o644) -> None:
        entry = zipfile.ZipInfo(name, EPOCH)
        entry.external_attr, entry.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
        self._zip.writestr(entry, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self._record.append((name, f"sha256={digest}", str(len(data))))

    def close(self, record: str) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*self._record, (record, "", "")])
        self.add(record, text.getvalue().encode())
        self._zip.close()


def build_wheel(
    wheel_directory: str, config_settings: Optional[dict[str, Any]] = None, metadata_directory: Optional[str] = None
) -> str:
    """Builds the wheel and returns its file name."""
    project = _project()
    stem = f"{project['name']}-{project['version']}"
    name = f"{stem}-{_tag()}.whl"
    library = _library()
    wheel = _Wheel(pathlib.Path(wheel_directory) / name)
    for path in sorted((HERE / "diskimg").iterdir()):
        if path.suffix == ".py" or path.name == "py.typed":
            wheel.add(f"diskimg/{path.name}", path.read_bytes())
    wheel.add("diskimg/libdiskimg.so", library, 0o755)
    for licence in LICENCES:
        wheel.add(f"{stem}.dist-info/licenses/{licence}", (ROOT / licence).read_bytes())
    wheel.add(f"{stem}.dist-info/METADATA", _metadata(project).encode())
    wheel.add(f"{stem}.dist-info/WHEEL", _wheel_file().encode())
    wheel.close(f"{stem}.dist-info/RECORD")
    return name


def build_sdist(sdist_directory: str, config_settings: Optional[dict[str, Any]] = None) -> str:
    """Refuses: the sources of the library are the repository."""
    raise NotImplementedError("there is no source archive of the package alone: build a wheel in the repository")
