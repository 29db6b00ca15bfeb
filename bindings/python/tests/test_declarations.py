"""The declarations of the package equal those of the C header."""

from __future__ import annotations

import ctypes
import re
import unittest
from typing import Any

from diskimg import _constants, _functions, _structures
from diskimg.errors import _CLASSES
from diskimg.inspector import ALL_FORMATS
from support import ROOT

HEADER = re.sub(r"//[^\n]*|/\*.*?\*/", "", (ROOT / "include/diskimg.h").read_text(), flags=re.S)
# The types of C with the same size and alignment that ctypes has for them.
TYPES = {
    "size_t": (ctypes.c_size_t,),
    "uint32_t": (ctypes.c_uint32,),
    "int32_t": (ctypes.c_int32, ctypes.c_int),
    "uint64_t": (ctypes.c_uint64,),
    "int": (ctypes.c_int,),
    "diskimg_format": (ctypes.c_uint32,),
    "diskimg_wrapper": (ctypes.c_uint32,),
}


def constants(prefix: str) -> dict[str, int]:
    """Returns the constants of the header that begin with a prefix."""
    found = re.findall(rf"#define DISKIMG_{prefix}_(\w+) (\(.*?\)|\d+)\n", HEADER)
    return {name.lower(): eval(value) for name, value in found}  # the repository's own header


def named(prefix: str, table: dict[int, Any]) -> dict[str, int]:
    """Returns a table from numbers to names as the header has it."""
    return {str(name).lower(): number for number, name in table.items()}


class Declarations(unittest.TestCase):
    def test_structures_have_the_members_of_the_header(self) -> None:
        names = {
            "io": _structures.Io,
            "parent": _structures.Parent,
            "open_options": _structures.OpenOptions,
            "target": _structures.Target,
            "stream": _structures.Stream,
            "convert_options": _structures.ConvertOptions,
            "convert_result": _structures.ConvertResult,
            "check_options": _structures.CheckOptions,
            "check_result": _structures.CheckResult,
            "compare_options": _structures.CompareOptions,
            "info": _structures.Info,
            "reference": _structures.Reference,
            "snapshot": _structures.Snapshot,
            "finding": _structures.Finding,
            "extent": _structures.Extent,
            "setting": _structures.Setting,
            "limit": _structures.Limit,
        }
        found = dict(re.findall(r"typedef struct diskimg_\w+ \{(.*?)\n\} diskimg_(\w+);", HEADER, re.S))
        self.assertEqual(sorted(found.values()), sorted(names))
        for body, name in found.items():
            with self.subTest(name):
                members = [line.strip() for line in body.split(";\n") if line.strip()]
                fields = names[name]._fields_
                self.assertEqual(len(members), len(fields))
                for member, (field, kind, *_) in zip(members, fields):
                    function = re.match(r"int \(\*(\w+)\)|void \(\*(\w+)\)", member)
                    plain = re.match(r"(?:const )?(?:struct )?(\w+) (\**)(\w+);?$", member)
                    if function:
                        self.assertEqual(function[1] or function[2], field)
                        self.assertEqual(ctypes.sizeof(kind), 8)
                        continue
                    assert plain is not None, member
                    self.assertEqual(plain[3], field)
                    if plain[2] or plain[1].endswith("_fn"):
                        self.assertEqual(ctypes.sizeof(kind), ctypes.sizeof(ctypes.c_void_p), member)
                    else:
                        self.assertIn(kind, TYPES[plain[1]], member)

    def test_functions_are_those_of_the_header(self) -> None:
        in_header = set(re.findall(r"\bdiskimg_(\w+)\(", HEADER))
        declared = {name for name, value in vars(_functions).items() if hasattr(value, "argtypes")}
        # The version number is read before all else; the error of a call has the status that the call returns.
        self.assertEqual(declared | {"version_number"}, in_header)
        for name in declared:
            text = re.search(rf"\bdiskimg_{name}\((.*?)\)", HEADER, re.S)
            assert text is not None
            count = 0 if text[1] == "void" else text[1].count(",") + 1
            self.assertEqual(len(getattr(_functions, name).argtypes), count, name)

    def test_numbers_are_those_of_the_header(self) -> None:
        errors = {"ok": 0, **constants("ERR")}
        names = {"io": "io", **{name: name for name in errors}}
        self.assertEqual(_constants.STATUSES, {names[name]: number for name, number in errors.items()})
        self.assertEqual(set(_CLASSES), set(errors.values()) - {0})
        self.assertEqual(named("FAULT", _constants.FAULTS), constants("FAULT"))
        self.assertEqual(_constants.FORMATS, constants("FORMAT"))
        self.assertEqual(named("WRAPPER", _constants.WRAPPERS), constants("WRAPPER"))
        self.assertEqual(named("ROLE", _constants.ROLES), constants("ROLE"))
        self.assertEqual(named("SEVERITY", _constants.SEVERITIES), constants("SEVERITY"))
        self.assertEqual(named("PROBLEM", _constants.PROBLEMS), constants("PROBLEM"))
        self.assertEqual(_constants.PREALLOCATIONS, constants("PREALLOCATION"))
        self.assertEqual(_constants.CAPABILITIES, constants("CAN"))
        self.assertEqual(_constants.EXTENT_FLAGS, constants("EXTENT"))
        self.assertEqual(_constants.INFO_FLAGS, constants("INFO"))
        for prefix, flags in (("OPEN", _constants.OPEN_FLAGS), ("CONVERT", _constants.CONVERT_FLAGS)):
            self.assertEqual(flags, constants(prefix))

    def test_every_format_of_the_library_has_an_inspector(self) -> None:
        self.assertLessEqual(set(_constants.FORMATS) - {"auto"}, set(ALL_FORMATS))
