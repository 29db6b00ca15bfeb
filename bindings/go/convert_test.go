package diskimg

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// memoryFile is a file in memory that is written through all optional interfaces.
type memoryFile struct {
	mutex  sync.Mutex
	data   []byte
	synced bool
}

func (m *memoryFile) grow(end int64) {
	if end > int64(len(m.data)) {
		m.data = append(m.data, make([]byte, end-int64(len(m.data)))...)
	}
}

func (m *memoryFile) WriteAt(buf []byte, offset int64) (int, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.grow(offset + int64(len(buf)))
	return copy(m.data[offset:], buf), nil
}

func (m *memoryFile) WriteZeroes(offset, length int64) error {
	_, err := m.WriteAt(make([]byte, length), offset)
	return err
}

func (m *memoryFile) Truncate(size int64) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.grow(size)
	m.data = m.data[:size]
	return nil
}

func (m *memoryFile) Sync() error {
	m.synced = true
	return nil
}

// writerAtOnly hides the optional interfaces.
type writerAtOnly struct{ io.WriterAt }

func TestConversionWritesTheDiskToEachKindOfTarget(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	want := disk(t, image)
	source := load(t, good+"mixed.qcow2")
	directory := t.TempDir()
	for _, c := range []struct {
		name    string
		convert func(Target) (ConvertResult, error)
	}{
		{"Convert", func(target Target) (ConvertResult, error) { return image.Convert(background, target, nil) }},
		{"ConvertReader", func(target Target) (ConvertResult, error) {
			return ConvertReader(background, bytes.NewReader(source), int64(len(source)), target, nil, nil)
		}},
	} {
		path := filepath.Join(directory, c.name)
		result, err := c.convert(ToPath(path))
		if err != nil || result.VirtualSize != image.Size() || result.Written+result.Zeros != image.Size() {
			t.Fatalf("%s: %+v %v", c.name, result, err)
		}
		equal(t, load(t, path), want)

		file, err := os.Create(path + ".file")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := c.convert(ToFile(file)); err != nil {
			t.Fatal(c.name, err)
		}
		equal(t, load(t, file.Name()), want)

		var stream bytes.Buffer
		if _, err := c.convert(ToWriter(&stream)); err != nil {
			t.Fatal(c.name, err)
		}
		equal(t, stream.Bytes(), want)

		all, only := &memoryFile{}, &memoryFile{}
		if _, err := c.convert(ToWriterAt(all)); err != nil || !all.synced {
			t.Fatal(c.name, err, all.synced)
		}
		equal(t, all.data, want)
		if _, err := c.convert(ToWriterAt(writerAtOnly{only})); err != nil {
			t.Fatal(c.name, err)
		}
		equal(t, only.data, want)
	}
}

func TestConversionWritesToAPipe(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	received := make(chan []byte)
	go func() {
		data, _ := io.ReadAll(reader)
		received <- data
	}()
	_, err = image.Convert(background, ToFile(writer), nil)
	writer.Close()
	if data := <-received; err != nil || !bytes.Equal(data, disk(t, image)) {
		t.Fatal(len(data), err)
	}
}

func TestConversionToImageFormatsKeepsTheDisk(t *testing.T) {
	image := openGood(t, "chain-top.qcow2", &OpenOptions{References: true})
	directory := t.TempDir()
	for _, options := range []ConvertOptions{
		{Format: FormatQcow2, Settings: "cluster_size=4k,compat=v3"},
		{Format: FormatQcow2, Compress: true, Settings: "compression_type=zstd", Level: 3},
		{Format: FormatVMDK, Settings: "subformat=streamOptimized"},
		{Format: FormatVDI, Threads: 1, MaxMemory: 8 << 20, NoSync: true},
		{Format: FormatRaw, Preallocation: PreallocationFull, StoreZeros: true, SparseSize: 512},
		{Format: FormatRaw, NoSparse: true, WriteThrough: true, IgnoreLocks: true, Rate: 1 << 40},
	} {
		options := options
		path := filepath.Join(directory, "disk")
		options.Overwrite = true
		measured, err := image.Measure(background, &options)
		if err != nil {
			t.Fatalf("%+v: %v", options, err)
		}
		if _, err := image.Convert(background, ToPath(path), &options); err != nil {
			t.Fatalf("%+v: %v", options, err)
		}
		if stat, err := os.Stat(path); err != nil || stat.Size() > measured.Required ||
			measured.Required > measured.FullyAllocated {
			t.Fatal(options.Format, stat.Size(), measured, err)
		}
		back, err := Open(background, path, &OpenOptions{AllowRaw: true})
		if err != nil {
			t.Fatal(err)
		}
		if same, err := Compare(background, image, back, nil); err != nil || !same.Same || same.FirstDifference != -1 {
			t.Fatal(options.Format, same, err)
		}
		back.Close()
	}
}

func TestExistingTargetIsKeptUnlessOverwritten(t *testing.T) {
	image := openGood(t, "v3.qcow2", nil)
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := image.Convert(background, ToPath(path), nil)
	if !errors.Is(err, fs.ErrExist) || !errors.Is(err, ErrExists) || string(load(t, path)) != "mine" {
		t.Fatal(err)
	}
	if _, err := image.Convert(background, ToPath(path), &ConvertOptions{Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	// In place, a raw target keeps its bytes past the disk.
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), int(image.Size())+10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := image.Convert(background, ToPath(path), &ConvertOptions{InPlace: true}); err != nil {
		t.Fatal(err)
	}
	equal(t, load(t, path), append(disk(t, image), "xxxxxxxxxx"...))
}

func TestProgressReachesItsTotal(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	last, total := int64(-1), int64(0)
	progress := func(done, all int64) error {
		if done < last {
			t.Errorf("%d after %d", done, last)
		}
		last, total = done, all
		return nil
	}
	_, err := image.Convert(background, ToWriter(io.Discard), &ConvertOptions{Progress: progress})
	if err != nil || last != total || total != image.Size() {
		t.Fatal(last, total, err)
	}
}

func TestErrorOfProgressCancelsAndIsReturned(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	directory := t.TempDir()
	stop := errors.New("enough")
	_, err := image.Convert(background, ToPath(filepath.Join(directory, "disk")), &ConvertOptions{
		Progress: func(done, total int64) error { return stop },
	})
	if !errors.Is(err, stop) || !errors.Is(err, ErrCancelled) {
		t.Fatal(err)
	}
	absent(t, directory)
}

// endless is a stream of zeros that ends a context after some bytes.
type endless struct {
	left   int
	cancel func()
}

func (e *endless) Read(buf []byte) (int, error) {
	if e.left -= len(buf); e.left < 0 {
		e.cancel()
	}
	for i := range buf {
		buf[i] = 0
	}
	return len(buf), nil
}

func TestContextCancelsEachCall(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	ended, cancel := context.WithCancel(background)
	cancel()
	directory := t.TempDir()
	path := ToPath(filepath.Join(directory, "disk"))
	for name, err := range map[string]error{
		"Open":          second(Open(ended, good+"v3.qcow2", nil)),
		"OpenBytes":     second(OpenBytes(ended, nil, nil)),
		"OpenReaderAt":  second(OpenReaderAt(ended, bytes.NewReader(nil), 0, nil)),
		"Convert":       second(image.Convert(ended, path, nil)),
		"ConvertReader": second(ConvertReader(ended, strings.NewReader(""), 0, path, nil, nil)),
		"Create":        second(Create(ended, path, 512, nil)),
		"Check":         second(image.Check(ended, nil)),
		"Compare":       second(Compare(ended, image, image, nil)),
		"Measure":       second(image.Measure(ended, nil)),
	} {
		if err != context.Canceled {
			t.Errorf("%s: %v", name, err)
		}
	}
	absent(t, directory)
}

func TestContextStopsARunningConversion(t *testing.T) {
	directory := t.TempDir()
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	stream := &endless{left: 10 << 20, cancel: cancel}
	raw := &OpenOptions{Format: FormatRaw}
	_, err := ConvertReader(ctx, stream, 0, ToPath(filepath.Join(directory, "disk")), raw, nil)
	if err != context.Canceled {
		t.Fatal(err)
	}
	absent(t, directory)

	ctx, stop := context.WithTimeout(background, 10*time.Millisecond)
	defer stop()
	image, err := OpenReaderAt(background, &zeros{}, 1<<46, raw)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	begun := time.Now()
	_, err = image.Convert(ctx, ToWriter(io.Discard), &ConvertOptions{StoreZeros: true})
	if err != context.DeadlineExceeded || time.Since(begun) > 10*time.Second {
		t.Fatal(err, time.Since(begun))
	}
	ctx, stop = context.WithTimeout(background, 10*time.Millisecond)
	defer stop()
	if _, err := Compare(ctx, image, image, nil); err != context.DeadlineExceeded {
		t.Fatal(err)
	}
}

// zeros is a file of zeros.
type zeros struct{}

func (zeros) ReadAt(buf []byte, _ int64) (int, error) {
	for i := range buf {
		buf[i] = 0
	}
	return len(buf), nil
}

func TestLengthOfAStreamIsChecked(t *testing.T) {
	source := load(t, good+"stream.vmdk.gz")
	directory := t.TempDir()
	for _, c := range []struct {
		length int64
		want   error
	}{
		{int64(len(source)), nil}, {-1, nil}, {0, nil},
		{int64(len(source)) + 1, ErrTruncated},
		{int64(len(source)) - 1, ErrCorrupt},
	} {
		path := filepath.Join(directory, "disk")
		_, err := ConvertReader(background, bytes.NewReader(source), c.length, ToPath(path), nil, nil)
		if !errors.Is(err, c.want) {
			t.Errorf("length %d: %v", c.length, err)
		}
		os.Remove(path)
	}
	absent(t, directory)
}

func TestErrorsOfReadersAndWritersAreReturnedAsThemselves(t *testing.T) {
	source := load(t, good+"mixed.qcow2")
	image := openGood(t, "mixed.qcow2", nil)
	broken := &fs.PathError{Op: "read", Path: "object", Err: errors.New("the server is gone")}
	failing := func() io.Reader {
		return io.MultiReader(bytes.NewReader(source[:30_000]), readerFunc(func([]byte) (int, error) { return 0, broken }))
	}
	opened := false
	at := readerAtFunc(func(buf []byte, offset int64) (int, error) {
		if opened {
			return 0, broken
		}
		return bytes.NewReader(source).ReadAt(buf, offset)
	})
	remote, err := OpenReaderAt(background, at, int64(len(source)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	opened = true
	write := writerFunc(func([]byte) (int, error) { return 0, broken })
	refuse := func(Role, string) (ResolvedFile, error) { return ResolvedFile{}, broken }
	target := ToPath(filepath.Join(t.TempDir(), "disk"))
	for name, err := range map[string]error{
		"Reader":             second(ConvertReader(background, failing(), 0, target, nil, nil)),
		"ReaderAt":           second(remote.ReadAt(make([]byte, 1<<20), 0)),
		"ReaderAt converted": second(remote.Convert(background, target, nil)),
		"ReaderAt compared":  second(Compare(background, image, remote, nil)),
		"Writer":             second(image.Convert(background, ToWriter(write), nil)),
		"Resolve":            second(Open(background, good+"chain-top.qcow2", &OpenOptions{Resolve: refuse})),
	} {
		var found *fs.PathError
		var failed *Error
		if !errors.Is(err, broken) || !errors.As(err, &found) || !errors.As(err, &failed) ||
			!strings.Contains(err.Error(), "the server is gone") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ConvertReader(background, io.MultiReader(bytes.NewReader(source[:30_000]),
		failingReader{io.ErrUnexpectedEOF}), 0, target, nil, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestBrokenReadersAndWritersAreErrors(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	target := ToPath(filepath.Join(t.TempDir(), "disk"))
	raw := &OpenOptions{Format: FormatRaw}
	stuck := readerFunc(func([]byte) (int, error) { return 0, nil })
	liar := readerFunc(func(buf []byte) (int, error) { return len(buf) + 1, nil })
	stuckAt := readerAtFunc(func([]byte, int64) (int, error) { return 0, nil })
	short := writerFunc(func(buf []byte) (int, error) { return len(buf) - 1, nil })
	for _, c := range []struct {
		err, want error
	}{
		{second(ConvertReader(background, stuck, 0, target, raw, nil)), io.ErrNoProgress},
		{second(ConvertReader(background, liar, 0, target, raw, nil)), errBadCount},
		{second(OpenReaderAt(background, stuckAt, 1000, nil)), io.ErrNoProgress},
		{second(image.Convert(background, ToWriter(short), nil)), io.ErrShortWrite},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%v, want %v", c.err, c.want)
		}
	}
}
