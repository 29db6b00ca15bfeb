package diskimg

// #include "shim.h"
import "C"

import (
	"context"
	"io"
	"os"
	"runtime"
	"unsafe"
)

// Open opens the image in a file or block device, and the files that it refers to as far as the options allow. The image
// must be closed. The context ends the call, not the use of the image.
func Open(ctx context.Context, path string, options *OpenOptions) (*Image, error) {
	return open(ctx, options, func(o opening) C.diskimg_status {
		name, err := o.path("path", path)
		if err != nil {
			return o.refuse(err)
		}
		return C.godiskimg_open_path(o.id(), name, o.options, o.out, o.err)
	})
}

// OpenFile opens the image in a file that is open for reading. The descriptor is duplicated: the program closes its file
// when it wants. The position of the file is neither used nor moved. Otherwise the same as Open.
func OpenFile(ctx context.Context, file *os.File, options *OpenOptions) (*Image, error) {
	return open(ctx, options, func(o opening) C.diskimg_status {
		status := C.godiskimg_open_fd(o.id(), C.int(file.Fd()), o.options, o.out, o.err)
		runtime.KeepAlive(file)
		return status
	})
}

// OpenBytes opens the image in a copy of data. OpenReaderAt with a bytes.Reader copies nothing. Otherwise the same as Open.
func OpenBytes(ctx context.Context, data []byte, options *OpenOptions) (*Image, error) {
	return open(ctx, options, func(o opening) C.diskimg_status {
		copied := o.files.bytes.bytes(data)
		return C.godiskimg_open_memory(o.id(), copied, C.size_t(len(data)), o.options, o.out, o.err)
	})
}

// OpenReaderAt opens the image in a file of size bytes that the program reads: an object in a store, ranges of an HTTP
// resource. The reader may be a HoleReader. Several goroutines call it concurrently, until the image is closed and all
// calls that use it have returned. An error of the reader is found with errors.Is and errors.As. Otherwise the same as
// Open.
func OpenReaderAt(ctx context.Context, reader io.ReaderAt, size int64, options *OpenOptions) (*Image, error) {
	if size < 0 {
		return nil, invalid("size is %d", size)
	}
	return open(ctx, options, func(o opening) C.diskimg_status {
		file := (*C.diskimg_io)(o.block(unsafe.Sizeof(C.diskimg_io{})))
		o.files.file(ResolvedFile{Reader: reader, Size: size}).fill(file)
		return C.godiskimg_open_io(o.id(), file, o.options, o.out, o.err)
	})
}

// opening is a call that opens an image.
type opening struct {
	*call
	files   *imageFiles
	options *C.diskimg_open_options
	out     **C.diskimg_image
	err     **C.diskimg_error
	refused *error
}

// refuse ends a call whose arguments the binding refuses.
func (o opening) refuse(err error) C.diskimg_status {
	*o.refused = err
	return C.DISKIMG_ERR_INVALID_ARGUMENT
}

// open calls a function of the library that opens an image.
func open(ctx context.Context, options *OpenOptions, function func(opening) C.diskimg_status) (*Image, error) {
	c, err := begin(ctx)
	if err != nil {
		return nil, err
	}
	defer c.release()
	files := newImageFiles()
	var handle *C.diskimg_image
	opened := false
	defer func() {
		if !opened { // also after a panic of a function of the program
			C.diskimg_close(handle)
			files.release()
		}
	}()
	converted, err := c.openOptions(options, files)
	if err != nil {
		return nil, err
	}
	var cerr *C.diskimg_error
	var refused error
	status := function(opening{c, files, converted, &handle, &cerr, &refused})
	if options != nil {
		runtime.KeepAlive(options.Directory)
	}
	if refused != nil {
		return nil, refused
	}
	if err := c.end(status, cerr, &files.outcome); err != nil {
		return nil, err
	}
	opened = true
	return newImage(handle, files), nil
}
