package diskimg

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

// direct reads through Image.ReadAt, where a SectionReader would check the range first.
type direct struct {
	*io.SectionReader
	image *Image
}

func (d direct) ReadAt(buf []byte, offset int64) (int, error) { return d.image.ReadAt(buf, offset) }

func TestImageIsAReaderAt(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	want := disk(t, image)
	if err := iotest.TestReader(io.NewSectionReader(image, 0, image.Size()), want); err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(direct{io.NewSectionReader(image, 0, image.Size()), image}, want); err != nil {
		t.Fatal(err)
	}
}

func TestReadAtTheEdges(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	size := image.Size()
	for _, c := range []struct {
		offset int64
		length int
		n      int
		err    error
	}{
		{size, 10, 0, io.EOF},
		{size + 1, 10, 0, io.EOF},
		{1<<63 - 1, 10, 0, io.EOF},
		{size - 4, 10, 4, io.EOF},
		{size - 10, 10, 10, nil},
		{0, 0, 0, nil},
		{-1, 10, 0, syscall.EINVAL},
		{-1, 0, 0, syscall.EINVAL},
	} {
		n, err := image.ReadAt(make([]byte, c.length), c.offset)
		if n != c.n || !errors.Is(err, c.err) || (c.err == io.EOF && err != io.EOF) {
			t.Errorf("%d bytes at %d: %d, %v", c.length, c.offset, n, err)
		}
	}
}

func TestManyGoroutinesReadOneImage(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	want := disk(t, image)
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
}

// gate is a reader whose calls wait once it is shut.
type gate struct {
	io.ReaderAt
	shut, entered, leave chan struct{}
}

func (g *gate) ReadAt(buf []byte, offset int64) (int, error) {
	select {
	case <-g.shut:
		close(g.entered)
		<-g.leave
	default:
	}
	return g.ReaderAt.ReadAt(buf, offset)
}

func TestCloseDuringReadAtLetsItComplete(t *testing.T) {
	data := painted(1 << 20)
	reader := &gate{bytes.NewReader(data), make(chan struct{}), make(chan struct{}), make(chan struct{})}
	image, err := OpenReaderAt(background, reader, int64(len(data)), &OpenOptions{Format: FormatRaw})
	if err != nil {
		t.Fatal(err)
	}
	close(reader.shut)
	read := make(chan error)
	go func() {
		buf := make([]byte, 1000)
		_, err := image.ReadAt(buf, 500_000)
		if err == nil && !bytes.Equal(buf, data[500_000:501_000]) {
			err = errors.New("read differs")
		}
		read <- err
	}()
	<-reader.entered
	if err := image.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := image.ReadAt(make([]byte, 1), 0); err != os.ErrClosed {
		t.Fatal(err)
	}
	close(reader.leave)
	if err := <-read; err != nil {
		t.Fatal(err)
	}
}

func TestManyReadersSurviveClose(t *testing.T) {
	for i := 0; i < 50; i++ {
		image, err := Open(background, good+"deflate.qcow2", nil)
		if err != nil {
			t.Fatal(err)
		}
		var readers sync.WaitGroup
		for j := 0; j < 4; j++ {
			readers.Add(1)
			go func() {
				defer readers.Done()
				buf := make([]byte, 70_000)
				for offset := int64(0); ; offset = (offset + 65536) % image.Size() {
					if _, err := image.ReadAt(buf, offset); err == os.ErrClosed {
						return
					} else if err != nil && err != io.EOF {
						t.Error(err)
						return
					}
				}
			}()
		}
		time.Sleep(time.Millisecond)
		image.Close()
		readers.Wait()
	}
}

func TestClosedImageRefusesEachCall(t *testing.T) {
	image, other := openGood(t, "v3.qcow2", nil), openGood(t, "v3.qcow2", nil)
	image.Close()
	if err := image.Close(); err != nil {
		t.Fatal("second Close:", err)
	}
	for name, err := range map[string]error{
		"ReadAt":     second(image.ReadAt(make([]byte, 1), 0)),
		"Info":       second(image.Info()),
		"InfoJSON":   second(image.InfoJSON("")),
		"References": second(image.References()),
		"Snapshots":  second(image.Snapshots()),
		"Findings":   second(image.Findings()),
		"Extents":    second(image.Extents(0, 1)),
		"Convert":    second(image.Convert(background, ToPath(t.TempDir()+"/x"), nil)),
		"Measure":    second(image.Measure(background, nil)),
		"Check":      second(image.Check(background, nil)),
		"Compare a":  second(Compare(background, image, other, nil)),
		"Compare b":  second(Compare(background, other, image, nil)),
	} {
		if err != os.ErrClosed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if image.Size() != other.Size() {
		t.Error("size", image.Size())
	}
}

// second returns the error of a call.
func second[T any](_ T, err error) error { return err }

// counted counts the open readers.
type counted struct {
	io.ReaderAt
	closed chan struct{}
}

func (c counted) Close() error {
	close(c.closed)
	return nil
}

func TestForgottenImageIsClosedByItsFinalizer(t *testing.T) {
	base := counted{bytes.NewReader(load(t, good+"chain-middle.qcow2")), make(chan struct{})}
	lower := bytes.NewReader(load(t, good+"chain-base.qcow2"))
	func() {
		image, err := Open(background, good+"chain-top.qcow2", &OpenOptions{
			Resolve: func(role Role, name string) (ResolvedFile, error) {
				if name == "chain-middle.qcow2" {
					return ResolvedFile{base, base.ReaderAt.(*bytes.Reader).Size(), base}, nil
				}
				return ResolvedFile{Reader: lower, Size: lower.Size()}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		disk(t, image)
	}()
	for i := 0; i < 100; i++ {
		runtime.GC()
		select {
		case <-base.closed:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("the file of a forgotten image is open")
}

func TestInfoDescribesTheImage(t *testing.T) {
	info, err := openGood(t, "zstd.qcow2", nil).Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Format != FormatQcow2 || info.Version != 3 || info.Compression != "zstd" || info.ClusterSize != 4096 ||
		info.VirtualSize <= 0 || info.FileSize <= 0 || info.AllocatedSize <= 0 || info.HasBacking {
		t.Fatalf("%+v", info)
	}
	packed, err := openGood(t, "v3.qcow2.gz", nil).Info()
	if err != nil || packed.Format != FormatQcow2 || packed.Wrapper != WrapperGzip {
		t.Fatalf("%+v %v", packed, err)
	}
	disc, err := openGood(t, "iso9660.iso", nil).Info()
	if err != nil || disc.Format != FormatRaw || !disc.IsOpticalDisc {
		t.Fatalf("%+v %v", disc, err)
	}
}

func TestInfoJSONHasTheGivenName(t *testing.T) {
	text, err := openGood(t, "v3.qcow2", nil).InfoJSON("other name")
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Filename string `json:"filename"`
		Format   string `json:"format"`
	}
	if err := json.Unmarshal(text, &info); err != nil || info.Filename != "other name" || info.Format != "qcow2" {
		t.Fatal(info, err)
	}
}

func TestListsOfAnImage(t *testing.T) {
	image := openGood(t, "chain-top.qcow2", &OpenOptions{InfoOnly: true})
	references, err := image.References()
	if err != nil || len(references) != 1 || references[0].Role != RoleBacking ||
		references[0].Name != "chain-middle.qcow2" || references[0].Offset <= 0 {
		t.Fatal(references, err)
	}
	findings, err := image.Findings()
	if err != nil || len(findings) != 1 || findings[0].Check != "backing_file" {
		t.Fatal(findings, err)
	}
	snapshots, err := openGood(t, "snapshots.qcow2", nil).Snapshots()
	if err != nil || len(snapshots) == 0 || snapshots[0].ID == "" || snapshots[0].VirtualSize <= 0 {
		t.Fatal(snapshots, err)
	}
	active := disk(t, openGood(t, "snapshots.qcow2", nil))
	for _, name := range []string{snapshots[0].ID, snapshots[0].Name} {
		if bytes.Equal(disk(t, openGood(t, "snapshots.qcow2", &OpenOptions{Snapshot: name})), active) {
			t.Fatal("the snapshot has the bytes of the active state")
		}
	}
}

func TestExtentsTileTheDisk(t *testing.T) {
	for _, name := range []string{"mixed.qcow2", "cluster-512.qcow2", "stream.vmdk", "large-sparse.qcow2", "size-0.qcow2"} {
		image := openGood(t, name, nil)
		extents, err := image.Extents(0, image.Size())
		if err != nil {
			t.Fatal(name, err)
		}
		end := int64(0)
		for _, extent := range extents {
			if extent.Start != end || extent.Length <= 0 || extent.Data == extent.Zero {
				t.Fatalf("%s: %+v after %d", name, extent, end)
			}
			if extent.Zero && extent.Length < 1<<24 {
				buf := make([]byte, extent.Length)
				if _, err := image.ReadAt(buf, extent.Start); err != nil || len(bytes.Trim(buf, "\x00")) > 0 {
					t.Fatalf("%s: %+v is not zero: %v", name, extent, err)
				}
			}
			end += extent.Length
		}
		if end != image.Size() {
			t.Fatal(name, end)
		}
	}
}

func TestExtentsOfAnInvalidRangeAreRefused(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	for _, c := range []struct {
		offset, length int64
		want           error
	}{{-1, 1, ErrInvalidArgument}, {0, -1, ErrInvalidArgument}, {image.Size(), 1, ErrOutOfBounds}} {
		if _, err := image.Extents(c.offset, c.length); !errors.Is(err, c.want) {
			t.Error(c, err)
		}
	}
	stop := errors.New("enough")
	if err := image.WalkExtents(0, image.Size(), func(Extent) error { return stop }); err != stop {
		t.Error(err)
	}
}
