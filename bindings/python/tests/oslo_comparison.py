"""Compares the inspectors with those of oslo.utils, image by image.

    python3 oslo_comparison.py [DIRECTORY...] > differences.tsv

writes the table that test_oslo.py checks. Its last column names the reason, which README.md explains.
"""

from __future__ import annotations

import importlib
import logging
import pathlib
import sys
from typing import Any, Iterator, NamedTuple

from diskimg import inspector
from support import BAD, GOOD

HEAD = "image\tfield\toslo.utils\tdiskimg\treason"


class Verdict(NamedTuple):
    """The result of one inspector for one image."""

    format: str
    virtual_size: str
    safe: str


class Difference(NamedTuple):
    """A field in which two verdicts differ."""

    image: str
    field: str
    oslo: str
    diskimg: str


def verdict(module: Any, path: pathlib.Path) -> Verdict:
    """Pushes an image through an inspector, as an upload."""
    with open(path, "rb") as file:
        wrapper = module.InspectWrapper(file)
        while wrapper.read(1 << 16):
            pass
        wrapper.close()
    try:
        found = wrapper.format
    except module.ImageFormatError:
        return Verdict("several", "-", "-")
    try:
        found.safety_check()
        safe = "safe"
    except module.SafetyCheckFailed:
        safe = "unsafe"
    except module.ImageFormatError:
        safe = "not checked"
    return Verdict(str(found), str(found.virtual_size), safe)


def images(directories: list[pathlib.Path]) -> Iterator[pathlib.Path]:
    """Returns the images in directories, by name."""
    for directory in directories:
        yield from sorted(path for path in directory.iterdir() if path.is_file() and path.suffix != ".tsv")


def differences(directories: list[pathlib.Path]) -> list[Difference]:
    """Returns all fields of all images in which the inspectors differ."""
    format_inspector = importlib.import_module("oslo_utils.imageutils.format_inspector")
    logging.getLogger("oslo_utils").setLevel(logging.CRITICAL)
    found = []
    for path in images(directories):
        theirs, ours = verdict(format_inspector, path), verdict(inspector, path)
        for field in Verdict._fields:
            pair = getattr(theirs, field), getattr(ours, field)
            if pair[0] != pair[1]:
                found.append(Difference(path.name, field, *pair))
    return found


def main() -> None:
    known = pathlib.Path(__file__).with_name("differences.tsv")
    reasons = {}
    if known.exists():
        for line in known.read_text().splitlines()[1:]:
            *difference, reason = line.split("\t")
            reasons[Difference(*difference)] = reason
    directories = [pathlib.Path(name) for name in sys.argv[1:]] or [GOOD, BAD]
    print(HEAD)
    for found in differences(directories):
        print(*found, reasons.get(found, "?"), sep="\t")


if __name__ == "__main__":
    main()
