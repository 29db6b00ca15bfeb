package diskimg

// #include "shim.h"
import "C"

import (
	"context"
	"io"
	"runtime"
	"unsafe"
)

// Image is an open image: its disk and its description. Any number of goroutines may use it. It is an io.ReaderAt.
type Image struct {
	lifetime
	handle *C.diskimg_image
	files  *imageFiles
	size   int64
}

// newImage takes ownership of a handle. The finalizer is a net; programs close their images.
func newImage(handle *C.diskimg_image, files *imageFiles) *Image {
	image := &Image{handle: handle, files: files, size: bounded(C.diskimg_size(handle))}
	runtime.SetFinalizer(image, func(image *Image) {
		if image.lifetime.close() {
			image.free()
		}
	})
	return image
}

func (i *Image) free() {
	C.diskimg_close(i.handle)
	i.files.release()
}

// leave ends a call that used the image.
func (i *Image) leave() {
	if i.lifetime.leave() {
		i.free()
	}
}

// Close closes the image. Calls that use it complete, and the last of them closes its files; later calls return
// os.ErrClosed. A second Close does nothing.
func (i *Image) Close() error {
	runtime.SetFinalizer(i, nil)
	if i.lifetime.close() {
		i.free()
		i.files.resume()
	}
	return nil
}

// Size returns the size of the disk in bytes, also after Close. If a snapshot was opened, that is the snapshot's size. With
// OpenOptions.InfoOnly it is the size stated by the image.
func (i *Image) Size() int64 { return i.size }

// ReadAt reads from the disk, as io.ReaderAt documents.
func (i *Image) ReadAt(buf []byte, offset int64) (int, error) {
	if err := i.enter(); err != nil {
		return 0, err
	}
	defer i.leave()
	if offset < 0 {
		return 0, invalid("offset is %d", offset)
	}
	if len(buf) == 0 {
		return 0, nil
	}
	n, err := i.pread(buf, offset)
	if err == nil && n < len(buf) {
		err = io.EOF
	}
	return n, err
}

func (i *Image) pread(buf []byte, offset int64) (int, error) {
	if !i.files.used.Load() {
		read := C.godiskimg_pread(0, i.handle, unsafe.Pointer(&buf[0]), C.size_t(len(buf)), C.uint64_t(offset))
		return int(read.count), failure(read.status, read.error)
	}
	c := newCall()
	defer c.release()
	read := C.godiskimg_pread(c.id(), i.handle, unsafe.Pointer(&buf[0]), C.size_t(len(buf)), C.uint64_t(offset))
	return int(read.count), c.end(read.status, read.error, &i.files.outcome)
}

// begin begins a call with a context that uses the image. It must be released, and then the image must be left.
func (i *Image) begin(ctx context.Context) (*call, error) {
	c, err := begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := i.enter(); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}
