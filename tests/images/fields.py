"""Builds images field by field. Sources: QEMU docs/interop/qcow2.txt, RFC 1951 and 1952, RFC 8878,
the .xz file format 1.2.1, ECMA-119, ECMA-167, UEFI 2.10 (GPT). Python 3, standard library only."""

import struct
import zlib

COPIED = 1 << 63
COMPRESSED = 1 << 62
ZERO = 1


def paint(offset, length):
    """Bytes whose value is their offset modulo 251, so that no power of two repeats them."""
    return bytes((offset + i) % 251 for i in range(length))


def raw_deflate(data):
    """Raw deflate with a window of 4 KiB, as QEMU writes it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return packer.compress(data) + packer.flush()


class Qcow2:
    """A valid image. Errors are passed as header fields, or set or patched afterwards.

    Header, refcount table, one refcount block and the L1 table come first, a cluster or more each; L2 tables
    and data follow in the order in which they are requested.
    """

    FIELDS = [
        ("magic", "4s"), ("version", "I"), ("backing_file_offset", "Q"), ("backing_file_size", "I"),
        ("cluster_bits", "I"), ("size", "Q"), ("crypt_method", "I"), ("l1_size", "I"),
        ("l1_table_offset", "Q"), ("refcount_table_offset", "Q"), ("refcount_table_clusters", "I"),
        ("nb_snapshots", "I"), ("snapshots_offset", "Q"), ("incompatible", "Q"), ("compatible", "Q"),
        ("autoclear", "Q"), ("refcount_order", "I"), ("header_length", "I"), ("compression_type", "B"),
    ]

    def __init__(self, size=65536, bits=9, version=3, extended=False, **fields):
        self.bits, self.cluster, self.version = bits, 1 << bits, version
        self.size, self.entry_bytes = size, 16 if extended else 8
        self.entries = self.cluster // self.entry_bytes
        self.l1_entries = -(-size // (self.cluster * self.entries))
        self.l1 = [0] * self.l1_entries
        self.l1_at = 3 * self.cluster
        self.end = self.l1_at + max(self.cluster, -(-8 * self.l1_entries // self.cluster) * self.cluster)
        self.pieces, self.tables, self.patches = [], {}, []
        self.extensions, self.backing_name = [], None
        self.fields = {
            "magic": b"QFI\xfb", "version": version, "backing_file_offset": 0, "backing_file_size": 0,
            "cluster_bits": bits, "size": size, "crypt_method": 0, "l1_size": self.l1_entries,
            "l1_table_offset": self.l1_at, "refcount_table_offset": self.cluster,
            "refcount_table_clusters": 1, "nb_snapshots": 0, "snapshots_offset": 0,
            "incompatible": 16 if extended else 0, "compatible": 0, "autoclear": 0, "refcount_order": 4,
            "header_length": 112, "compression_type": 0,
        }
        self.override = fields

    def allocate(self, data):
        """Puts bytes at the next free cluster; returns their host offset."""
        at = self.end
        self.pieces.append((at, data))
        self.end += -(-len(data) // self.cluster) * self.cluster
        return at

    def table(self, l1_index):
        """Returns the L2 table of an L1 entry and creates it at first use."""
        if l1_index not in self.tables:
            at = self.allocate(b"\0" * self.cluster)
            self.tables[l1_index] = (at, bytearray(self.cluster))
            self.l1[l1_index] = at | COPIED
        return self.tables[l1_index]

    def entry(self, guest_cluster, value, bitmap=None):
        """Sets an L2 entry; returns the host offset of the entry."""
        at, table = self.table(guest_cluster // self.entries)
        index = guest_cluster % self.entries * self.entry_bytes
        struct.pack_into(">Q", table, index, value)
        if self.entry_bytes == 16:
            struct.pack_into(">Q", table, index + 8, 0xFFFFFFFF if bitmap is None else bitmap)
        return at + index

    def data(self, guest_cluster, data=None):
        """Stores a cluster uncompressed, painted if no bytes are given. Returns its host offset."""
        self.table(guest_cluster // self.entries)
        at = self.allocate(paint(guest_cluster * self.cluster, self.cluster) if data is None else data)
        self.entry(guest_cluster, at | COPIED)
        return at

    def compressed(self, guest_cluster, stream, shift=0, length=None):
        """Stores a compressed cluster `shift` bytes into a free one. `length` is claimed, if given."""
        self.table(guest_cluster // self.entries)
        at = self.allocate(b"\0" * shift + stream) + shift
        self.entry(guest_cluster, self.descriptor(at, len(stream) if length is None else length), 0)
        return at

    def descriptor(self, at, length):
        sectors = (at % 512 + length + 511) // 512 - 1
        return COMPRESSED | sectors << 62 - (self.bits - 8) | at

    def extension(self, kind, data, length=None):
        length = len(data) if length is None else length
        self.extensions.append(struct.pack(">II", kind, length) + data + b"\0" * (-len(data) % 8))

    def backing(self, name, file_format=None):
        if file_format is not None:
            self.extension(0xE2792ACA, file_format)
        self.backing_name = name

    def patch(self, at, layout, value):
        """Overwrites a big-endian value of the finished file."""
        self.patches.append((at, struct.pack(">" + layout, value)))

    def build(self, truncate=None):
        fields = dict(self.fields)
        head_length = 72 if self.version == 2 else self.override.get("header_length", 112)
        if not 72 <= head_length <= self.cluster:
            head_length = 112
        if self.extensions and (self.backing_name is None or self.version == 3):
            self.extensions.append(b"\0" * 8)
        extensions = b"".join(self.extensions)
        if self.backing_name is not None:
            fields["backing_file_offset"] = head_length + len(extensions)
            fields["backing_file_size"] = len(self.backing_name)
            extensions += self.backing_name
        fields.update(self.override)
        layout = self.FIELDS[:13] if self.version == 2 else self.FIELDS
        head = struct.pack(">" + "".join(f for _, f in layout), *(fields[name] for name, _ in layout))
        image = bytearray(max(self.end, self.l1_at))
        image[:len(head)] = head
        image[head_length:head_length + len(extensions)] = extensions
        struct.pack_into(">Q", image, self.cluster, 2 * self.cluster)
        for cluster in range(min(self.end // self.cluster, self.cluster // 2)):
            struct.pack_into(">H", image, 2 * self.cluster + 2 * cluster, 1)
        for index, value in enumerate(self.l1):
            struct.pack_into(">Q", image, self.l1_at + 8 * index, value)
        for at, data in self.pieces + [(at, bytes(table)) for at, table in self.tables.values()]:
            image[at:at + len(data)] = data
        for at, data in self.patches:
            image[at:at + len(data)] = data
        return bytes(image[:truncate])


def gz(data, flags=0, method=8, extra=b"", crc=None, length=None):
    """One member. `extra` is what the flags promise between header and data."""
    head = struct.pack("<2sBBIBB", b"\x1f\x8b", method, flags, 0, 0, 255)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(data) + packer.flush()
    crc = zlib.crc32(data) if crc is None else crc
    return head + extra + body + struct.pack("<II", crc, len(data) if length is None else length)


def vli(number):
    """A number in the encoding of xz: seven bits per byte, lowest bits first."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def xz(data, dictionary=0, check=1, filters=None, block_flags=0, sizes=b"", index=None, padding=b"\0"):
    """One stream of one block, stored in chunks that are not compressed.

    `dictionary` is the byte of the filter's properties, `check` the id of the check (only 0 and 1 are
    computed), `sizes` goes before the filters, `padding` is what padding is made of.
    """
    flags = bytes([0, check])
    head = b"\xfd7zXZ\0" + flags + struct.pack("<I", zlib.crc32(flags))
    filters = bytes([0x21, 1, dictionary]) if filters is None else filters
    block = bytes([block_flags]) + sizes + filters
    block += b"\0" * (-(len(block) + 1) % 4)
    block = bytes([(len(block) + 1) // 4]) + block
    block += struct.pack("<I", zlib.crc32(block))
    body = b""
    for at in range(0, len(data), 65536):
        chunk = data[at:at + 65536]
        body += bytes([1 if at == 0 else 2]) + struct.pack(">H", len(chunk) - 1) + chunk
    body += b"\0"
    checked = struct.pack("<I", zlib.crc32(data)) if check == 1 else b""
    unpadded = len(block) + len(body) + len(checked)
    body += padding * (-len(body) % 4) + checked
    records = vli(unpadded) + vli(len(data)) if index is None else index
    table = b"\0" + vli(1) + records
    table += b"\0" * (-len(table) % 4)
    table += struct.pack("<I", zlib.crc32(table))
    tail = struct.pack("<I", len(table) // 4 - 1) + flags
    return head + block + body + table + struct.pack("<I", zlib.crc32(tail)) + tail + b"YZ"


def zst(blocks, descriptor=0x00, header=b"\x38"):
    """One frame. `blocks` are `(type, size, bytes)`; type 0 is stored, 1 one byte repeated. The default
    header is a window of 128 KiB."""
    out = b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + header
    for index, (kind, size, data) in enumerate(blocks):
        last = index == len(blocks) - 1
        out += struct.pack("<I", size << 3 | kind << 1 | last)[:3] + data
    return out


def zst_stored(data):
    return zst([(0, len(part), part) for part in (data[i:i + 65536] for i in range(0, len(data), 65536))])


def mbr(size, partition_type=0x83, boot=b""):
    """A disk with one partition from sector 1 on, painted."""
    disk = bytearray(paint(0, size))
    disk[:446] = boot.ljust(446, b"\0")
    entry = struct.pack("<B3sB3sII", 0, b"\0\2\0", partition_type, b"\xfe\xff\xff", 1, size // 512 - 1)
    disk[446:512] = entry.ljust(64, b"\0") + b"\x55\xaa"
    return bytes(disk)


def gpt(sectors):
    """A disk with one partition in the middle, both tables with right checksums."""
    disk = bytearray(mbr(sectors * 512, 0xEE))
    kind, own = bytes(range(16)), bytes(range(16, 32))
    name = "data".encode("utf-16-le").ljust(72, b"\0")
    entries = struct.pack("<16s16sQQQ72s", kind, own, 34, sectors - 34, 0, name).ljust(16384, b"\0")

    def header(at, other, table):
        head = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, at, other, 34, sectors - 34,
                           bytes(range(32, 48)), table, 128, 128, zlib.crc32(entries))
        return (head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]).ljust(512, b"\0")

    disk[512:1024], disk[-512:] = header(1, sectors - 1, 2), header(sectors - 1, 1, sectors - 33)
    disk[1024:1024 + 16384] = entries
    disk[-512 - 16384:-512] = entries
    return bytes(disk)


def both(layout, value):
    """A number in both byte orders, as ECMA-119 has it."""
    return struct.pack("<" + layout, value) + struct.pack(">" + layout, value)


def directory_record(name, at, length, flags):
    record = bytes([0]) + both("I", at) + both("I", length) + bytes([126, 1, 1, 0, 0, 0, 0])
    record += bytes([flags, 0, 0]) + both("H", 1) + bytes([len(name)]) + name
    record += bytes((len(record) + 1) % 2)
    return bytes([len(record) + 1]) + record


# The identifiers that ECMA-167 looks for among the descriptors of a disc.
UDF = [b"\0BEA01\1", b"\0NSR02\1", b"\0TEA01\1"]


def iso(text=b"painted\n", system=b"", blocks=None, block_size=2048, descriptors=()):
    """A disc of ECMA-119 with one file. `system` goes into the first 32 KiB, `descriptors` follow the last
    one of ECMA-119; `blocks` is the claimed size."""
    first = 18 + len(descriptors)
    root = (directory_record(b"\0", first + 2, 2048, 2) + directory_record(b"\1", first + 2, 2048, 2)
            + directory_record(b"A.TXT;1", first + 3, len(text), 0))
    date = b"2026010100000000\0"
    volume = b"\1CD001\1\0" + b" " * 32 + b"DISKIMG".ljust(32) + bytes(8)
    volume += both("I", first + 4 if blocks is None else blocks) + bytes(32) + both("H", 1) + both("H", 1)
    volume += both("H", block_size) + both("I", 10) + struct.pack("<II", first, 0) + struct.pack(">II", first + 1, 0)
    volume += directory_record(b"\0", first + 2, 2048, 2) + b" " * (4 * 128 + 3 * 37) + date * 2 + b"0" * 16 + b"\0"
    volume += b"0" * 16 + b"\0\1\0"
    sectors = [
        volume, b"\xffCD001\1", *descriptors,
        b"\1\0" + struct.pack("<IH", first + 2, 1) + b"\0\0",
        b"\1\0" + struct.pack(">IH", first + 2, 1) + b"\0\0",
        root, text,
    ]
    return system.ljust(32768, b"\0") + b"".join(sector.ljust(2048, b"\0") for sector in sectors)


def udf_head(sectors=20):
    """The recognition sequence of ECMA-167 without a volume."""
    return (bytes(32768) + b"".join(name.ljust(2048, b"\0") for name in UDF)).ljust(sectors * 2048, b"\0")
