"""Detection of streams that are pushed in chunks."""

from __future__ import annotations

import threading

import diskimg
from diskimg import ProbeState
from support import BAD, GOOD, Case


class Probes(Case):
    def test_stream_is_recognised_with_any_chunks(self) -> None:
        data = (GOOD / "v3.qcow2.gz").read_bytes()
        with diskimg.open(GOOD / "v3.qcow2") as image:
            expected = ("qcow2", "gzip", image.size)
        for step in (1, 1000, 4096, len(data)):
            with diskimg.Probe() as probe:
                for at in range(0, len(data), step):
                    probe.push(memoryview(data)[at : at + step])
                info = probe.finish()
                self.assertEqual((info.format, info.wrapper, info.virtual_size), expected)
                self.assertEqual(probe.finish(), info)

    def test_raw_stream_has_the_length_that_was_pushed(self) -> None:
        with diskimg.Probe(allow_raw=True) as probe:
            self.assertIs(probe.push(b"x" * 1000), ProbeState.MORE)
            self.assertIs(probe.push(b""), ProbeState.MORE)
            info = probe.finish()
            self.assertEqual((info.format, info.wrapper, info.virtual_size), ("raw", None, 1000))

    def test_description_has_references_and_findings(self) -> None:
        with diskimg.Probe() as probe:
            with self.assertRaises(diskimg.UnknownFormatError):
                probe.info  # noqa: B018: raises
            # Padded, because a probe reports its description after about 68 KiB or at the end.
            state = probe.push((GOOD / "chain-top.qcow2").read_bytes() + bytes(100_000))
            self.assertGreaterEqual(state, ProbeState.FORMAT)
            self.assertEqual(probe.info.format, "qcow2")
            probe.finish()
            info = probe.info_json("name")
        with diskimg.open(GOOD / "chain-top.qcow2", info_only=True) as image:
            self.assertEqual((info["virtual-size"], info["filename"]), (image.size, "name"))
            self.assertEqual(info["diskimg"]["references"], image.info_json()["diskimg"]["references"])
        self.assertEqual([finding["check"] for finding in info["diskimg"]["findings"]], ["backing_file"])

    def test_unsupported_format_is_named(self) -> None:
        with diskimg.Probe() as probe:
            probe.push((BAD / "r10-head-of.vhdx").read_bytes())
            for _ in range(2):
                with self.assertRaises(diskimg.UnsupportedError) as caught:
                    probe.finish()
                self.assertEqual(caught.exception.format, "vhdx")

    def test_threads_take_turns(self) -> None:
        with diskimg.Probe(allow_raw=True) as probe:
            threads = [
                threading.Thread(target=lambda: [probe.push(bytes(1000)) for _ in range(100)]) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(probe.finish().virtual_size, 400_000)


class Lists(Case):
    def test_formats_have_capabilities(self) -> None:
        self.assertEqual(diskimg.formats(), ["raw", "qcow2", "vmdk", "vdi"])
        self.assertEqual(diskimg.capabilities("qcow2"), {"read", "stream", "create", "check"})
        with self.assertRaises(ValueError):
            diskimg.capabilities("vhdx")

    def test_settings_are_listed_for_each_format(self) -> None:
        for format in diskimg.formats():
            names = [setting.name for setting in diskimg.settings(format)]
            self.assertEqual(len(names), len(set(names)))
            expected = {"raw": "preallocation", "qcow2": "cluster_size", "vmdk": "subformat", "vdi": "block_size"}
            self.assertIn(expected[format], names)
            self.assertTrue(all(setting.help and setting.values for setting in diskimg.settings(format)))

    def test_limits_are_listed_with_their_defaults(self) -> None:
        limits = {limit.name: limit for limit in diskimg.limits()}
        self.assertEqual(limits["virtual-size"].default, 64 << 40)
        self.assertTrue(all(limit.help for limit in limits.values()))
        for name in limits:
            with diskimg.open(GOOD / "mbr.raw", limits={name: limits[name].default}):
                pass

    def test_version_is_that_of_the_package(self) -> None:
        self.assertEqual(diskimg.library_version(), diskimg.__version__)
