#!/usr/bin/env python3
"""Makes bad/ and bad/EXPECTED.tsv: one image for each kind of damage that a small file can have.

Python 3, standard library only. The output is the same each time, except for data that zlib
compresses, which may differ between its versions. A row of EXPECTED.tsv: the file; how it is opened (`-`: without
other files; `files`: names in its own directory are followed; `raw`: an unrecognised format is raw); the kind of the
error; fragments of its message, separated by `|`. The limit for virtual sizes is 32 MiB for all of them.
"""

import pathlib
import struct
import zlib

import fields
from fields import COMPRESSED, COPIED, Qcow2, gz, paint, raw_deflate, vli, xz, zst, zst_stored

BAD = pathlib.Path(__file__).resolve().parent / "bad"
ROWS = []


def bad(name, data, kind, *words, how="-"):
    (BAD / name).write_bytes(data)
    ROWS.append((name, how, kind, "|".join(words)))


def image(patch=None, truncate=None, **arguments):
    """Builds an image with one painted cluster; `patch` changes it before."""
    made = Qcow2(**arguments)
    if made.l1_entries and made.size < 1 << 40:
        made.data(0)
    if patch:
        patch(made)
    return made.build(truncate)


def header():
    bad("q01-empty.qcow2", b"", "unknown-format", "empty")
    bad("q01-header-cut.qcow2", image(truncate=71), "truncated", "header", "71 bytes", "at least 72")
    bad("q01-magic-alone.qcow2", image(truncate=4), "truncated", "header", "4 bytes")
    bad("q02-v3-header-cut.qcow2", image(truncate=103), "truncated", "header", "103 bytes", "at least 104")
    for version in (0, 1, 4, 2**32 - 1):
        bad(f"q03-version-{version}.qcow2", image(version=3)[:4] + struct.pack(">I", version)
            + image()[8:], "unsupported", "version at byte 4", str(version))
    for bits in (0, 8, 22, 63, 2**32 - 1):
        bad(f"q04-cluster-bits-{bits}.qcow2", image(cluster_bits=bits), "unsupported", "cluster_bits at byte 20",
            str(bits))
    bad("q05-extended-l2-small-clusters.qcow2", image(incompatible=16), "corrupt", "cluster_bits", "extended L2")
    for length in (0, 103, 108, 1024, 0x7FFFFFFF):
        bad(f"q06-header-length-{length}.qcow2", image(header_length=length), "corrupt",
            "header_length at byte 100", str(length))
    bad("q07-unknown-feature-5.qcow2", image(lambda i: i.extension(
        0x6803F857, b"\0\5" + b"warp\ndrive".ljust(46, b"\0")), incompatible=1 << 5),
        "unsupported", "incompatible_features", "bit 5", "warp\\ndrive")
    bad("q07-unknown-feature-63.qcow2", image(incompatible=1 << 63), "unsupported", "bit 63")
    bad("q08-compression-bit-without-type.qcow2", image(incompatible=8), "corrupt", "compression_type")
    bad("q08-compression-type-without-bit.qcow2", image(compression_type=1), "corrupt", "compression_type")
    bad("q08-compression-type-2.qcow2", image(incompatible=8, compression_type=2), "unsupported",
        "compression_type at byte 104", "2")
    bad("q09-extension-too-long.qcow2", image(lambda i: i.extension(0x12345678, b"", 4096)), "corrupt",
        "extension", "4096")
    bad("q10-extension-length-overflows.qcow2", image(lambda i: i.extension(0x12345678, b"", 2**32 - 1)),
        "corrupt", "extension", "4294967295")
    bad("q10-extension-length-nearly-overflows.qcow2", image(lambda i: i.extension(0xE2792ACA, b"", 2**32 - 8)),
        "corrupt", "extension", "4294967288")
    bad("q10-extension-twice.qcow2", image(lambda i: [i.extension(0xE2792ACA, b"raw") for _ in range(2)]),
        "corrupt", "extension", "at most once")
    bad("q17-aes.qcow2", image(crypt_method=1), "encrypted", "aes")
    bad("q17-luks.qcow2", image(lambda i: i.extension(0x0537BE77, struct.pack(">QQ", 4096, 512)),
        crypt_method=2), "encrypted", "luks")
    bad("q17-crypt-method-3.qcow2", image(crypt_method=3), "unsupported", "crypt_method at byte 32", "3")
    for size in (2**63, 2**64 - 1):
        bad(f"q18-size-{size}.qcow2", image(**{"patch": lambda i, s=size: i.patch(24, "Q", s)}), "limit",
            "size at byte 24", str(size))
    bad("q18-size-past-limit.qcow2", image(size=33 << 20, bits=11), "limit", "virtual size", str(33 << 20))
    bad("q37-petabyte-from-one-cluster.qcow2", repeated(), "limit", "virtual size")
    bad("q39-refcount-order-7.qcow2", image(refcount_order=7), "corrupt", "refcount_order at byte 96", "7")


def repeated():
    """All L1 entries name one L2 table, and all its entries one compressed cluster: 512 MiB of A from 20 KiB."""
    made = Qcow2(size=512 << 20, bits=12)
    made.compressed(0, raw_deflate(b"A" * 4096))
    _, table = made.tables[0]
    table[:] = bytes(table[:8]) * 512
    made.l1 = [made.l1[0]] * made.l1_entries
    return made.build()


def names():
    def backing(name, kind=b"raw"):
        return lambda i: i.backing(name, kind)
    for offset in (511, 1024, 2**64 - 1, 8):
        bad(f"q12-backing-offset-{offset}.qcow2",
            image(backing_file_offset=offset, backing_file_size=4), "corrupt", "backing_file_")
    for size in (1024, 2**32 - 1):
        bad(f"q13-backing-size-{size}.qcow2", image(backing(b"base"), backing_file_size=size), "corrupt",
            "backing_file_size at byte 16", str(size))
    for case, name, shown in (
            ("nul", b"a\0b", "a\\0b"), ("newline", b"x\nroot: all is well", "x\\nroot"),
            ("not-utf8", b"\xff\xfe", "\\xff\\xfe"), ("json", b'json:{"driver":"nbd"}', "json:"),
            ("nbd", b"nbd://localhost", "nbd:"), ("device", b"/dev/sda", "/dev/sda"),
            ("absolute", b"/etc/passwd", "/etc/passwd"), ("escape", b"\x1b[2J", "u{1b}")):
        bad(f"q14-backing-{case}.qcow2", image(backing(name)), "denied", "backing file", shown)
        if case in ("json", "nbd", "device", "absolute"):
            bad(f"q14-backing-{case}-not-here.qcow2", image(backing(name)), "denied", "backing file", shown,
                how="files")
    bad("q14-backing-above.qcow2", image(backing(b"../good/base.raw")), "denied", "backing file",
        "../good/base.raw", how="files")
    bad("q14-backing-absent.qcow2", image(backing(b"no such file")), "io", "no such file", how="files")
    bad("q15-data-file.qcow2", image(lambda i: i.extension(0x44415441, b"/etc/hostname"), incompatible=4),
        "denied", "data file", "/etc/hostname")
    bad("q15-data-file-not-here.qcow2", image(lambda i: i.extension(0x44415441, b"/etc/hostname"),
        incompatible=4), "denied", "data file", "/etc/hostname", how="files")
    bad("q15-data-file-without-name.qcow2", image(incompatible=4), "denied", "data file")
    bad("q16-raw-external-without-data-file.qcow2", image(autoclear=2), "corrupt", "autoclear_features at byte 88")
    bad("q42-backing-itself.qcow2", image(backing(b"q42-backing-itself.qcow2", b"qcow2")), "limit",
        "comes back", how="files")
    bad("q42-backing-a.qcow2", image(backing(b"q42-backing-b.qcow2", b"qcow2")), "limit", "comes back", how="files")
    bad("q42-backing-b.qcow2", image(backing(b"./q42-backing-a.qcow2", b"qcow2")), "limit", "comes back", how="files")
    for depth in range(17):
        (BAD / f"q42-deep-{depth:02}.qcow2").write_bytes(
            image(backing(f"q42-deep-{depth + 1:02}.qcow2".encode(), b"qcow2"), size=512))
    (BAD / "q42-deep-17.qcow2").write_bytes(image(size=512))
    ROWS.append(("q42-deep-00.qcow2", "files", "limit", "chain of backing files|at most 16"))
    bad("q43-backing-without-format.qcow2", image(backing(b"q42-deep-17.qcow2", None)), "denied",
        "does not say its format", how="files")
    bad("q43-backing-of-unknown-format.qcow2", image(backing(b"q42-deep-17.qcow2", b"floppy")), "invalid-input",
        "backing format", "floppy", how="files")
    bad("q43-backing-of-wrong-format.qcow2", image(backing(b"c05-garbage-behind.raw.gz", b"qcow2")),
        "unknown-format", "magic", how="files")


def tables():
    bad("q21-l1-size-huge.qcow2", image(l1_size=2**32 - 1), "limit", "l1_size at byte 36", "4294967295")
    bad("q21-l1-size-0.qcow2", image(l1_size=0), "corrupt", "l1_size at byte 36", "too small")
    bad("q21-l1-size-one-too-few.qcow2", image(l1_size=1), "corrupt", "l1_size at byte 36", "too small")
    bad("q22-l1-unaligned.qcow2", image(l1_table_offset=1537), "corrupt", "l1_table_offset at byte 40",
        "multiple of the cluster size")
    bad("q22-l1-overflows.qcow2", image(l1_table_offset=2**63 - 512, l1_size=65), "corrupt", "l1_table_offset")
    bad("q22-l1-overflows-u64.qcow2", image(l1_table_offset=2**64 - 512), "corrupt", "l1_table_offset")
    bad("q22-l1-past-end.qcow2", image(l1_table_offset=1 << 30), "truncated", "L1 table", "1073741824")
    bad("q22-l1-cut.qcow2", image(truncate=3 * 512 + 8), "truncated", "L1 table")
    bad("q22-l1-in-header.qcow2", image(l1_table_offset=0), "corrupt", "l1_table_offset", "header")
    bad("q22-refcount-table-unaligned.qcow2", image(refcount_table_offset=513), "corrupt", "refcount_table_offset")
    bad("q22-snapshots-unaligned.qcow2", image(snapshots_offset=513), "corrupt", "snapshots_offset")

    def l1(value):
        return lambda i: i.patch(i.l1_at, "Q", value)

    def l2(value, **arguments):
        made = Qcow2(**arguments)
        at = made.entry(1, 0)
        made.data(0)
        made.patch(at, "Q", value)
        return made.build()

    bad("q23-l1-entry-unaligned.qcow2", image(l1(COPIED | 2048 + 512), bits=11), "corrupt", "L1 entry",
        "guest offset 0", "multiple of the cluster size")
    bad("q24-l2-table-past-end.qcow2", image(l1(COPIED | 1 << 30)), "truncated", "L2 table", "guest offset 0")
    bad("q24-l2-table-cut.qcow2", image(lambda i: i.patch(i.l1_at + 8, "Q", i.end | COPIED)) + bytes(16),
        "truncated", "L2 table", "guest offset 3")
    bad("q25-l2-table-is-header.qcow2", image(l1(COPIED | 1)), "corrupt", "L1 entry")
    bad("q25-l2-table-is-l1-table.qcow2", image(l1(COPIED | 3 * 512)), "corrupt", "L1 entry", "active L1 table")
    bad("q25-l2-table-is-refcount-table.qcow2", image(l1(COPIED | 512)), "corrupt", "L1 entry", "refcount table")
    bad("q26-data-past-end.qcow2", l2(COPIED | 1 << 40), "truncated", "data cluster", "guest offset 512")
    bad("q26-last-cluster-missing.qcow2", image(truncate=-512), "truncated", "data cluster", "guest offset 0")
    bad("q28-data-is-header.qcow2", l2(1 << 61), "corrupt", "L2 entry")
    bad("q28-data-is-l1-table.qcow2", l2(COPIED | 3 * 512), "corrupt", "data cluster", "active L1 table")
    bad("q28-data-is-refcount-table.qcow2", l2(COPIED | 512), "corrupt", "data cluster", "refcount table")
    bad("q28-compressed-is-header.qcow2", l2(COMPRESSED | 100), "corrupt", "compressed cluster", "header")
    bad("q28-data-unaligned.qcow2", l2(COPIED | 5 * 1024 + 512, bits=10), "corrupt", "L2 entry",
        "guest offset 1024", "multiple of the cluster size")
    bad("q29-reserved-l1-bit.qcow2", image(l1(COPIED | 2048 | 1 << 60)), "corrupt", "L1 entry")
    bad("q29-reserved-l2-bit.qcow2", l2(COPIED | 2560 | 1 << 57), "corrupt", "L2 entry", "guest offset 512")
    bad("q30-zero-flag-in-v2.qcow2", l2(1, version=2), "corrupt", "L2 entry", "guest offset 512")
    bad("q36-subclusters-allocated-and-zero.qcow2", extended(1 << 32 | 1), "corrupt",
        "subcluster bitmap", "both allocated and zero")
    bad("q36-subclusters-allocated-nowhere.qcow2", extended(1, at=0), "corrupt", "subcluster bitmap",
        "no host offset")
    bad("q36-zero-flag-with-extended-l2.qcow2", extended(1, at=1), "corrupt", "L2 entry")


def extended(bitmap, at=1 << 16):
    """One extended L2 entry. The L1 table replaces the refcount table and the file ends in the L2 table, to keep
    the file small."""
    made = Qcow2(size=16384, bits=14, extended=True, l1_table_offset=16384, refcount_table_offset=1 << 40)
    made.patch(16384, "Q", COPIED | 32768)
    made.patch(32768, "Q", at)
    made.patch(32768 + 8, "Q", bitmap)
    return made.build(truncate=32768 + 16)


def clusters():
    def one(stream, truncate=None, length=None, bits=9, **arguments):
        made = Qcow2(size=1 << bits, bits=bits, **arguments)
        made.compressed(0, stream, length=length)
        end = made.end
        return made.build(None if truncate is None else end + truncate)

    noise = bytes((i * i * 7 + i // 3) % 256 for i in range(1024))
    good = raw_deflate(noise)
    end = 1024 * (-len(good) // 1024)
    bad("q31-compressed-past-end.qcow2", one(good, bits=10, truncate=end), "truncated",
        "compressed cluster")
    bad("q32-deflate-cut.qcow2", one(good, bits=10, truncate=end + len(good) // 2), "truncated",
        "compressed cluster", "guest offset 0")
    bad("q32-deflate-garbage.qcow2", one(b"\xff" * 300), "corrupt", "compressed cluster", "deflate")
    bad("q32-deflate-short.qcow2", one(raw_deflate(b"B" * 500)), "corrupt", "compressed cluster", "500 of 512")
    bad("q32-deflate-empty.qcow2", one(raw_deflate(b"")), "corrupt", "compressed cluster", "0 of 512")
    # A fixed block that begins with a match: there is no output before it to copy.
    bad("q32-deflate-reaches-back-too-far.qcow2", one(b"\x03\x02" + bytes(100)), "corrupt", "compressed cluster")
    zstd = {"incompatible": 8, "compression_type": 1}
    bad("q32-zstd-garbage.qcow2", one(b"\x11" * 300, **zstd), "corrupt", "compressed cluster")
    bad("q32-zstd-short.qcow2", one(zst([(1, 500, b"B")]), **zstd), "corrupt", "compressed cluster")
    bad("q32-zstd-frame-unfinished.qcow2", one(zst([(1, 512, b"B")])[:-4] + b"\x02\x10\0B", **zstd), "corrupt",
        "compressed cluster")
    bad("q34-zstd-window-2g.qcow2", one(zst([(1, 512, b"B")], header=bytes([21 << 3])), **zstd), "limit",
        "compressed cluster", "window")
    made = Qcow2(size=512, incompatible=4)
    made.compressed(0, raw_deflate(b"C" * 512))
    made.extension(0x44415441, b"q42-deep-17.qcow2")
    bad("q35-compressed-in-data-file.qcow2", made.build(), "corrupt", "L2 entry", how="files")
    bad("q35-compressed-with-subclusters.qcow2", extended(5, COMPRESSED | 32768), "corrupt",
        "subcluster bitmap", "compressed")


def heads():
    """Files that are not qcow2: ambiguous, unknown, or of a format that is only reported by name."""
    bad("r01-iso-with-qcow2-header.iso", fields.iso(system=image())[:34816], "ambiguous", "qcow2", "iso9660")
    bad("r01-iso-with-vmdk-header.iso", fields.iso(system=b"KDMV\1\0\0\0".ljust(512, b"\0"))[:34816],
        "ambiguous", "vmdk")
    text = b"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
    text += b'RW 1 FLAT "/etc/passwd" 0\n'
    disk = fields.mbr(4096)
    bad("r02-mbr-with-vmdk-text.raw", text.ljust(446, b"\0") + disk[446:], "ambiguous", "vmdk", "mbr")
    bad("r03-vmdk-text-then-nothing.raw", text.ljust(512, b"\n") + bytes(4096), "denied", "extent", "/etc/passwd")
    bad("r08-empty.raw", b"", "unknown-format", "empty")
    bad("r09-one-byte.raw", b"x", "unknown-format", "no image format")
    for name, head, form in (
            ("vhd", b"conectix", "vhd"), ("vhdx", b"vhdxfile", "vhdx"), ("qed", b"QED\0", "qed"),
            ("luks", b"LUKS\xba\xbe\0\1", "luks"), ("zip", b"PK\3\4\x14\0", "zip"), ("bz2", b"BZh91AY&SY", "bzip2"),
            ("tar", b"disk.vmdk".ljust(257, b"\0") + b"ustar\00000", "tar"), ("7z", b"7z\xbc\xaf\x27\x1c", "7z")):
        bad(f"r10-head-of.{name}", head.ljust(1024, b"\0"), "unsupported", form)
    bad("m06-grain-of-nothing.vmdk", b"KDMV\1\0\0\0".ljust(1024, b"\0"), "corrupt", "grainSize at byte 20")
    bad("v12-type-0.vdi", b"<<< disk >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe\1\0\1\0"
        + bytes(952), "unsupported", "u32Type at byte 76")


def gzip():
    data = fields.mbr(4096)
    good = gz(data)
    bad("c01-gz-header-cut.raw.gz", good[:9], "truncated", "header")
    bad("c01-gz-body-cut.raw.gz", good[:len(good) // 2], "truncated", "deflate data")
    bad("c01-gz-trailer-cut.raw.gz", good[:-3], "truncated", "trailer")
    bad("c01-gz-name-cut.raw.gz", gz(b"", flags=8, extra=b"name")[:14], "truncated", "header")
    bad("c02-gz-crc.raw.gz", gz(data, crc=1), "corrupt", "gz")
    bad("c02-gz-length.raw.gz", gz(data, length=4097), "corrupt", "gz")
    bad("c02-gz-header-crc.raw.gz", gz(data, flags=2, extra=b"\0\0"), "corrupt", "gz")
    # Bytes after the last member are ignored, except after a block of BGZF, or if the disk is shorter than it says.
    bgzf = gz(data, flags=4, extra=b"\6\0BC\2\0\xff\x0f")
    bad("c05-garbage-behind.raw.gz", bgzf + b"garbage", "corrupt", "trailing data")
    bad("c05-gz-disk-cut.raw.gz", gz(data[:2048]) + b"garbage", "truncated", "4096 bytes", "were ignored")
    bad("c07-gz-reserved-flag.raw.gz", gz(data, flags=0x20), "corrupt", "flags at byte 3", "0x20")
    bad("c07-gz-method-7.raw.gz", gz(data, method=7), "unknown-format", "no image format")
    bad("c08-gz-in-gz.raw.gz", gz(gz(data)), "limit", "only one level")
    bad("c08-xz-in-gz.raw.gz", gz(xz(data)), "limit", "only one level")
    bad("c09-gz-bomb.raw.gz", gz(bytes(33 << 20)), "limit", "bytes")
    bad("c12-gz-garbage.raw.gz", good[:10] + b"\xff" * 50, "corrupt", "gz")
    bad("c15-gz-empty-members.raw.gz", gz(b"") * 1000, "unknown-format", "empty")


def xzip():
    data = fields.mbr(4096)
    good = xz(data)
    bad("c01-xz-cut.raw.xz", good[:3000], "truncated", "xz")
    bad("c01-xz-stream-header-cut.raw.xz", good[:10], "truncated", "xz")
    bad("c01-xz-footer-cut.raw.xz", good[:-5], "truncated", "xz")
    bad("c05-garbage-behind.raw.xz", good + b"garbage!", "corrupt", "trailing data")
    bad("c08-gz-in-xz.raw.xz", xz(gz(data)), "limit", "only one level")
    for name, code in (("1.5g", 37), ("4g", 40)):
        bad(f"c10-xz-dictionary-{name}.raw.xz", xz(data, dictionary=code), "limit", "memory")
    endless = bytes([0x21]) + b"\x80" * 10
    bad("c11-xz-endless-number.raw.xz", xz(data, filters=endless), "corrupt", "xz")
    bad("c11-xz-endless-size.raw.xz", xz(data, block_flags=0x40, sizes=b"\xff" * 10), "corrupt", "xz")
    bad("c12-xz-block-padding.raw.xz", xz(data[:4093], padding=b"\1"), "corrupt", "xz")
    bad("c12-xz-index.raw.xz", xz(data, index=vli(24) + vli(len(data) + 1)), "corrupt", "xz")
    bad("c12-xz-header-crc.raw.xz", good[:8] + b"\0\0\0\0" + good[12:], "corrupt", "xz")
    bad("c12-xz-check.raw.xz", good[:100] + b"\xff" + good[101:], "corrupt", "xz")
    bad("c12-xz-padding-of-3.raw.xz", good + b"\0\0\0", "corrupt", "xz")
    bad("c13-xz-check-id.raw.xz", xz(data, check=2), "unsupported", "check")
    bad("c13-xz-filter.raw.xz", xz(data, filters=bytes([0x3F, 0])), "unsupported", "xz")


def zstd():
    data = fields.mbr(4096)
    good = zst_stored(data)
    bad("c01-zst-cut.raw.zst", good[:3000], "truncated", "frame")
    bad("c01-zst-header-cut.raw.zst", good[:5], "truncated", "frame")
    bad("c05-garbage-behind.raw.zst", good + b"garbage!", "corrupt", "trailing data")
    bad("c08-gz-in-zst.raw.zst", zst_stored(gz(data)), "limit", "only one level")
    bomb = [(1, 131072, b"\0")] * 320
    bad("c09-zst-bomb.raw.zst", zst(bomb), "limit", "bytes")
    bad("c10-zst-window-2g.raw.zst", zst([(0, 4096, data)], header=bytes([21 << 3])), "limit", "window")
    bad("c12-zst-block-type.raw.zst", zst([(3, 4096, data)]), "corrupt", "zst")
    bad("c12-zst-content-size.raw.zst", zst([(0, 4096, data)], 0xA0, struct.pack("<I", 4097)), "corrupt", "zst")
    empty = zst([(0, 0, b"")], 0x20, b"\x38")
    bad("c12-zst-content-size-of-nothing.raw.zst", good + empty + good, "corrupt", "zst")
    bad("c12-zst-checksum.raw.zst", zst([(0, 4096, data)], 0x04) + b"\1\2\3\4", "corrupt", "checksum")
    bad("c13-zst-dictionary.raw.zst", zst([(0, 4096, data)], 0x01, b"\x38\7"), "unsupported", "dictionary")
    bad("c13-zst-reserved-bit.raw.zst", zst([(0, 4096, data)], 0x08), "unsupported", "zst")
    bad("c15-zst-empty-frames.raw.zst", zst([(0, 0, b"")]) * 1000, "unknown-format", "empty")


def inside():
    """Bad images inside valid compressed files."""
    bad("x-qcow2-cut.qcow2.gz", gz(image(truncate=80)), "truncated", "header", "80 bytes")
    bad("x-qcow2-names-a-file.qcow2.gz", gz(image(lambda i: i.backing(b"/etc/passwd", b"raw"))), "denied",
        "/etc/passwd")
    bad("x-text.raw.gz", gz(b"no disk at all\n" * 20), "unknown-format", "no image format")
    bad("x-nothing.raw.gz", gz(b""), "unknown-format", "empty")


def main():
    BAD.mkdir(exist_ok=True)
    for part in (header, names, tables, clusters, heads, gzip, xzip, zstd, inside):
        part()
    rows = "".join("\t".join(row) + "\n" for row in ROWS)
    (BAD / "EXPECTED.tsv").write_text("file\thow\tkind\twords\n" + rows)


main()
