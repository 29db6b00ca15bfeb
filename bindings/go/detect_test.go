package diskimg

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDetectedStreamIsReadFromItsFirstByte(t *testing.T) {
	size := openGood(t, "v3.qcow2", nil).Size()
	for _, c := range []struct {
		name    string
		format  Format
		wrapper Wrapper
		size    int64
	}{
		{"v3.qcow2", FormatQcow2, WrapperNone, size},
		{"v3.qcow2.gz", FormatQcow2, WrapperGzip, size},
		{"iso9660.iso", FormatRaw, WrapperNone, 45056},
	} {
		data := load(t, good+c.name)
		for way, reader := range map[string]io.Reader{
			"whole":           bytes.NewReader(data),
			"byte by byte":    iotest.OneByteReader(bytes.NewReader(data)),
			"error with data": iotest.DataErrReader(bytes.NewReader(data)),
		} {
			found, replay, err := Detect(reader, nil)
			if err != nil {
				t.Fatal(c.name, way, err)
			}
			if found.Format != c.format || found.Wrapper != c.wrapper || found.VirtualSize != c.size {
				t.Fatal(c.name, way, *found)
			}
			if again, err := io.ReadAll(replay); err != nil || !bytes.Equal(again, data) {
				t.Fatal(c.name, way, "the stream is not the same", err)
			}
		}
	}
}

func TestStreamIsKeptWhenNothingIsDetected(t *testing.T) {
	text := strings.Repeat("no disk at all ", 10_000)
	_, replay, err := Detect(strings.NewReader(text), nil)
	if !errors.Is(err, ErrUnknownFormat) {
		t.Fatal(err)
	}
	if again, err := io.ReadAll(replay); err != nil || string(again) != text {
		t.Fatal(len(again), err)
	}
	gone := errors.New("the server is gone")
	_, replay, err = Detect(io.MultiReader(strings.NewReader("begin"), failingReader{gone}), nil)
	if err != gone {
		t.Fatal(err)
	}
	if again, err := io.ReadAll(replay); err != gone || string(again) != "begin" {
		t.Fatal(string(again), err)
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

func TestDetectReadsNoMoreThanNecessary(t *testing.T) {
	size := openGood(t, "v3.qcow2", nil).Size()
	for _, c := range []struct {
		format Format
		begin  []byte
		size   int64
	}{
		{FormatQcow2, load(t, good+"v3.qcow2"), size},
		{FormatRaw, []byte("no image"), -1},
	} {
		stream := &counter{Reader: io.MultiReader(bytes.NewReader(c.begin), &endless{left: 1 << 30})}
		found, _, err := Detect(stream, &OpenOptions{AllowRaw: true})
		if err != nil || found.Format != c.format || found.VirtualSize != c.size {
			t.Fatal(c.format, found, err)
		}
		if stream.read > 128<<10 {
			t.Fatal(c.format, stream.read)
		}
	}
}

func TestDescriptorIsReadToItsEnd(t *testing.T) {
	text := "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"custom\"\n"
	const lines = 4000
	text += strings.Repeat("RW 1 ZERO\n# twenty-two bytes here\n", lines)
	found, _, err := Detect(strings.NewReader(text), nil)
	if err != nil || found.Format != FormatVMDK || found.VirtualSize != lines*512 || !found.IsComplete {
		t.Fatal(found, err)
	}
}

func TestDetectionHasReferencesAndFindings(t *testing.T) {
	found, _, err := Detect(bytes.NewReader(load(t, good+"chain-top.qcow2")), nil)
	if err != nil || !found.HasBacking {
		t.Fatal(err)
	}
	var info struct {
		Size    int64 `json:"virtual-size"`
		Diskimg struct {
			References []struct{ Role, Name string }
			Findings   []struct{ Check string }
		}
	}
	if err := json.Unmarshal(found.JSON, &info); err != nil {
		t.Fatal(err)
	}
	names, findings := info.Diskimg.References, info.Diskimg.Findings
	if info.Size != found.VirtualSize || len(names) != 1 || names[0].Role != "backing file" ||
		len(findings) != 1 || findings[0].Check != "backing_file" {
		t.Fatal(string(found.JSON))
	}
}

func TestProberDetectsAStreamThatAnotherReads(t *testing.T) {
	prober, err := NewProber(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer prober.Close()
	if state := prober.State(); state != ProbeMore {
		t.Fatal(state)
	}
	if _, err := prober.Info(); !errors.Is(err, ErrUnknownFormat) {
		t.Fatal(err)
	}
	data := load(t, good+"v3.qcow2.gz")
	var stored bytes.Buffer
	if _, err := io.Copy(&stored, io.TeeReader(bytes.NewReader(data), prober)); err != nil {
		t.Fatal(err)
	}
	info, err := prober.Finish()
	if err != nil || info.Format != FormatQcow2 || info.Wrapper != WrapperGzip || !bytes.Equal(stored.Bytes(), data) {
		t.Fatal(info, err)
	}
	if again, err := prober.Info(); err != nil || again != info {
		t.Fatal(again, err)
	}
	if text, err := prober.InfoJSON("name"); err != nil || !bytes.Contains(text, []byte(`"name"`)) {
		t.Fatal(string(text), err)
	}
	prober.Close()
	if err := prober.Close(); err != nil {
		t.Fatal("second Close:", err)
	}
	for name, err := range map[string]error{
		"Write":    second(prober.Write([]byte("more"))),
		"Info":     second(prober.Info()),
		"InfoJSON": second(prober.InfoJSON("")),
		"Finish":   second(prober.Finish()),
	} {
		if err != os.ErrClosed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorsInTheBytesAreReportedByFinish(t *testing.T) {
	prober, err := NewProber(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer prober.Close()
	if n, err := prober.Write([]byte("QFI\xfb")); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := prober.Finish(); !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
}
