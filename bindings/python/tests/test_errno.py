"""Error numbers of the system: every call of tests/errno.tsv that the system refuses raises its builtin exception."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
from typing import Any, Callable, NamedTuple, Optional

import diskimg
from support import GOOD, ROOT, Case, painted

SIZE = 1 << 20
IMAGE = bytes(1 + i % 251 for i in range(SIZE))
READS = {"open", "inspect", "check", "parent"}
TAKES_DIRECTORY = {"search", "spool"}


class Row(NamedTuple):
    """A row of the table."""

    call: str
    condition: str
    errno: str
    fault: str


def rows(*conditions: str) -> list[Row]:
    """Returns the rows with one of these conditions."""
    lines = [line for line in (ROOT / "tests/errno.tsv").read_text().splitlines() if not line.startswith("#")]
    found = [row for row in (Row(*line.split("\t")) for line in lines[1:]) if row.condition in conditions]
    assert found
    return found


def prepare(directory: pathlib.Path, row: Row) -> pathlib.Path:
    """Prepares the condition of a row, and returns the path for its call."""
    own = directory / f"{row.call}-{row.condition}"
    own.mkdir(parents=True)
    file = own / "file"
    file.write_bytes(b"" if row.call == "descriptor" else IMAGE)
    if row.condition == "absent":
        reads = row.call in READS | TAKES_DIRECTORY | {"in-place"}
        return own / "absent" if reads else own / "absent/disk"
    if row.condition == "loop":
        (own / "one").symlink_to("two")
        (own / "two").symlink_to("one")
        return own / "one/disk"
    if row.condition == "long":
        return own / ("x" * 300)
    known = {"under-file": file / "disk", "directory": own, "file": file, "for-reading": file}
    if row.condition in known:
        return known[row.condition]
    if row.call in READS | {"in-place", "descriptor"}:
        return file
    if row.call in TAKES_DIRECTORY:
        (own / "inner").mkdir()
        return own / "inner"
    return own / "disk"


def convert(path: Any, **options: Any) -> None:
    with diskimg.open_memory(IMAGE, format="raw") as image:
        image.convert(path, **options)


def create(path: pathlib.Path) -> None:
    with diskimg.create(path, SIZE) as writer:
        writer.pwrite(IMAGE, 0)


def to_descriptor(path: pathlib.Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        convert(descriptor)
    finally:
        os.close(descriptor)


OVERLAY = (GOOD / "chain-top.qcow2").read_bytes()
COMPRESSED = gzip.compress(IMAGE, 1)
CALLS: dict[str, Callable[[pathlib.Path], object]] = {
    "open": lambda path: diskimg.open(path, allow_raw=True),
    "inspect": lambda path: diskimg.open(path, allow_raw=True, info_only=True),
    "check": lambda path: diskimg.open(path, allow_raw=True).check(),
    "parent": lambda path: diskimg.open_memory(OVERLAY, parents=[(path, "raw")]),
    "search": lambda path: diskimg.open_memory(OVERLAY, search_directory=path),
    "convert": convert,
    "replace": lambda path: convert(path, overwrite=True),
    "in-place": lambda path: convert(path, in_place=True),
    "create": create,
    "stream": lambda path: diskimg.convert_stream(io.BytesIO(IMAGE), path, source_format="raw"),
    "spool": lambda path: diskimg.open_memory(COMPRESSED, allow_raw=True, temporary_directory=path),
    "descriptor": lambda path: to_descriptor(path, os.O_RDWR),
}


def difference(row: Row, path: pathlib.Path) -> Optional[str]:
    """Makes the call of a row, and returns what differs from the table."""
    call = CALLS[row.call]
    if row.call == "descriptor" and row.condition in ("directory", "for-reading"):
        call = lambda path: to_descriptor(path, os.O_RDONLY)  # noqa: E731
    code = getattr(errno, row.errno)
    taken: list[int] = []
    try:
        while row.condition == "descriptors":
            try:
                taken.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        call(path)
        return f"{row}: no error"
    except diskimg.Error as error:
        if (error.errno, error.fault) == (code, row.fault) and isinstance(error, type(OSError(code, ""))):
            return None
        return f"{row}: {type(error).__mro__[:3]} {error.errno} {error.fault}: {error}"
    finally:
        for descriptor in taken:
            os.close(descriptor)


class Numbers(Case):
    def differences(self, *conditions: str) -> list[str]:
        cases = [(row, prepare(self.scratch, row)) for row in rows(*conditions)]
        return [found for found in (difference(*case) for case in cases) if found is not None]

    def in_child(self, condition: str, limit: Callable[[], object]) -> None:
        """Runs the rows with a condition in a process that `limit` has prepared."""
        cases = [(row, prepare(self.scratch / "files", row)) for row in rows(condition)]
        if condition == "permission":
            (self.scratch / "files").chmod(0o700)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                limit()
                found = [difference(*case) for case in cases]
            except BaseException as error:
                found = [repr(error)]
            os.write(write, json.dumps([text for text in found if text is not None]).encode()[:60_000])
            os._exit(0)
        os.close(write)
        with open(read, "rb") as result:
            text = result.read()
        os.waitpid(child, 0)
        self.assertEqual(json.loads(text), [])

    def test_refused_path_has_the_number_of_the_system(self) -> None:
        conditions = ("absent", "under-file", "directory", "file", "loop", "long", "for-reading")
        self.assertEqual(self.differences(*conditions), [])

    def test_limit_of_descriptors_has_the_number_of_the_system(self) -> None:
        self.in_child("descriptors", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))

    def test_limit_of_the_file_size_has_the_number_of_the_system(self) -> None:
        def limit() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10))

        self.in_child("size", limit)

    def test_file_of_another_user_has_the_number_of_the_system(self) -> None:
        if os.geteuid() != 0:
            self.skip("only root can run a process as another user")
        self.scratch.chmod(0o755)

        def limit() -> None:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        self.in_child("permission", limit)

    def test_file_system_without_space_or_read_only_has_the_number_of_the_system(self) -> None:
        image, place = self.scratch / "image", self.scratch / "mounted"
        image.touch()
        os.truncate(image, 64 << 20)
        place.mkdir()
        make = ["mkfs.ext4", "-q", "-m0", "-O^has_journal", str(image)]
        mount = ["mount", "-o", "loop", str(image), str(place)]
        for command in (make, mount):
            try:
                done = subprocess.run(command, capture_output=True).returncode == 0
            except FileNotFoundError:
                done = False
            if not done:
                self.skip("no file system can be created and mounted here")
        self.addCleanup(subprocess.run, ["umount", str(place)], check=True)
        full = [(row, prepare(place, row)) for row in rows("full")]
        read_only = [(row, prepare(place, row)) for row in rows("read-only")]
        # Less than 1 MiB is left, but more than the names need.
        with open(place / "fill", "wb", buffering=0) as fill:
            try:
                while True:
                    fill.write(painted(64 << 10))
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
            fill.truncate(fill.seek(0, os.SEEK_END) - (256 << 10))
        found = [difference(*case) for case in full]
        (place / "fill").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        found += [difference(*case) for case in read_only]
        self.assertEqual([text for text in found if text is not None], [])

    def skip(self, reason: str) -> None:
        print(f"skipped: {reason}", file=sys.stderr)
        self.skipTest(reason)
