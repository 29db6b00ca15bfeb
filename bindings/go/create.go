package diskimg

// #include "shim.h"
import "C"

import (
	"context"
	"runtime"
	"sync"
	"unsafe"
)

// Writer writes a disk. Bytes that are never written read as zeros. The image becomes valid with Finish. Any number of
// goroutines may write different ranges. It is an io.WriterAt.
type Writer struct {
	lifetime
	// finishing admits either writes or Finish.
	finishing sync.RWMutex
	handle    *C.diskimg_writer
	outcome   *outcome
	// ctx and canceller are those of the creation. The library uses the flag until the writer is freed.
	ctx       context.Context
	canceller *canceller
	// target keeps a file of the program from being collected.
	target Target
}

// Create creates a disk of size bytes in a target, which must not be a stream unless the format is written in order. The
// file appears with Finish. The writer must be closed. The context is used until then: once it ends, all calls of the writer
// return its error.
func Create(ctx context.Context, target Target, size int64, options *ConvertOptions) (*Writer, error) {
	if size < 0 {
		return nil, invalid("size is %d", size)
	}
	c, err := begin(ctx)
	if err != nil {
		return nil, err
	}
	defer c.release()
	owner := &outcome{}
	to, converted, err := c.destination(target, owner, options)
	if err != nil {
		return nil, err
	}
	var handle *C.diskimg_writer
	var cerr *C.diskimg_error
	status := C.godiskimg_create(c.id(), to, C.uint64_t(size), converted, &handle, &cerr)
	defer func() {
		if !c.isLent { // also after a panic of a function of the program
			C.diskimg_writer_free(handle)
		}
	}()
	if err := c.end(status, cerr, owner); err != nil {
		return nil, err
	}
	c.isLent = true
	writer := &Writer{handle: handle, outcome: owner, ctx: ctx, canceller: c.canceller, target: target}
	return newWriter(writer), nil
}

// newWriter sets the finalizer, which is a net; programs close their writers.
func newWriter(writer *Writer) *Writer {
	runtime.SetFinalizer(writer, func(writer *Writer) {
		if writer.lifetime.close() {
			writer.free()
		}
	})
	return writer
}

func (w *Writer) free() {
	C.diskimg_writer_free(w.handle)
	w.canceller.free()
}

func (w *Writer) leave() {
	if w.lifetime.leave() {
		w.free()
	}
}

// WriteAt writes all of buf at offset of the disk. With ConvertOptions.Compress, a cluster or grain written whole in one
// call is compressed and cannot be rewritten (ErrInvalidArgument). A part of one is stored uncompressed. A streamOptimized
// VMDK accepts only ascending offsets (ErrNeedsSeek). A range that extends past the end of the disk is ErrOutOfBounds.
func (w *Writer) WriteAt(buf []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, invalid("offset is %d", offset)
	}
	err := w.during(func(c *call, cerr **C.diskimg_error) C.diskimg_status {
		var first unsafe.Pointer
		if len(buf) > 0 {
			first = unsafe.Pointer(&buf[0])
		}
		return C.godiskimg_write(c.id(), w.handle, first, C.size_t(len(buf)), C.uint64_t(offset), cerr)
	})
	if err != nil {
		return 0, err
	}
	return len(buf), nil
}

// WriteZeroes makes length bytes at offset of the disk read as zeros. It is cheap for ranges that were never written.
// Otherwise the same as WriteAt.
func (w *Writer) WriteZeroes(offset, length int64) error {
	if offset < 0 || length < 0 {
		return invalid("the range is %d bytes at %d", length, offset)
	}
	return w.during(func(c *call, cerr **C.diskimg_error) C.diskimg_status {
		return C.godiskimg_write_zeroes(c.id(), w.handle, C.uint64_t(offset), C.uint64_t(length), cerr)
	})
}

// during calls a function of the library that may run concurrently.
func (w *Writer) during(function func(*call, **C.diskimg_error) C.diskimg_status) error {
	w.finishing.RLock()
	defer w.finishing.RUnlock()
	return w.use(function)
}

// use calls a function of the library.
func (w *Writer) use(function func(*call, **C.diskimg_error) C.diskimg_status) error {
	if err := w.enter(); err != nil {
		return err
	}
	defer w.leave()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	c := newCall()
	defer c.release()
	c.use(w.ctx, w.canceller)
	c.isLent = true
	var cerr *C.diskimg_error
	status := function(c, &cerr)
	return c.end(status, cerr, w.outcome)
}

// Finish completes the disk, after the writes that run: the image is valid afterwards, and its file appears. After this
// call, successful or not, the writer can only be closed. A failure leaves no valid image.
func (w *Writer) Finish() error {
	w.finishing.Lock()
	defer w.finishing.Unlock()
	return w.use(func(c *call, cerr **C.diskimg_error) C.diskimg_status {
		return C.godiskimg_finish(c.id(), w.handle, cerr)
	})
}

// Close closes the writer. If it is not finished, no file remains at a path, and no valid image remains elsewhere. Calls
// that use the writer complete; later calls return os.ErrClosed. A second Close does nothing.
func (w *Writer) Close() error {
	runtime.SetFinalizer(w, nil)
	if w.lifetime.close() {
		w.free()
		w.outcome.resume()
	}
	return nil
}
