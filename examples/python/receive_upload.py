"""Receives an upload on standard input and stores it, unless it is unsafe or has another format than declared.

    curl -s URL | python3 receive_upload.py qcow2 upload.qcow2
    zcat disk.raw.gz | python3 receive_upload.py raw upload.raw

Exit code 0 if the upload was accepted, 1 if it was refused, 2 for wrong arguments.
"""

import os
import sys

from diskimg import inspector


def receive(declared: str, path: str) -> inspector.FileInspector:
    """Stores standard input at `path`. The file remains only if it is accepted."""
    wrapper = inspector.InspectWrapper(sys.stdin.buffer, expected_format=declared)
    with open(path, "xb") as file:
        try:
            while chunk := wrapper.read(1 << 20):
                file.write(chunk)
            wrapper.close()
            # A bootable raw disk is found as "gpt" or "iso": a raw disk with that content.
            found = wrapper.format
            assert found is not None, "the format is known at the end"
            found.safety_check()
            return found
        except BaseException:
            os.unlink(path)
            raise


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in inspector.ALL_FORMATS:
        print(f"usage: receive_upload.py {'|'.join(inspector.ALL_FORMATS)} FILE", file=sys.stderr)
        return 2
    try:
        found = receive(*sys.argv[1:])
    except (inspector.ImageFormatError, inspector.SafetyCheckFailed, OSError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    print(f"{found}: {found.virtual_size} bytes in {found.actual_size}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
