package cdi

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	diskimg "github.com/diskimg/diskimg/bindings/go"
)

func allocated(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestBlankImageHasItsSizePermissionsAndSpace(t *testing.T) {
	for _, preallocate := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "disk.img")
		for range "again, over the first" {
			if err := operations(t).CreateBlankImage(path, 3<<20, preallocate); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() != 3<<20 || info.Mode().Perm() != 0o660 {
			t.Error(info.Size(), info.Mode(), err)
		}
		if space := allocated(t, path); preallocate != (space >= 3<<20) {
			t.Error(preallocate, space)
		}
	}
	err := operations(t).CreateBlankImage(filepath.Join(t.TempDir(), "none", "disk.img"), 4096, false)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestPreallocatedImportHasNoHoles(t *testing.T) {
	for _, source := range []string{images, serve(t, withoutRanges(images, true))} {
		for _, preallocate := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "disk.img")
			image := location(t, source+"/large-sparse.qcow2")
			if err := operations(t).ConvertToRawStream(image, path, preallocate, ""); err != nil {
				t.Fatal(err)
			}
			if space := allocated(t, path); preallocate != (space >= 50331648) {
				t.Error(source, preallocate, space)
			}
		}
	}
}

func TestCopyOfARangeToItselfAllocatesIt(t *testing.T) {
	path, data := filepath.Join(t.TempDir(), "disk.img"), random(100000)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := operations(t).Resize(path, 3<<20, false); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := copyRange(file, file, 0, 3<<20, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	found, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(found, append(data, make([]byte, 3<<20-len(data))...)) || allocated(t, path) < 3<<20 {
		t.Error(len(found), allocated(t, path), err)
	}
}

func TestResizeKeepsTheBytesAndNeverDropsAny(t *testing.T) {
	for _, preallocate := range []bool{false, true} {
		path, data := filepath.Join(t.TempDir(), "disk.img"), random(100000)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := operations(t).Resize(path, 2<<20, preallocate); err != nil {
			t.Fatal(err)
		}
		if err := operations(t).Resize(path, 1<<20, preallocate); !errors.Is(err, syscall.EINVAL) {
			t.Error(err)
		}
		found, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(found, append(data, make([]byte, 2<<20-len(data))...)) {
			t.Error(preallocate, len(found), err)
		}
		if space := allocated(t, path); preallocate != (space >= 2<<20) {
			t.Error(preallocate, space)
		}
	}
}

func TestCommitWritesTheChangesOfADeltaToItsBase(t *testing.T) {
	if lacks(t, "qemu-img") || lacks(t, "qemu-io") {
		return
	}
	directory := t.TempDir()
	base, delta, expected := filepath.Join(directory, "base.raw"), filepath.Join(directory, "delta.qcow2"), filepath.Join(directory, "expected.raw")
	if err := os.WriteFile(base, random(1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"qemu-img create -q -f qcow2 -o cluster_size=4k -b /nonexistent -F raw -u " + delta + " 2M",
		"qemu-img rebase -u -F raw -b " + base + " " + delta,
		"qemu-io -f qcow2 -c 'write -P 1 64k 5k' -c 'write -z 256k 64k' -c 'write -P 2 1600k 4k' " + delta,
		"qemu-img convert -O raw " + delta + " " + expected,
		"qemu-img rebase -u -F raw -b /nonexistent " + delta,
	} {
		if output, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatal(command, string(output))
		}
	}
	operations, before := operations(t), sumOf(t, delta)
	if err := operations.Commit(delta); !errors.Is(err, diskimg.ErrReference) {
		t.Error("without a base:", err)
	}
	if err := operations.Rebase(base, delta); err != nil {
		t.Fatal(err)
	}
	if err := operations.Commit(delta); err != nil {
		t.Fatal(err)
	}
	if sumOf(t, base) != sumOf(t, expected) || sumOf(t, delta) != before {
		t.Error("the base has other bytes than qemu-img reads, or the delta was changed")
	}
}

// loopDevice returns a loop device over a file of random bytes; empty without root.
func loopDevice(t *testing.T, size int) string {
	if os.Geteuid() != 0 {
		missing(t, "a loop device needs root")
		return ""
	}
	if lacks(t, "losetup") {
		return ""
	}
	file := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(file, random(size), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		missing(t, "losetup fails: "+err.Error())
		return ""
	}
	device := strings.TrimSpace(string(output))
	t.Cleanup(func() { exec.Command("losetup", "--detach", device).Run() })
	return device
}

func TestBlockDeviceReceivesTheDiskAndKeepsTheBytesPastIt(t *testing.T) {
	device := loopDevice(t, 4<<20)
	if device == "" {
		return
	}
	url := serve(t, withoutRanges(images, true))
	for _, preallocate := range []bool{false, true} {
		source := location(t, url+"/v3.qcow2.gz")
		if err := operations(t).ConvertToRawStream(source, device, preallocate, CacheModeTryNone); err != nil {
			t.Fatal(err)
		}
		found, err := os.ReadFile(device)
		if err != nil || len(found) != 4<<20 {
			t.Fatal(len(found), err)
		}
		const sum = "a78b1c0734a3b231b9e0fc0645f6a9c4d11fa246abf6f025b56a22244e0f5a86"
		if hexSum(found[:1<<20]) != sum || !bytes.Equal(found[1<<20:], random(4 << 20)[1<<20:]) {
			t.Error(preallocate, "the device has other bytes")
		}
	}
	if _, err := operations(t).Import(location(t, url+"/large-sparse.qcow2"), device, ImportOptions{}); err == nil {
		t.Error("a disk that is larger than the device is accepted")
	}
}

func TestBlankBlockVolumeIsZeroUpToItsSize(t *testing.T) {
	if err := operations(t).PreallocateBlankBlock(filepath.Join(t.TempDir(), "none"), 4096); !errors.Is(err, syscall.ENOTBLK) {
		t.Error(err)
	}
	device := loopDevice(t, 4<<20)
	if device == "" {
		return
	}
	const size = 1<<20 + 512
	if err := operations(t).PreallocateBlankBlock(device, size); err != nil {
		t.Fatal(err)
	}
	found, err := os.ReadFile(device)
	if err != nil || !bytes.Equal(found[:size], make([]byte, size)) || !bytes.Equal(found[size:], random(4 << 20)[size:]) {
		t.Error("the device has other bytes", err)
	}
	if err := New(context.Background(), Config{}).PreallocateBlankBlock(device, 5<<20); err == nil {
		t.Error("a size that is larger than the device is accepted")
	}
}
