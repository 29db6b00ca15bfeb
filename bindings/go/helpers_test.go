package diskimg

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
)

const (
	good = "../../tests/images/good/"
	bad  = "../../tests/images/bad/"
)

var background = context.Background()

func openGood(t testing.TB, name string, options *OpenOptions) *Image {
	t.Helper()
	image, err := Open(background, good+name, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { image.Close() })
	return image
}

// disk returns all bytes of an image.
func disk(t testing.TB, image *Image) []byte {
	t.Helper()
	data, err := io.ReadAll(io.NewSectionReader(image, 0, image.Size()))
	if err != nil || int64(len(data)) != image.Size() {
		t.Fatal(len(data), err)
	}
	return data
}

func load(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func equal(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes differ from the expected %d bytes", len(got), len(want))
	}
}

// absent fails if there is any file in a directory.
func absent(t testing.TB, directory string) {
	t.Helper()
	if names, _ := filepath.Glob(filepath.Join(directory, "*")); len(names) > 0 {
		t.Fatal("files remain:", names)
	}
}

// painted returns bytes that differ from their neighbours.
func painted(length int) []byte {
	data := make([]byte, length)
	for i := range data {
		data[i] = byte(i % 251)
	}
	return data
}
