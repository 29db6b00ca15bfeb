"""Conversion of streams."""

from __future__ import annotations

from ctypes import byref
from typing import TYPE_CHECKING, Optional

from . import _functions as c
from . import _structures as s
from ._arguments import number
from ._raised import Raised
from ._streams import StreamSource, stream_of
from ._targets import TargetLike, target_record
from ._turn import Turn
from .options import StreamOptions, convert_record, open_record, split_options
from .records import ConvertResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["convert_stream"]


def convert_stream(
    source: StreamSource,
    target: TargetLike,
    format: str = "raw",
    *,
    length: Optional[int] = None,
    **options: Unpack[StreamOptions],
) -> ConvertResult:
    """Converts an image that is read from a stream: a file object, an HTTP response, or an iterable of bytes.

    If the format and the target allow it, the image is converted while it is read. Otherwise it goes through an
    anonymous temporary file, unless `no_temporary` is set. `length` is the number of bytes that the stream must have, such
    as the Content-Length of a download: with fewer or more the call fails and creates no target. For `target` see
    `Image.convert`.
    """
    expected = number(length or 0, "length")
    raised = Raised()
    turn = Turn(progress=options.get("progress"), cancel=options.get("cancel"), raised=[raised])
    source_options, target_options = split_options(options)
    # The progress of the call is that of the conversion.
    opened, _ = open_record(source_options, None, raised)
    record, result = convert_record(format, target_options, turn), s.sized(s.ConvertResult)
    stream = stream_of(source, expected, turn)
    with target_record(target, record, raised, turn) as place:
        turn.run(c.convert_stream, byref(stream), byref(opened), place, byref(record), byref(result))
    return ConvertResult(result.virtual_size, result.written, result.copied, result.zeros)
