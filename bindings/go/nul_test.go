package diskimg

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Each text that a program gives to the library: C would read it only up to its NUL.
func TestNULInATextIsRefused(t *testing.T) {
	image := openGood(t, "snapshots.qcow2", nil)
	name := good + "snapshots.qcow2"
	target := filepath.Join(t.TempDir(), "disk")
	opened := func(options OpenOptions) error { return second(Open(background, name, &options)) }
	converted := func(options ConvertOptions) error {
		return second(image.Convert(background, ToPath(target), &options))
	}
	for what, err := range map[string]error{
		"path":               second(Open(background, name+"\x00junk", nil)),
		"empty path":         second(Open(background, "\x00", nil)),
		"format":             opened(OpenOptions{Format: "qcow2\x00junk"}),
		"snapshot":           opened(OpenOptions{Snapshot: "1\x00junk"}),
		"member":             opened(OpenOptions{Member: "disk\x00"}),
		"limits":             opened(OpenOptions{Limits: "snapshots=10\x00,x"}),
		"temporary":          opened(OpenOptions{TemporaryDirectory: "/tmp\x00/x"}),
		"search":             opened(OpenOptions{SearchDirectory: "/tmp\x00/x"}),
		"parent":             opened(OpenOptions{Parents: []Parent{{Path: "/tmp\x00/x"}}}),
		"parent's format":    opened(OpenOptions{Parents: []Parent{{Path: "/tmp", Format: "raw\x00"}}}),
		"prober's format":    second(NewProber(&OpenOptions{Format: "raw\x00"})),
		"stream's member":    second(ConvertReader(background, strings.NewReader(""), 0, ToPath(target), &OpenOptions{Member: "\x00"}, nil)),
		"target":             second(image.Convert(background, ToPath(target+"\x00junk"), nil)),
		"target of a stream": second(ConvertReader(background, strings.NewReader(""), 0, ToPath(target+"\x00junk"), nil, nil)),
		"created":            second(Create(background, ToPath(target+"\x00junk"), 512, nil)),
		"settings":           converted(ConvertOptions{Settings: "x=1\x00"}),
		"target's format":    converted(ConvertOptions{Format: "qcow2\x00"}),
		"measured settings":  second(image.Measure(background, &ConvertOptions{Settings: "x=1\x00"})),
		"file name":          second(image.InfoJSON("a\x00b")),
		"listed format":      second(Settings("qcow2\x00")),
	} {
		if !errors.Is(err, ErrInvalidArgument) || !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "NUL") {
			t.Errorf("%s: %v", what, err)
		}
	}
	absent(t, filepath.Dir(target))
	if _, err := os.Stat(target); err == nil {
		t.Error("a target was created")
	}
	if _, _, err := Detect(strings.NewReader(""), &OpenOptions{Format: "raw\x00"}); !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
}

func TestReferenceKeepsItsNUL(t *testing.T) {
	image, err := Open(background, bad+"q14-backing-nul.qcow2", &OpenOptions{InfoOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	references, err := image.References()
	if err != nil || len(references) != 1 || references[0].Name != "a\x00b" {
		t.Fatalf("%q %v", references, err)
	}
}

func TestNegativeSizesAndUnknownNamesAreRefused(t *testing.T) {
	image := openGood(t, "v3.qcow2", nil)
	target := ToPath(filepath.Join(t.TempDir(), "disk"))
	for what, err := range map[string]error{
		"size of a reader": second(OpenReaderAt(background, bytes.NewReader(nil), -1, nil)),
		"size of a disk":   second(Create(background, target, -1, nil)),
		"format":           second(Open(background, good+"v3.qcow2", &OpenOptions{Format: "floppy"})),
		"target's format":  second(image.Convert(background, target, &ConvertOptions{Format: "floppy"})),
		"target":           second(image.Convert(background, nil, nil)),
		"limits":           second(Open(background, good+"v3.qcow2", &OpenOptions{Limits: "colour=10"})),
		"settings":         second(image.Convert(background, target, &ConvertOptions{Format: "qcow2", Settings: "colour=red"})),
		"sparse size":      second(image.Convert(background, target, &ConvertOptions{SparseSize: 1000})),
	} {
		if !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := image.Convert(background, ToWriter(io.Discard), &ConvertOptions{Format: "qcow2"}); !errors.Is(err, ErrNeedsSeek) {
		t.Error(err)
	}
}
