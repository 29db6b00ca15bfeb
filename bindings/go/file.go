package diskimg

// #include "shim.h"
import "C"

import (
	"io"
	"runtime/cgo"
)

// HoleReader is an optional interface of the reader of OpenReaderAt and of ResolvedFile.
type HoleReader interface {
	// NextData returns the first range of data that ends after offset. The bytes between ranges of data are holes. If
	// there is no such range, start is the size of the file. Any other range that is empty or ends before offset is an error.
	NextData(offset int64) (start, end int64, err error)
}

// ZeroWriter is an optional interface of the writer of ToWriterAt.
type ZeroWriter interface {
	// WriteZeroes makes length bytes at offset read as zeros.
	WriteZeroes(offset, length int64) error
}

// Truncater is an optional interface of the writer of ToWriterAt, which *os.File has.
type Truncater interface {
	// Truncate sets the length of the file. A longer file reads as zeros after its old end.
	Truncate(size int64) error
}

// Syncer is an optional interface of the writer of ToWriterAt, which *os.File has.
type Syncer interface {
	// Sync makes all writes durable.
	Sync() error
}

// callbackFile is a file of the program that the library uses. The library closes it.
type callbackFile struct {
	reader io.ReaderAt
	size   int64
	writer io.WriterAt
	closer io.Closer
	handle cgo.Handle
	// owner receives the outcome of callbacks on threads without a call.
	owner *outcome
}

// fill describes the file to the library.
func (f *callbackFile) fill(io *C.diskimg_io) {
	var functions C.uint32_t
	if f.reader != nil {
		functions |= C.GODISKIMG_READ
		if _, ok := f.reader.(HoleReader); ok {
			functions |= C.GODISKIMG_NEXT_DATA
		}
	}
	if f.writer != nil {
		functions |= C.GODISKIMG_WRITE | writerFunctions(f.writer)
	}
	f.handle = cgo.NewHandle(f)
	C.godiskimg_fill_io(io, C.uintptr_t(f.handle), functions)
}

func writerFunctions(writer io.WriterAt) (functions C.uint32_t) {
	if _, ok := writer.(ZeroWriter); ok {
		functions |= C.GODISKIMG_ZERO
	}
	if _, ok := writer.(Truncater); ok {
		functions |= C.GODISKIMG_SET_SIZE
	}
	if _, ok := writer.(Syncer); ok {
		functions |= C.GODISKIMG_FLUSH
	}
	return functions
}

// readAt reads from the file into buf, as the library expects it: 0 bytes mean the end of the file.
func (f *callbackFile) readAt(buf []byte, offset int64) (int, error) {
	n, err := f.reader.ReadAt(buf, offset)
	switch {
	case n < 0 || n > len(buf):
		return 0, errBadCount
	case n > 0 && (err == nil || err == io.EOF || n == len(buf)):
		return n, nil
	case err == io.EOF:
		return 0, nil
	case err == nil:
		return 0, io.ErrNoProgress
	}
	return 0, err
}

// writeAt writes all of buf to the file.
func (f *callbackFile) writeAt(buf []byte, offset int64) error {
	n, err := f.writer.WriteAt(buf, offset)
	if err == nil && n != len(buf) {
		return io.ErrShortWrite
	}
	return err
}
