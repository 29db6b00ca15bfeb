package diskimg

import (
	"io"
	"runtime/cgo"
	"sync/atomic"
)

// ResolvedFile is a file that OpenOptions.Resolve returns.
type ResolvedFile struct {
	// Reader reads the file; see OpenReaderAt.
	Reader io.ReaderAt
	// Size is the length of the file in bytes.
	Size int64
	// Closer is called once, when the file is no longer needed; may be nil.
	Closer io.Closer
}

// imageFiles are the functions of the program that an image uses while it is open. It must not refer to the Image.
type imageFiles struct {
	outcome
	handle  cgo.Handle
	resolve func(role Role, name string) (ResolvedFile, error)
	log     func(severity Severity, message string)
	// used is true if the program provides files, so that reading the disk may call it.
	used atomic.Bool
	// bytes is the copy of an image in memory.
	bytes memory
}

func newImageFiles() *imageFiles {
	files := &imageFiles{}
	files.handle = cgo.NewHandle(files)
	return files
}

// file returns a file for the library.
func (f *imageFiles) file(resolved ResolvedFile) *callbackFile {
	f.used.Store(true)
	return &callbackFile{
		reader: resolved.Reader,
		size:   resolved.Size,
		closer: resolved.Closer,
		owner:  &f.outcome,
	}
}

// release ends the use of the functions and bytes.
func (f *imageFiles) release() {
	f.handle.Delete()
	f.bytes.free()
}
