#!/usr/bin/env python3
"""Makes good/ and good/IMAGES.tsv. Needs qemu-img and qemu-io 10, gzip, xz, zstd; run it from anywhere.

The guest's bytes always come from another program: `qemu-img convert` for qcow2, the bytes themselves for raw.
Only missing images are made: delete a file to make it again.
"""

import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from io import BytesIO

import fields
from fields import Qcow2, paint, raw_deflate

GOOD = pathlib.Path(__file__).resolve().parent / "good"
ROWS = []


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def io(name, *commands, fmt="qcow2"):
    """Runs commands of qemu-io on an image."""
    arguments = [part for command in commands for part in ("-c", command)]
    run("qemu-io", "-f", fmt, *arguments, name)


def create(name, size, *options, backing=None, backing_format="raw"):
    below = ["-b", backing, "-F", backing_format] if backing else []
    options = ["-o", ",".join(options)] if options else []
    size = [str(size)] if size is not None else []
    run("qemu-img", "create", "-q", "-f", "qcow2", *options, *below, name, *size)


def convert(source, name, *options, compress=False):
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *(["-c"] if compress else []),
        "-o", ",".join(options), source, name)


def guest_bytes(name, snapshot=None, fmt="qcow2"):
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "out")
        pick = ["-l", "snapshot.name=" + snapshot] if snapshot else []
        run("qemu-img", "convert", "-f", fmt, *pick, "-O", "raw", name, out)
        return pathlib.Path(out).read_bytes()


def row(name, form, how, data, wrapper="-", content="-"):
    ROWS.append((name, form, wrapper, content, how, str(len(data)), hashlib.sha256(data).hexdigest()))


def qcow2(name, make, how="-", snapshots=()):
    """Adds a qcow2 image; `make` makes it if it is missing."""
    if not os.path.exists(name):
        make(name)
    row(name, "qcow2", how, guest_bytes(name))
    for snapshot in snapshots:
        row(name, "qcow2", "snapshot=" + snapshot, guest_bytes(name, snapshot))


def built(name, image, guest, how="-", qemu_reads=True):
    """Adds a qcow2 image built here, so that its guest bytes are known."""
    pathlib.Path(name).write_bytes(image)
    if qemu_reads and guest_bytes(name) != guest:
        sys.exit(f"{name}: qemu-img reads something else")
    row(name, "qcow2", how, guest)


def raw(name, data, content="-", how="-"):
    pathlib.Path(name).write_bytes(data)
    row(name, "raw", how, data, content=content)


def wrapped(name, inner, wrapper, form, data, content="-"):
    if not os.path.exists(name):
        pathlib.Path(name).write_bytes(inner())
    row(name, form, "-", data, wrapper=wrapper, content=content)


def filter_through(data, *command):
    return subprocess.run(command, input=data, check=True, stdout=subprocess.PIPE).stdout


# Painted, zeros, one repeated byte, noise that does not compress, and an end that fills no cluster.
NOISE = b"".join(hashlib.sha256(struct.pack(">I", i)).digest() for i in range(160))
DISK = paint(0, 9000) + bytes(7000) + b"A" * 12000 + NOISE + bytes(20000) + paint(7, 3000)
DISK = DISK.ljust(64 * 1024 - 512, b"\0")

WRITES = ("write -P 0x11 0 6000", "write -P 0x22 20480 4096", "write -P 0x33 1048000 576", "write -z 8192 4096")


def painted_qcow2(size, *options, writes=WRITES, **below):
    def make(name):
        create(name, size, *options, **below)
        io(name, *writes)
    return make


def ordinary():
    qcow2("v2.qcow2", painted_qcow2("1M", "compat=0.10", "cluster_size=1k", writes=WRITES[:3]))
    qcow2("v3.qcow2", painted_qcow2("1M", "cluster_size=4k"))
    qcow2("cluster-512.qcow2", painted_qcow2("1M", "cluster_size=512"))
    qcow2("refcount-1.qcow2", painted_qcow2("1M", "cluster_size=512", "refcount_bits=1"))
    qcow2("refcount-64.qcow2", painted_qcow2("1M", "cluster_size=512", "refcount_bits=64"))
    qcow2("preallocated.qcow2", painted_qcow2("16k", "cluster_size=512", "preallocation=falloc",
                                              writes=["write -P 0x55 100 5000"]))
    qcow2("odd-size.qcow2", painted_qcow2(1048576 + 512, "cluster_size=512", writes=["write -P 0x66 1047552 1536"]))
    qcow2("one-sector.qcow2", painted_qcow2(512, "cluster_size=512", writes=["write -P 0x77 0 512"]))
    qcow2("size-0.qcow2", lambda name: create(name, 0, "cluster_size=512"))
    qcow2("large-sparse.qcow2", painted_qcow2("48M", "cluster_size=512",
                                              writes=["write -P 0x88 41943040 4096", "write -P 0x99 4096 4096"]))
    qcow2("zeros.qcow2", painted_qcow2("1M", "cluster_size=512", writes=[
        "write -P 0x11 0 32k", "write -z 4k 8k", "write -z -u 16k 4k", "write -z 512k 64k"]))

    def dirty(name):
        create(name, "1M", "cluster_size=1k", "lazy_refcounts=on")
        command = ["qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 4k 8k", "-c", "abort", name]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    qcow2("dirty.qcow2", dirty)

    def bitmaps(name):
        create(name, "1M", "cluster_size=512")
        run("qemu-img", "bitmap", "--add", "-g", "65536", name, "first")
        io(name, "write -P 0xaa 64k 4k")
        run("qemu-img", "bitmap", "--add", "--disable", name, "second")
    qcow2("bitmaps.qcow2", bitmaps)

    def snapshots(name):
        create(name, "256k", "cluster_size=512")
        for byte, snapshot in (("0x01", "first"), ("0x02", "second"), ("0x03", None)):
            io(name, f"write -P {byte} 0 4k", f"write -P {byte} {int(byte, 16) * 8}k 4k")
            if snapshot:
                run("qemu-img", "snapshot", "-c", snapshot, name)
    qcow2("snapshots.qcow2", snapshots, snapshots=("first", "second"))


def compressed():
    with tempfile.NamedTemporaryFile() as disk:
        disk.write(DISK)
        disk.flush()
        for name, options in {
            "deflate-512.qcow2": ["cluster_size=512"],
            "deflate.qcow2": ["cluster_size=4k"],
            "deflate-v2.qcow2": ["cluster_size=512", "compat=0.10"],
            "zstd.qcow2": ["cluster_size=4k", "compression_type=zstd"],
            "deflate-16k-extended-l2.qcow2": ["cluster_size=16k", "extended_l2=on"],
        }.items():
            qcow2(name, lambda name: convert(disk.name, name, *options, compress=True))

        def mixed(name):
            convert(disk.name, name, "cluster_size=4k", "compression_type=zstd", compress=True)
            io(name, "write -P 0xcc 1000 5000", "write -z 12k 4k", "write -P 0xdd 40k 100")
        qcow2("mixed.qcow2", mixed)


def subclusters():
    writes = ["write -P 0x21 512 512", "write -P 0x22 3000 3000", "write -z 8192 1024", "write -z 16384 16384"]
    qcow2("extended-l2-on-base.qcow2", painted_qcow2(
        None, "cluster_size=16k", "extended_l2=on", backing="base.raw", writes=writes), how="files")


def several_files():
    qcow2("top-on-raw.qcow2", painted_qcow2(None, "cluster_size=1k", backing="base.raw", writes=[
        "write -P 0x31 5000 300", "write -z 20k 4k"]), how="files")
    qcow2("longer-than-base.qcow2", painted_qcow2(
        "200k", "cluster_size=1k", backing="base.raw", writes=["write -P 0x32 150k 1k"]), how="files")
    qcow2("shorter-than-base.qcow2", painted_qcow2(
        "10k", "cluster_size=1k", backing="base.raw", writes=["write -P 0x33 9k 1k"]), how="files")
    qcow2("chain-base.qcow2", painted_qcow2("128k", "cluster_size=512", writes=["write -P 0x41 0 9k"]))
    qcow2("chain-middle.qcow2", painted_qcow2(None, "cluster_size=512", backing="chain-base.qcow2",
          backing_format="qcow2", writes=["write -P 0x42 8k 8k", "write -z 20k 512"]), how="files")
    qcow2("chain-top.qcow2", painted_qcow2(None, "cluster_size=4k", backing="chain-middle.qcow2",
          backing_format="qcow2", writes=["write -P 0x43 1k 1k"]), how="files")
    for name, is_raw in (("data-file", "off"), ("raw-external", "on")):
        def make(path):
            create(path, "26k", "cluster_size=2k", f"data_file={name}.data", f"data_file_raw={is_raw}")
            io(path, "write -P 0x51 4k 5000", "write -P 0x52 20k 1k", "write -z 24k 2k")
        qcow2(name + ".qcow2", make, how="files")


def strange_but_valid():
    """Images as other writers make them, and images with harmless damage: all of them open."""
    def one(patch=None, guest=paint(0, 512), **arguments):
        image = Qcow2(**arguments)
        image.data(0)
        if patch:
            patch(image)
        return image.build(), guest.ljust(image.size // 512 * 512, b"\0")

    built("header-104.qcow2", *one(header_length=104))
    built("header-120.qcow2", *one(header_length=120))
    built("size-1000.qcow2", *one(size=1000, guest=paint(0, 512)))
    built("snapshot-offset-ignored.qcow2", *one(snapshots_offset=1 << 40))
    built("corrupt-bit.qcow2", *one(incompatible=2))
    built("bitmaps-wrong-length.qcow2", *one(lambda i: i.extension(0x23852875, b"\0" * 8), autoclear=1),
          qemu_reads=False)
    built("data-file-name-unused.qcow2", *one(lambda i: i.extension(0x44415441, b"other")))
    built("unknown-extension.qcow2", *one(lambda i: i.extension(0x12345678, b"whatever")))
    built("unknown-compatible-bits.qcow2", *one(compatible=1 << 40, autoclear=1 << 50))
    built("l1-longer-than-needed.qcow2", *one(l1_size=40))

    # 32 KiB clusters and nothing but the header cluster and an empty L1 table, so that the file stays small.
    image = Qcow2(bits=15, l1_table_offset=32768, refcount_table_offset=1 << 16)
    for _ in range(4070):
        image.extension(0x12345678, b"")
    image.patch(32768, "Q", 0)
    built("many-extensions.qcow2", image.build(truncate=32768 + 8), bytes(65536))

    image = Qcow2(bits=12, size=12288)
    image.data(2)
    truncated = image.build()[:-1000]
    built("last-cluster-cut.qcow2", truncated, bytes(8192) + paint(8192, 4096 - 1000).ljust(4096, b"\0"))

    image = Qcow2(size=1024)
    stream = raw_deflate(b"D" * 512)
    image.compressed(1, stream, shift=300)
    at = image.end - 512 + 300 + len(stream)
    built("compressed-at-unpadded-end.qcow2", image.build(truncate=at), bytes(512) + b"D" * 512)

    image = Qcow2(size=1024)
    image.compressed(0, raw_deflate(b"E" * 700))
    built("deflate-longer-than-cluster.qcow2", image.build(), b"E" * 512 + bytes(512))

    image = Qcow2(size=1024, incompatible=8, compression_type=1)
    image.compressed(0, fields.zst([(1, 200, b"F")]) + fields.zst([(1, 312, b"G")]))
    built("zstd-two-frames.qcow2", image.build(), b"F" * 200 + b"G" * 312 + bytes(512))

    image = Qcow2(size=512 * 6)
    shared = image.data(0)
    image.entry(3, shared)
    built("shared-cluster.qcow2", image.build(), paint(0, 512) + bytes(1024) + paint(0, 512) + bytes(1024))

    image = Qcow2(size=1024, version=2)
    image.data(0)
    image.backing(b"base.raw", b"raw")
    disk = pathlib.Path("base.raw").read_bytes()
    built("v2-name-right-behind-extensions.qcow2", image.build(), paint(0, 512) + disk[512:1024], how="files")

    nested = Qcow2(size=512 * 16)
    inner = Qcow2(size=1 << 40, bits=16).build()[:4096]
    for cluster in range(8):
        nested.data(cluster, inner[cluster * 512:][:512])
    built("qcow2-inside.qcow2", nested.build(), inner.ljust(8192, b"\0"))


def plain():
    raw("mbr.raw", fields.mbr(16384), "mbr")
    raw("gpt.raw", fields.gpt(96), "gpt")
    raw("zeros.raw", bytes(5000), "zeros")
    raw("iso9660.iso", fields.iso(), "iso9660")
    raw("hybrid.iso", fields.iso(system=fields.mbr(512, 0x17)), "iso9660")
    raw("udf.iso", fields.udf_head(19), "udf")
    raw("udf-bridge.iso", fields.iso(descriptors=fields.UDF), "iso9660+udf")
    raw("cut.iso", fields.iso(blocks=5000)[:36864], "iso9660")
    raw("block-size-0.iso", fields.iso(block_size=0)[:36864], "iso9660")
    raw("vdi-signature-in-mbr.raw", fields.mbr(16384, boot=b"\xfa".ljust(64, b"\x90") + b"\x7f\x10\xda\xbe"), "mbr")
    raw("one-byte.raw", b"x", how="raw")
    raw("thousand-bytes.raw", paint(0, 1000), how="raw")
    raw("text.raw", b"nothing that speaks for a disk\n" * 40, how="raw")


def wrappers():
    disk = fields.mbr(16384)
    halves = disk[:5000], disk[5000:]
    v3 = pathlib.Path("v3.qcow2")
    again = lambda: filter_through(v3.read_bytes(), "gzip", "-9n")
    wrapped("v3.qcow2.gz", again, "gzip", "qcow2", guest_bytes(str(v3)))
    for name, wrapper, command in (("cluster-64k.qcow2.gz", "gzip", ["gzip", "-9n"]),
                                   ("cluster-2m.qcow2.xz", "xz", ["xz", "-9"]),
                                   ("cluster-2m-extended-l2.qcow2.zst", "zstd", ["zstd", "-q", "-19"])):
        with tempfile.TemporaryDirectory() as scratch:
            path = os.path.join(scratch, "image")
            options = {"cluster-64k": ["cluster_size=64k"], "cluster-2m": ["cluster_size=2M"]}.get(
                name.split(".")[0], ["cluster_size=2M", "extended_l2=on"])
            create(path, "16M", *options)
            io(path, "write -P 0x61 70000 9000", "write -P 0x62 8M 65536", "write -z 12M 2M")
            image, guest = pathlib.Path(path).read_bytes(), guest_bytes(path)
        wrapped(name, lambda: filter_through(image, *command), wrapper, "qcow2", guest)
    members = lambda *command: b"".join(filter_through(half, *command) for half in halves)
    wrapped("members.raw.gz", lambda: members("gzip", "-9n"), "gzip", "raw", disk, "mbr")
    padded = lambda: filter_through(disk, "gzip", "-9n") + bytes(1536)
    wrapped("zero-padded.raw.gz", padded, "gzip", "raw", disk, "mbr")
    wrapped("metadata-after.raw.gz", lambda: fields.gz(disk) + b'{"compat": 1}FWx0', "gzip", "raw", disk, "mbr")
    wrapped("empty-first.raw.gz", lambda: fields.gz(b"") + fields.gz(disk), "gzip", "raw", disk, "mbr")
    named = lambda: fields.gz(disk, flags=0x1E, extra=gz_extra())
    wrapped("all-fields.raw.gz", named, "gzip", "raw", disk, "mbr")
    streams = lambda: members("xz", "-9", "--block-size=2048")
    wrapped("blocks-and-streams.raw.xz", streams, "xz", "raw", disk, "mbr")
    spaced = lambda: filter_through(halves[0], "xz") + bytes(8) + filter_through(halves[1], "xz", "-Csha256")
    wrapped("padding-between-streams.raw.xz", spaced, "xz", "raw", disk, "mbr")
    frames = lambda: members("zstd", "-q", "-19") + b"\x50\x2a\x4d\x18\4\0\0\0skip"
    wrapped("frames.raw.zst", frames, "zstd", "raw", disk, "mbr")
    skipped = lambda: b"\x5f\x2a\x4d\x18\4\0\0\0skip" + filter_through(disk, "zstd", "-q", "-19")
    wrapped("skippable-first.raw.zst", skipped, "zstd", "raw", disk, "mbr")
    wrapped("disc.iso.xz", lambda: filter_through(fields.iso(), "xz", "-9"), "xz", "raw", fields.iso(), "iso9660")


def vmdk_and_vdi():
    """VMDK and VDI as qemu-img writes them. The tests of their crates build the variants that it cannot write."""
    disk = DISK.ljust(512 * 1024, b"\0") + paint(3, 70000)
    disk = disk.ljust(1024 * 1024 + 512, b"\0")
    with tempfile.TemporaryDirectory() as scratch:
        source = os.path.join(scratch, "disk")
        small = os.path.join(scratch, "small")
        pathlib.Path(source).write_bytes(disk)
        pathlib.Path(small).write_bytes(DISK[:16384])

        def made(form, *options):
            path = os.path.join(scratch, "image")
            options = ["-o", ",".join(options)] if options else []
            run("qemu-img", "convert", "-f", "raw", "-O", form, *options, source, path)
            return pathlib.Path(path).read_bytes()

        def plain(name, form, *options, disk=source, how="-"):
            if not os.path.exists(name):
                run("qemu-img", "convert", "-f", "raw", "-O", form, "-o", ",".join(options), disk, name)
            row(name, form, how, guest_bytes(name, fmt=form))

        def packed(name, form, wrapper, command, *options):
            wrapped(name, lambda: filter_through(made(form, *options), *command), wrapper, form, disk)

        plain("stream.vmdk", "vmdk", "subformat=streamOptimized")
        plain("flat.vmdk", "vmdk", "subformat=monolithicFlat", disk=small, how="files")
        plain("split-flat.vmdk", "vmdk", "subformat=twoGbMaxExtentFlat", disk=small, how="files")
        packed("stream.vmdk.gz", "vmdk", "gzip", ["gzip", "-9n"], "subformat=streamOptimized")
        packed("sparse.vmdk.xz", "vmdk", "xz", ["xz", "-9"])
        packed("zeroed-grain.vmdk.zst", "vmdk", "zstd", ["zstd", "-q", "-19"], "zeroed_grain=on")
        packed("dynamic.vdi.gz", "vdi", "gzip", ["gzip", "-9n"])
        packed("fixed.vdi.xz", "vdi", "xz", ["xz", "-9"], "static=on")


def archive():
    """A disk as it is shipped with a VM, small because it is a qcow2."""
    inside = pathlib.Path("deflate-512.qcow2")
    if not os.path.exists("disk.ova"):
        ova("disk.ova", inside.name, inside.read_bytes())
    row("disk.ova", "qcow2", "-", DISK)


def ova(name, disk, data):
    """A tar of a descriptor, the disk, and a manifest of their sums, as DSP0243 has it."""
    file = f'<References><File ovf:id="{disk}" ovf:href="{disk}"/></References>'
    descriptor = f'<Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">{file}</Envelope>'
    members = {"disk.ovf": descriptor.encode(), disk: data}
    manifest = "".join(f"SHA256({file})= {hashlib.sha256(data).hexdigest()}\n" for file, data in members.items())
    with tarfile.open(name, "w", format=tarfile.USTAR_FORMAT) as tar:
        for file, data in {**members, "disk.mf": manifest.encode()}.items():
            member = tarfile.TarInfo(file)
            member.size = len(data)
            tar.addfile(member, BytesIO(data))


def gz_extra():
    """Extra field, name, comment and header checksum, as the flags 0x1e promise."""
    between = struct.pack("<H", 6) + b"ab\2\0cd" + b"disk.raw\0" + b"a comment\0"
    head = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff" + between
    return between + struct.pack("<H", zlib.crc32(head) & 0xFFFF)


def main():
    os.makedirs(GOOD, exist_ok=True)
    os.chdir(GOOD)
    raw("base.raw", fields.mbr(40960, boot=b"base"), "mbr")
    for part in (ordinary, compressed, subclusters, several_files, strange_but_valid, plain, wrappers,
                 vmdk_and_vdi, archive):
        part()
    head = "file\tformat\twrapper\tcontent\thow\tvirtual_size\tsha256\n"
    pathlib.Path("IMAGES.tsv").write_text(head + "".join("\t".join(row) + "\n" for row in ROWS))


main()
