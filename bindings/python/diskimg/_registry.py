"""Objects that C callbacks find by number.

The `user` pointer of a callback is a number in this table. The functions that C calls are made once, for the whole
process, so no call and no open image owns machine code that could be freed too early.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any

__all__ = ["find", "register"]

_numbers = itertools.count(1)
_objects: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def register(value: object) -> int:
    """Returns a number for an object, which is never 0. It is valid as long as something else refers to the object."""
    number = next(_numbers)
    _objects[number] = value
    return number


def find(number: int) -> Any:
    """Returns the object with this number. Raises KeyError if nothing refers to it any more."""
    return _objects[number]
