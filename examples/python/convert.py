"""Converts an image, or a download, to a raw disk, with a progress bar. Ctrl-C stops it and leaves no file.

    python3 convert.py disk.qcow2 disk.raw
    python3 convert.py https://cloud.example/disk.qcow2.gz disk.raw
"""

import sys
import urllib.request

import diskimg

WIDTH = 40


def show(done: int, total: int) -> None:
    """Draws the bar, or a number of bytes while the total is unknown."""
    if total:
        filled = WIDTH * done // total
        text = f"[{'#' * filled}{' ' * (WIDTH - filled)}] {100 * done // total:3} %"
    else:
        text = f"{done >> 20} MiB"
    print(f"\r{text}", end="", file=sys.stderr, flush=True)


def convert(source: str, target: str) -> diskimg.ConvertResult:
    if not source.startswith(("http://", "https://")):
        with diskimg.open(source) as image:
            return image.convert(target, progress=show)
    with urllib.request.urlopen(source) as response:
        length = response.headers["Content-Length"]
        return diskimg.convert_stream(response, target, length=int(length) if length else None, progress=show)


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: convert.py SOURCE TARGET", file=sys.stderr)
        return 2
    try:
        result = convert(*sys.argv[1:])
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (diskimg.Error, OSError) as error:
        hint = getattr(error, "hint", None)
        print(f"\n{error}{f' ({hint})' if hint else ''}", file=sys.stderr)
        return 1
    print(f"\n{result.virtual_size} bytes, {result.zeros} of them zeros", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
