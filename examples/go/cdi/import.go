package cdi

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"

	diskimg "github.com/diskimg/diskimg/bindings/go"
)

// CacheModeTryNone bypasses the page cache of the target if its file system supports it.
const CacheModeTryNone = "TRY_NONE"

// ImportOptions are the options of Import. The zero value has the defaults.
type ImportOptions struct {
	// Preallocate allocates all space of a file, or writes all zeros to a block device.
	Preallocate bool
	// CacheMode is CacheModeTryNone or empty.
	CacheMode string
	// Checksum is the expected checksum of the source as it is stored, "sha256:HEX" for instance. md5, sha1 and sha512 are
	// possible too. Another checksum is ErrChecksum and leaves no file. A block device contains the disk then.
	Checksum string
	// AvailableSize is the largest virtual size to accept, in bytes; 0 for no limit. A larger disk is ErrLargerPVCRequired,
	// before its data is written.
	AvailableSize int64
}

// ConvertToRawStream converts an image to a raw disk. A file appears when it is complete and durable, and replaces an
// existing one. A block device is written in place.
func (o *Operations) ConvertToRawStream(source *url.URL, dest string, preallocate bool, cacheMode string) error {
	_, err := o.Import(source, dest, ImportOptions{Preallocate: preallocate, CacheMode: cacheMode})
	return err
}

// Import converts an image to a raw disk, as ConvertToRawStream does, and returns the number of bytes of the disk.
//
// A remote image is converted while it is read. If its format does not allow that, Import reads ranges of it; if the server
// does not send ranges or a checksum is requested, it stores the image in the scratch directory.
func (o *Operations) Import(source *url.URL, dest string, options ImportOptions) (int64, error) {
	sum, err := newChecksum(options.Checksum)
	if err != nil {
		return 0, err
	}
	path, err := localPath(source)
	if err != nil {
		return 0, err
	}
	i := &importing{Operations: o, dest: dest, sum: sum}
	if i.isDevice, err = isBlockDevice(dest); err != nil {
		return 0, err
	}
	i.convert = i.convertOptions(options)
	i.open = o.open()
	if options.AvailableSize > 0 {
		i.open.MaxVirtualSize = uint64(options.AvailableSize)
	}
	var result diskimg.ConvertResult
	if path == "" {
		result, err = i.remote(source)
	} else {
		result, err = i.local(path)
	}
	if err != nil {
		return 0, fmt.Errorf("could not convert %s to raw: %w", source.Redacted(), explain(err))
	}
	return result.VirtualSize, nil
}

func (i *importing) convertOptions(options ImportOptions) *diskimg.ConvertOptions {
	convert := &diskimg.ConvertOptions{Overwrite: true, Direct: options.CacheMode == CacheModeTryNone}
	if options.Preallocate && i.isDevice {
		convert.StoreZeros = true
	} else if options.Preallocate {
		convert.Preallocation = diskimg.PreallocationFalloc
	}
	return convert
}

// isBlockDevice reports whether a path is a block device. A path without a file is none.
func isBlockDevice(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.Mode()&fs.ModeDevice != 0 && info.Mode()&fs.ModeCharDevice == 0, nil
}

// explain adds CDI's errors to those of the library.
func explain(err error) error {
	var failed *diskimg.Error
	switch {
	case errors.As(err, &failed) && failed.Limit == "virtual-size":
		return &explained{err, ErrLargerPVCRequired}
	case errors.Is(err, diskimg.ErrNeedsSeek):
		return &explained{err, ErrRequiresScratchSpace}
	}
	return err
}

// explained is an error of the library with its meaning in CDI.
type explained struct {
	error
	meaning error
}

func (e *explained) Is(target error) bool { return target == e.meaning }

func (e *explained) Unwrap() error { return e.error }

// importing is one import.
type importing struct {
	*Operations
	dest    string
	open    *diskimg.OpenOptions
	convert *diskimg.ConvertOptions
	sum     *checksum
	// isDevice is true if dest is a block device.
	isDevice bool
}

func (i *importing) local(path string) (diskimg.ConvertResult, error) {
	if i.sum != nil {
		file, err := os.Open(path)
		if err != nil {
			return diskimg.ConvertResult{}, err
		}
		defer file.Close()
		return i.stream(file, -1)
	}
	image, err := diskimg.Open(i.ctx, path, i.open)
	return i.image(image, err)
}

func (i *importing) remote(source *url.URL) (diskimg.ConvertResult, error) {
	remote, err := i.request(source)
	if err != nil {
		return diskimg.ConvertResult{}, err
	}
	defer remote.Close()
	canSeek := remote.hasRanges && i.sum == nil
	if canSeek {
		i.open.NoTemporary = true // ranges need no scratch space
	}
	body := remote.stream(i.progress())
	defer body.Close()
	result, err := i.stream(body, remote.size)
	if !canSeek || !errors.Is(err, diskimg.ErrNeedsSeek) {
		return result, err
	}
	body.Close()
	i.open.NoTemporary = i.config.ScratchDir == ""
	image, err := diskimg.OpenReaderAt(i.ctx, remote, remote.size, i.open)
	return i.image(image, err)
}

// stream converts an image while it is read; size is -1 if unknown.
func (i *importing) stream(reader io.Reader, size int64) (diskimg.ConvertResult, error) {
	if i.sum != nil {
		reader = i.sum.over(reader)
	}
	// The size of a raw disk is known at the end of the stream. Its space is allocated then.
	convert := *i.convert
	convert.Preallocation = diskimg.PreallocationOff
	result, err := diskimg.ConvertReader(i.ctx, reader, size, diskimg.ToPath(i.dest), i.open, &convert)
	if err != nil {
		return result, err
	}
	if i.sum != nil && !i.sum.isChecked {
		err = fmt.Errorf("%w: the source was not read to its end", ErrChecksum)
	} else if i.convert.Preallocation != diskimg.PreallocationOff {
		err = allocateFile(i.dest, result.VirtualSize)
	}
	if err != nil && !i.isDevice {
		err = firstError(err, os.Remove(i.dest))
	}
	return result, err
}

func allocateFile(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := allocate(file, 0, size); err != nil {
		return err
	}
	return file.Sync()
}

// image converts an image that was opened, and closes it.
func (i *importing) image(image *diskimg.Image, err error) (diskimg.ConvertResult, error) {
	if err != nil {
		return diskimg.ConvertResult{}, err
	}
	defer image.Close()
	if progress := i.progress(); progress != nil {
		i.convert.Progress = func(done, total int64) error {
			progress(done, total)
			return nil
		}
	}
	return image.Convert(i.ctx, diskimg.ToPath(i.dest), i.convert)
}

// progress returns a function that converts bytes to percent; nil if nobody asked for them.
func (i *importing) progress() func(done, total int64) {
	report := i.config.Progress
	if report == nil {
		return nil
	}
	return func(done, total int64) {
		if total > 0 {
			report(100 * float64(done) / float64(total))
		}
	}
}
