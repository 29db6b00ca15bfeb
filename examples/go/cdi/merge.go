package cdi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	diskimg "github.com/diskimg/diskimg/bindings/go"
)

// bases are the backing files of deltas, for Commit.
type bases struct {
	mutex sync.Mutex
	of    map[string]string
}

// Rebase records the raw backing file of a delta for Commit. The delta is not changed.
func (o *Operations) Rebase(backingFile, delta string) error {
	for _, path := range []string{backingFile, delta} {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	o.bases.mutex.Lock()
	defer o.bases.mutex.Unlock()
	if o.bases.of == nil {
		o.bases.of = map[string]string{}
	}
	o.bases.of[delta] = backingFile
	return nil
}

// Commit writes the changes in a delta to the raw backing file that Rebase recorded. Without a Rebase it fails: the name in
// the delta is untrusted input. After a failure the backing file has a part of the changes; Commit can be repeated.
func (o *Operations) Commit(image string) error {
	o.bases.mutex.Lock()
	base, isKnown := o.bases.of[image]
	o.bases.mutex.Unlock()
	if !isKnown {
		return fmt.Errorf("commit of %s: no backing file is known, call Rebase first: %w", image, diskimg.ErrReference)
	}
	if err := o.merge(image, base); err != nil {
		return fmt.Errorf("commit of %s to %s: %w", image, base, err)
	}
	return nil
}

func (o *Operations) merge(delta, base string) error {
	options := o.open()
	options.AllowRaw = false // a delta has a format
	options.Parents = []diskimg.Parent{{Path: base, Format: diskimg.FormatRaw}}
	image, err := diskimg.Open(o.ctx, delta, options)
	if err != nil {
		return err
	}
	defer image.Close()
	file, err := os.OpenFile(base, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	length, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if length < image.Size() {
		if err := file.Truncate(image.Size()); err != nil {
			return err
		}
	}
	buf := make([]byte, 1<<20)
	err = image.WalkExtents(0, image.Size(), func(extent diskimg.Extent) error {
		if extent.Depth > 0 || !extent.Allocated {
			return nil // the base has it
		}
		if err := o.ctx.Err(); err != nil {
			return err
		}
		if o.config.Progress != nil {
			o.config.Progress(100 * float64(extent.Start) / float64(image.Size()))
		}
		if extent.Zero {
			return writeZeros(file, extent.Start, extent.Start+extent.Length)
		}
		return copyRange(file, image, extent.Start, extent.Length, buf)
	})
	if err != nil {
		return err
	}
	return file.Sync()
}

func copyRange(to io.WriterAt, from io.ReaderAt, offset, length int64, buf []byte) error {
	for length > 0 {
		if length < int64(len(buf)) {
			buf = buf[:length]
		}
		n, err := from.ReadAt(buf, offset)
		if err != nil && !(errors.Is(err, io.EOF) && n == len(buf)) {
			return err
		}
		if _, err := to.WriteAt(buf[:n], offset); err != nil {
			return err
		}
		offset, length = offset+int64(n), length-int64(n)
	}
	return nil
}
