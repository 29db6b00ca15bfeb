package diskimg

// #include "shim.h"
import "C"

import (
	"context"
	"io"
	"runtime"
	"unsafe"
)

// ConvertResult is the result of a conversion, in bytes of the disk.
type ConvertResult struct {
	// VirtualSize is the size of the disk.
	VirtualSize int64
	// Written is the number of bytes stored as data, before compression.
	Written int64
	// Copied is the part of Written that the kernel copied from file to file.
	Copied int64
	// Zeros is the number of bytes left as holes or zeros.
	Zeros int64
}

func convertResultOf(raw *C.diskimg_convert_result) ConvertResult {
	return ConvertResult{
		VirtualSize: bounded(raw.virtual_size),
		Written:     bounded(raw.written),
		Copied:      bounded(raw.copied),
		Zeros:       bounded(raw.zeros),
	}
}

// Convert writes the disk to a target.
func (i *Image) Convert(ctx context.Context, target Target, options *ConvertOptions) (ConvertResult, error) {
	c, err := i.begin(ctx)
	if err != nil {
		return ConvertResult{}, err
	}
	defer i.leave()
	defer c.release()
	to, converted, err := c.destination(target, &c.outcome, options)
	if err != nil {
		return ConvertResult{}, err
	}
	result := C.godiskimg_empty_convert_result()
	var cerr *C.diskimg_error
	status := C.godiskimg_convert(c.id(), i.handle, to, converted, &result, &cerr)
	runtime.KeepAlive(target)
	if err := c.end(status, cerr, &i.files.outcome); err != nil {
		return ConvertResult{}, err
	}
	return convertResultOf(&result), nil
}

// ConvertReader converts an image that is read from a stream, such as the body of an HTTP response. length is the expected
// number of bytes of the stream, as in http.Response.ContentLength: a stream with fewer or more bytes is an error and
// leaves no target. 0 or less is an unknown length.
//
// If the format and the target allow it, the image is converted while it is read. Otherwise it is stored in an anonymous
// temporary file first, unless OpenOptions.NoTemporary is set. From an OVA its disk is converted. The members Threads and
// MaxMemory of the options apply only if a temporary file is used. Progress of both
// options receives the progress.
//
// An error of the reader is found with errors.Is and errors.As. If the context ends while a Read blocks, the call returns
// after the Read.
func ConvertReader(ctx context.Context, reader io.Reader, length int64, target Target, open *OpenOptions,
	options *ConvertOptions) (ConvertResult, error) {
	c, err := begin(ctx)
	if err != nil {
		return ConvertResult{}, err
	}
	defer c.release()
	files := newImageFiles()
	defer files.release()
	opened, err := c.openOptions(open, files)
	if err != nil {
		return ConvertResult{}, err
	}
	to, converted, err := c.destination(target, &c.outcome, options)
	if err != nil {
		return ConvertResult{}, err
	}
	result := C.godiskimg_empty_convert_result()
	var cerr *C.diskimg_error
	status := C.godiskimg_convert_stream(c.id(), c.stream(reader, length), opened, to, converted, &result, &cerr)
	runtime.KeepAlive(target)
	runtime.KeepAlive(open)
	if err := c.end(status, cerr, &files.outcome); err != nil {
		return ConvertResult{}, err
	}
	return convertResultOf(&result), nil
}

// stream describes a stream to the library.
func (c *call) stream(reader io.Reader, length int64) *C.diskimg_stream {
	if length < 0 {
		length = 0
	}
	c.reader = &streamReader{Reader: reader}
	stream := (*C.diskimg_stream)(c.block(unsafe.Sizeof(C.diskimg_stream{})))
	C.godiskimg_init_stream(stream, c.id(), C.uint64_t(length))
	return stream
}
