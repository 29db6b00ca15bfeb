"""The inspectors agree with those of oslo.utils on all images, except where differences.tsv says so."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import sys
import unittest

from oslo_comparison import Difference, differences, images
from support import BAD, GOOD, ROOT

KNOWN = pathlib.Path(__file__).with_name("differences.tsv")
README = ROOT / "bindings/python/README.md"
# The parts of oslo.utils that are compared need both.
MISSING = [name for name in ("oslo_utils", "cryptography") if importlib.util.find_spec(name) is None]


def known() -> dict[Difference, str]:
    """Returns the known differences with their reasons."""
    rows = [line.split("\t") for line in KNOWN.read_text().splitlines()[1:]]
    return {Difference(*row[:4]): row[4] for row in rows}


class Comparison(unittest.TestCase):
    def test_inspectors_agree_except_for_the_known_differences(self) -> None:
        if MISSING:
            print(f"skipped: {' and '.join(MISSING)} cannot be imported", file=sys.stderr)
            self.skipTest("oslo.utils is not installed")
        directories = [GOOD, BAD]
        if os.environ.get("DISKIMG_IMAGES"):
            directories.append(pathlib.Path(os.environ["DISKIMG_IMAGES"]))
        compared = {path.name for path in images(directories)}
        expected = [difference for difference in known() if difference.image in compared]
        self.assertEqual(sorted(differences(directories)), sorted(expected))

    def test_every_reason_is_explained(self) -> None:
        explained = re.findall(r"^\| `([a-z0-9-]+)` \|", README.read_text(), re.M)
        self.assertEqual(sorted(set(known().values())), sorted(explained))
