package diskimg

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// compressedZeros returns a gz file of many zeros.
func compressedZeros(t *testing.T, length int64) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(writer, io.LimitReader(&endless{left: 1 << 62}, length)); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestContextStopsTheOpeningOfACompressedImage(t *testing.T) {
	data := compressedZeros(t, 256<<20)
	path := filepath.Join(t.TempDir(), "zeros.raw.gz")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(context.Context, *OpenOptions) error{
		"path":  func(ctx context.Context, o *OpenOptions) error { return second(Open(ctx, path, o)) },
		"bytes": func(ctx context.Context, o *OpenOptions) error { return second(OpenBytes(ctx, data, o)) },
		"reader": func(ctx context.Context, o *OpenOptions) error {
			return second(OpenReaderAt(ctx, bytes.NewReader(data), int64(len(data)), o))
		},
	} {
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		reported := int64(0)
		err := open(ctx, &OpenOptions{AllowRaw: true, Progress: func(done, total int64) error {
			if reported = done; done > 0 {
				cancel()
			}
			return nil
		}})
		if err != context.Canceled || reported == 0 || reported >= 256<<20 {
			t.Errorf("%s: %v after %d bytes", name, err, reported)
		}
	}
}

func TestNoGoroutineRemainsAfterACall(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	for i := 0; i < 100; i++ {
		progress := func(int64, int64) error { return nil }
		if _, err := image.Convert(ctx, ToWriter(io.Discard), &ConvertOptions{Progress: progress}); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 100 && runtime.NumGoroutine() > before; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Fatalf("%d goroutines, %d before", after, before)
	}
}

func TestCallsSurviveTheCollector(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	data := load(t, good+"mixed.qcow2")
	want := disk(t, openGood(t, "mixed.qcow2", nil))
	for i := 0; i < 20; i++ {
		image, err := OpenReaderAt(background, bytes.NewReader(data), int64(len(data)), nil)
		if err != nil {
			t.Fatal(err)
		}
		file := &memoryFile{}
		if _, err := image.Convert(background, ToWriterAt(file), nil); err != nil {
			t.Fatal(err)
		}
		equal(t, file.data, want)
		image.Close()
	}
}

// loopDevice returns a block device of the given size.
func loopDevice(t *testing.T, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: only root can create a block device")
	}
	backing := filepath.Join(t.TempDir(), "backing")
	if err := os.WriteFile(backing, bytes.Repeat([]byte("x"), int(size)), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command("losetup", "--find", "--show", backing).CombinedOutput()
	if err != nil {
		t.Skip("skipped: no loop device can be created here:", err, string(output))
	}
	device := strings.TrimSpace(string(output))
	t.Cleanup(func() {
		if output, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Error(err, string(output))
		}
	})
	return device
}

func TestStreamIsConvertedToABlockDeviceInOnePass(t *testing.T) {
	device := loopDevice(t, 2<<20)
	source := load(t, good+"v3.qcow2.gz")
	want := disk(t, openGood(t, "v3.qcow2", nil))
	noTemporary := &OpenOptions{NoTemporary: true}
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, target := range map[string]Target{"path": ToPath(device), "descriptor": ToFile(file)} {
		if _, err := file.WriteAt(bytes.Repeat([]byte("x"), 2<<20), 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
		if _, err := ConvertReader(background, bytes.NewReader(source), -1, target, noTemporary, nil); err != nil {
			t.Fatal(name, err)
		}
		got := make([]byte, len(want))
		if _, err := file.ReadAt(got, 0); err != nil {
			t.Fatal(name, err)
		}
		equal(t, got, want)
	}
}
