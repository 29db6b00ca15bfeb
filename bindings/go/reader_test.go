package diskimg

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// sparse is a reader with data only in one range.
type sparse struct {
	size, start, end int64
	mutex            sync.Mutex
	// outside is the number of bytes read in holes.
	outside int
}

func (s *sparse) ReadAt(buf []byte, offset int64) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for i := range buf {
		at := offset + int64(i)
		if at >= s.size {
			return i, io.EOF
		}
		buf[i] = 0
		if at >= s.start && at < s.end {
			buf[i] = byte(at%250) + 1
		} else {
			s.outside++
		}
	}
	return len(buf), nil
}

func (s *sparse) NextData(offset int64) (int64, int64, error) {
	if offset >= s.end {
		return s.size, s.size, nil
	}
	return s.start, s.end, nil
}

func TestHolesOfAReaderAreNotRead(t *testing.T) {
	source := &sparse{size: 1 << 30, start: 100 << 20, end: 101 << 20}
	image, err := OpenReaderAt(background, source, source.size, &OpenOptions{Format: FormatRaw})
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	extents, err := image.Extents(0, image.Size())
	if err != nil || len(extents) != 3 || !extents[0].Zero || !extents[1].Data || extents[1].Start != source.start ||
		extents[1].Length != source.end-source.start {
		t.Fatal(extents, err)
	}
	result, err := image.Convert(background, ToPath(filepath.Join(t.TempDir(), "disk")), nil)
	if err != nil || result.Written != 1<<20 || source.outside > 1<<20 { // detection reads both ends
		t.Fatal(result, source.outside, err)
	}
}

func TestImageIsOpenedFromEachKindOfSource(t *testing.T) {
	want := disk(t, openGood(t, "v3.qcow2", nil))
	for _, name := range []string{"v3.qcow2", "v3.qcow2.gz"} {
		data := load(t, good+name)
		file, err := os.Open(good + name)
		if err != nil {
			t.Fatal(err)
		}
		for kind, opened := range map[string]func() (*Image, error){
			"file":     func() (*Image, error) { return OpenFile(background, file, nil) },
			"bytes":    func() (*Image, error) { return OpenBytes(background, data, nil) },
			"reader":   func() (*Image, error) { return OpenReaderAt(background, bytes.NewReader(data), int64(len(data)), nil) },
			"*os.File": func() (*Image, error) { return OpenReaderAt(background, file, int64(len(data)), nil) },
		} {
			image, err := opened()
			if err != nil {
				t.Fatal(kind, err)
			}
			equal(t, disk(t, image), want)
			image.Close()
		}
		file.Close()
		if _, err := OpenFile(background, file, nil); err == nil {
			t.Fatal("a closed file was opened")
		}
	}
	if _, err := OpenBytes(background, nil, nil); !errors.Is(err, ErrUnknownFormat) {
		t.Fatal(err)
	}
}

func TestReferencesAreOpenedAsTheOptionsAllow(t *testing.T) {
	want := disk(t, openGood(t, "chain-top.qcow2", &OpenOptions{References: true}))
	if _, err := Open(background, good+"chain-top.qcow2", nil); !errors.Is(err, ErrReference) {
		t.Fatal(err)
	}
	directory, err := os.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	moved := filepath.Join(t.TempDir(), "top.qcow2")
	if err := os.WriteFile(moved, load(t, good+"chain-top.qcow2"), 0o600); err != nil {
		t.Fatal(err)
	}
	resolve := func(role Role, name string) (ResolvedFile, error) {
		if role != RoleBacking {
			return ResolvedFile{}, os.ErrPermission
		}
		data := load(t, good+filepath.Base(name))
		return ResolvedFile{Reader: bytes.NewReader(data), Size: int64(len(data))}, nil
	}
	for name, options := range map[string]*OpenOptions{
		"directory": {Directory: directory},
		"search":    {SearchDirectory: good},
		"parents":   {Parents: []Parent{{Path: good + "chain-middle.qcow2"}, {Path: good + "chain-base.qcow2"}}},
		"resolve":   {Resolve: resolve},
	} {
		image, err := Open(background, moved, options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		equal(t, disk(t, image), want)
		image.Close()
	}
	refuse := func(Role, string) (ResolvedFile, error) { return ResolvedFile{}, nil }
	if _, err := Open(background, moved, &OpenOptions{Resolve: refuse}); !errors.Is(err, ErrReference) {
		t.Fatal(err)
	}
	if _, err := Open(background, moved, &OpenOptions{References: true, MaxDepth: 16}); !errors.Is(err, ErrReference) && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestLogReceivesTheFindings(t *testing.T) {
	var messages []string
	image := openGood(t, "chain-top.qcow2", &OpenOptions{InfoOnly: true, Log: func(severity Severity, message string) {
		if severity == SeverityUnsafe {
			messages = append(messages, message)
		}
	}})
	findings, err := image.Findings()
	if err != nil || len(messages) != 1 || len(findings) != 1 {
		t.Fatal(messages, findings, err)
	}
}

func TestLimitsBite(t *testing.T) {
	for name, options := range map[string]*OpenOptions{
		"virtual-size": {MaxVirtualSize: 4096},
		"by name":      {Limits: "virtual-size=4k"},
	} {
		_, err := Open(background, good+"v3.qcow2", options)
		var failed *Error
		if !errors.Is(err, ErrLimit) || !errors.As(err, &failed) || failed.Limit != "virtual-size" {
			t.Errorf("%s: %+v", name, err)
		}
	}
	_, err := Open(background, good+"v3.qcow2.gz", &OpenOptions{NoTemporary: true})
	if !errors.Is(err, ErrNeedsSeek) {
		t.Error(err)
	}
	_, err = Open(background, good+"v3.qcow2.gz", &OpenOptions{MaxTemporary: 4096})
	if !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	if _, err := Open(background, good+"corrupt-bit.qcow2", &OpenOptions{Strict: true}); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
	image := openGood(t, "v3.qcow2.gz", &OpenOptions{KeepCompressed: true, AllowRaw: true})
	if info, err := image.Info(); err != nil || info.Format != FormatRaw || info.Wrapper != WrapperNone {
		t.Error(info, err)
	}
}

func TestChecksAndReadsOfOneImageRunTogether(t *testing.T) {
	resolve := func(_ Role, name string) (ResolvedFile, error) {
		data := load(t, good+filepath.Base(name))
		return ResolvedFile{Reader: bytes.NewReader(data), Size: int64(len(data))}, nil
	}
	image := openGood(t, "chain-top.qcow2", &OpenOptions{Resolve: resolve})
	want := disk(t, image)
	var calls sync.WaitGroup
	for i := 0; i < 4; i++ {
		calls.Add(2)
		go func() {
			defer calls.Done()
			if result, err := image.Check(background, nil); err != nil || result.Corruptions != 0 {
				t.Error(result, err)
			}
		}()
		go func() {
			defer calls.Done()
			got := make([]byte, len(want))
			if _, err := image.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Error("read differs", err)
			}
		}()
	}
	calls.Wait()
}
