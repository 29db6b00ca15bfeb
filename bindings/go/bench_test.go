package diskimg

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

const benchSize = 256 << 20

// benchDisk returns the path of a raw disk and of its qcow2.
func benchDisk(b *testing.B) (raw, qcow2 string) {
	b.Helper()
	raw = filepath.Join(b.TempDir(), "disk.raw")
	if err := os.WriteFile(raw, painted(benchSize), 0o600); err != nil {
		b.Fatal(err)
	}
	image, err := Open(background, raw, &OpenOptions{Format: FormatRaw})
	if err != nil {
		b.Fatal(err)
	}
	defer image.Close()
	qcow2 = raw + ".qcow2"
	options := &ConvertOptions{Format: FormatQcow2, NoSync: true}
	if _, err := image.Convert(background, ToPath(qcow2), options); err != nil {
		b.Fatal(err)
	}
	return raw, qcow2
}

func benchReadAt(b *testing.B, image *Image, length int) {
	buf := make([]byte, length)
	b.SetBytes(int64(length))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, err := image.ReadAt(buf, int64(i*length)%(benchSize-int64(length))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadAt(b *testing.B) {
	_, path := benchDisk(b)
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		b.Fatal(err)
	}
	byPath, err := Open(background, path, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer byPath.Close()
	byReader, err := OpenReaderAt(background, file, stat.Size(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer byReader.Close()
	for _, c := range []struct {
		name   string
		image  *Image
		length int
	}{
		{"path/4k", byPath, 4 << 10}, {"path/1M", byPath, 1 << 20},
		{"reader/4k", byReader, 4 << 10}, {"reader/1M", byReader, 1 << 20},
	} {
		b.Run(c.name, func(b *testing.B) { benchReadAt(b, c.image, c.length) })
	}
}

func BenchmarkConvert(b *testing.B) {
	_, path := benchDisk(b)
	data := load(b, path)
	target := filepath.Join(b.TempDir(), "target")
	options := &ConvertOptions{Overwrite: true, NoSync: true}
	run := func(name string, convert func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchSize)
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				if err := convert(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("path to path", func() error {
		image, err := Open(background, path, nil)
		if err != nil {
			return err
		}
		defer image.Close()
		return second(image.Convert(background, ToPath(target), options))
	})
	run("reader to path", func() error {
		image, err := OpenReaderAt(background, bytes.NewReader(data), int64(len(data)), nil)
		if err != nil {
			return err
		}
		defer image.Close()
		return second(image.Convert(background, ToPath(target), options))
	})
	run("stream to path", func() error {
		return second(ConvertReader(background, bytes.NewReader(data), 0, ToPath(target), nil, options))
	})
	run("stream to writer", func() error {
		return second(ConvertReader(background, bytes.NewReader(data), 0, ToWriter(io.Discard), nil, options))
	})
}
