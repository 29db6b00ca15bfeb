package diskimg

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const good = "../../../tests/images/good/"

func open(t *testing.T, name string, options Options) *Image {
	t.Helper()
	image, err := Open(good+name, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { image.Close() })
	return image
}

func TestImageIsAReaderAtForManyGoroutines(t *testing.T) {
	image := open(t, "mixed.qcow2", Options{})
	want, err := io.ReadAll(io.NewSectionReader(image, 0, image.Size()))
	if err != nil || int64(len(want)) != image.Size() {
		t.Fatal(len(want), err)
	}
	var readers sync.WaitGroup
	for i := 0; i < 8; i++ {
		readers.Add(1)
		go func() {
			defer readers.Done()
			got, err := io.ReadAll(io.NewSectionReader(image, 0, image.Size()))
			if err != nil || !bytes.Equal(got, want) {
				t.Error("read differs", err)
			}
		}()
	}
	readers.Wait()
	if n, err := image.ReadAt(make([]byte, 10), image.Size()); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
}

func TestConversionReportsProgressAndKeepsTheDisk(t *testing.T) {
	image := open(t, "chain-top.qcow2", Options{References: true})
	path := filepath.Join(t.TempDir(), "disk.raw")
	var last, total uint64
	progress := func(done, all uint64) { last, total = done, all }
	if err := image.Convert(context.Background(), path, Target{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if last != total || int64(total) != image.Size() {
		t.Fatal(last, total)
	}
	got, _ := os.ReadFile(path)
	want, _ := io.ReadAll(io.NewSectionReader(image, 0, image.Size()))
	if !bytes.Equal(got, want) {
		t.Fatal("the disks differ")
	}
	if err := image.Convert(context.Background(), path, Target{}); !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}

func TestContextCancelsConversion(t *testing.T) {
	image := open(t, "mixed.qcow2", Options{})
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	ctx, cancel := context.WithCancel(context.Background())
	waited := false
	progress := func(done, total uint64) {
		if !waited { // a goroutine sets the flag soon after
			cancel()
			waited = true
		}
	}
	err := image.Convert(ctx, path, Target{Format: "qcow2", Compress: true, Progress: progress})
	// The conversion of a small disk may end before the flag is set.
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, stat := os.Stat(path); err != nil && !errors.Is(stat, fs.ErrNotExist) {
		t.Fatal("a cancelled conversion left its target")
	}
	if err := image.Convert(ctx, path, Target{}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestDetectedStreamIsReadFromItsFirstByte(t *testing.T) {
	size := open(t, "v3.qcow2", Options{}).Size()
	for _, c := range []struct {
		name, format, wrapper string
		size                  int64
	}{
		{"v3.qcow2", "qcow2", "", size},
		{"v3.qcow2.gz", "qcow2", "gzip", size},
		{"iso9660.iso", "raw", "", 45056},
	} {
		data, err := os.ReadFile(good + c.name)
		if err != nil {
			t.Fatal(err)
		}
		detected, err := DetectReader(bytes.NewReader(data), false)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if detected.Format != c.format || detected.Wrapper != c.wrapper || detected.VirtualSize != c.size {
			t.Fatal(c.name, *detected)
		}
		if again, err := io.ReadAll(detected.Reader); err != nil || !bytes.Equal(again, data) {
			t.Fatal(c.name, "the stream is not the same", err)
		}
	}
	long := io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), strings.NewReader("end"))
	if detected, err := DetectReader(long, true); err != nil || detected.Format != "raw" || detected.VirtualSize != -1 {
		t.Fatal(detected, err)
	} else if again, err := io.ReadAll(detected.Reader); err != nil || len(again) != 1<<20+3 {
		t.Fatal(len(again), err)
	}
	if _, err := DetectReader(strings.NewReader("no disk at all"), false); !errors.Is(err, ErrUnknownFormat) {
		t.Fatal(err)
	}
}

type counter struct {
	io.Reader
	read int
}

func (c *counter) Read(buf []byte) (int, error) {
	n, err := c.Reader.Read(buf)
	c.read += n
	return n, err
}

type zeros struct{}

func (zeros) Read(buf []byte) (int, error) {
	for i := range buf {
		buf[i] = 0
	}
	return len(buf), nil
}

func TestDetectReaderReadsNoMoreThanNecessary(t *testing.T) {
	image, err := os.ReadFile(good + "v3.qcow2")
	if err != nil {
		t.Fatal(err)
	}
	size := open(t, "v3.qcow2", Options{}).Size()
	for _, c := range []struct {
		format string
		begin  []byte
		size   int64
	}{
		{"qcow2", image, size},
		{"raw", []byte("no image"), -1},
	} {
		endless := &counter{Reader: io.MultiReader(bytes.NewReader(c.begin), zeros{})}
		detected, err := DetectReader(endless, true)
		if err != nil || detected.Format != c.format || detected.VirtualSize != c.size {
			t.Fatal(c.format, detected, err)
		}
		if endless.read > 128<<10 {
			t.Fatal(c.format, endless.read)
		}
	}
}

func TestDescriptorIsReadToItsEnd(t *testing.T) {
	text := "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"custom\"\n"
	const lines = 4000
	text += strings.Repeat("RW 1 ZERO\n# twenty-two bytes here\n", lines)
	detected, err := DetectReader(strings.NewReader(text), false)
	if err != nil || detected.Format != "vmdk" || detected.VirtualSize != lines*512 {
		t.Fatal(detected, err)
	}
}

func TestDetectedImageHasReferencesAndFindings(t *testing.T) {
	file, err := os.Open(good + "chain-top.qcow2")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	detected, err := DetectReader(file, false)
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Size    int64 `json:"virtual-size"`
		Diskimg struct {
			References []struct{ Role, Name string }
			Findings   []struct{ Check string }
		}
	}
	if err := json.Unmarshal(detected.Info, &info); err != nil {
		t.Fatal(err)
	}
	names, findings := info.Diskimg.References, info.Diskimg.Findings
	if info.Size != detected.VirtualSize || len(names) != 1 || names[0].Role != "backing file" {
		t.Fatal(string(detected.Info))
	}
	if len(findings) != 1 || findings[0].Check != "backing_file" {
		t.Fatal(string(detected.Info))
	}
}

func TestErrorsMatchErrorsOfTheSystem(t *testing.T) {
	if _, err := Open("/absent", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := Open(good+"chain-top.qcow2", Options{}); err == nil {
		t.Fatal("a backing file was opened")
	}
	if _, err := Open(good+"v3.qcow2", Options{Format: "floppy"}); err == nil {
		t.Fatal("an unknown format was accepted")
	}
}
