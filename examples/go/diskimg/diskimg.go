// Package diskimg reads and converts virtual-disk images with libdiskimg.
//
// Copy it into your program. It needs cgo, and finds the library with pkg-config.
package diskimg

/*
#cgo pkg-config: diskimg
#include <diskimg.h>
#include <stdlib.h>

extern int goDiskimgProgress(void *user, uint64_t done, uint64_t total);

// C must not store Go pointers, so a cgo.Handle is passed as a number.
static diskimg_status convert(const diskimg_image *image, const char *path, diskimg_format format, uint32_t flags,
                              const char *settings, uintptr_t progress, const diskimg_cancel *cancel,
                              diskimg_error **error) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    options.format = format;
    options.flags = flags;
    options.settings = settings;
    options.cancel = cancel;
    if (progress != 0) {
        options.progress = goDiskimgProgress;
        options.progress_user = (void *)progress;
    }
    diskimg_target target = DISKIMG_TARGET_INIT;
    target.path = path;
    return diskimg_convert(image, &target, &options, NULL, error);
}

static diskimg_status open_image(const char *path, uint32_t flags, diskimg_format format, diskimg_image **image,
                                 diskimg_error **error) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    options.flags = flags;
    options.format = format;
    return diskimg_open_path(path, &options, image, error);
}

static diskimg_status new_probe(uint32_t flags, diskimg_probe **probe, diskimg_error **error) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    options.flags = flags;
    return diskimg_probe_new(&options, probe, error);
}

static diskimg_status probed(diskimg_probe *probe, int ended, diskimg_info *info, diskimg_error **error) {
    diskimg_info known = DISKIMG_INFO_INIT;
    diskimg_status status = ended ? diskimg_probe_finish(probe, &known, error) : diskimg_probe_info(probe, &known, error);
    *info = known;
    return status;
}
*/
import "C"

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"runtime/cgo"
	"syscall"
	"unsafe"
)

// Error is an error of the library: its status, an errno (0 if none), and a message with all causes.
type Error struct {
	Status  int
	Errno   syscall.Errno
	Message string
}

func (e *Error) Error() string { return e.Message }

// Unwrap() returns the error of the system, so that errors.Is finds syscall.ENOSPC or fs.ErrNotExist.
func (e *Error) Unwrap() error {
	if e.Errno != 0 {
		return e.Errno
	}
	if e.Status == C.DISKIMG_ERR_EXISTS {
		return fs.ErrExist
	}
	return nil
}

// ErrUnknownFormat matches, with errors.Is, the error of an unrecognised format.
var ErrUnknownFormat = errors.New("unknown image format")

// Is reports whether the error matches ErrUnknownFormat.
func (e *Error) Is(target error) bool {
	return target == ErrUnknownFormat && e.Status == C.DISKIMG_ERR_UNKNOWN_FORMAT
}

func failure(status C.diskimg_status, err *C.diskimg_error) error {
	if status == C.DISKIMG_OK {
		return nil
	}
	defer C.diskimg_error_free(err)
	return &Error{
		Status:  int(status),
		Errno:   syscall.Errno(C.diskimg_error_os_code(err)),
		Message: C.GoString(C.diskimg_error_message(err)),
	}
}

// Options are the options to open an image with. The zero value is safe for untrusted images.
type Options struct {
	Format     string // detected if empty
	AllowRaw   bool   // read an unknown format as raw
	References bool   // open backing files in the directory of the image
}

// Image is an open image. It is an io.ReaderAt for concurrent use.
type Image struct{ handle *C.diskimg_image }

// Open opens an image. The caller must close it.
func Open(path string, options Options) (*Image, error) {
	var flags C.uint32_t
	if options.AllowRaw {
		flags |= C.DISKIMG_OPEN_ALLOW_RAW
	}
	if options.References {
		flags |= C.DISKIMG_OPEN_REFERENCES
	}
	format, err := formatNumber(options.Format)
	if err != nil {
		return nil, err
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var handle *C.diskimg_image
	var cerr *C.diskimg_error
	status := C.open_image(name, flags, format, &handle, &cerr)
	if err := failure(status, cerr); err != nil {
		return nil, err
	}
	return &Image{handle}, nil
}

// Close closes the image. A second call does nothing. No other call may be using the image.
func (i *Image) Close() error {
	C.diskimg_close(i.handle)
	i.handle = nil
	return nil
}

// Size returns the size of the disk in bytes.
func (i *Image) Size() int64 { return int64(C.diskimg_size(i.handle)) }

// ReadAt implements io.ReaderAt.
func (i *Image) ReadAt(buf []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, syscall.EINVAL
	}
	if len(buf) == 0 {
		return 0, nil
	}
	var read C.size_t
	var cerr *C.diskimg_error
	status := C.diskimg_pread(i.handle, unsafe.Pointer(&buf[0]), C.size_t(len(buf)), C.uint64_t(offset), &read, &cerr)
	if err := failure(status, cerr); err != nil {
		return 0, err
	}
	if int(read) < len(buf) {
		return int(read), io.EOF
	}
	return int(read), nil
}

// Target describes the target of a conversion.
type Target struct {
	Format    string // "raw" if empty
	Settings  string // as for `qemu-img -o`
	Compress  bool
	Overwrite bool
	Progress  func(done, total uint64) // called on the thread of the caller; may be nil
}

//export goDiskimgProgress
func goDiskimgProgress(user unsafe.Pointer, done, total C.uint64_t) C.int {
	cgo.Handle(uintptr(user)).Value().(func(done, total uint64))(uint64(done), uint64(total))
	return 0
}

// Convert writes the disk to a new file, which appears only when it is complete. When the context ends, Convert stops,
// leaves no file, and returns the error of the context.
func (i *Image) Convert(ctx context.Context, path string, target Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	format, err := formatNumber(target.Format)
	if err != nil {
		return err
	}
	var flags C.uint32_t
	if target.Compress {
		flags |= C.DISKIMG_CONVERT_COMPRESS
	}
	if target.Overwrite {
		flags |= C.DISKIMG_CONVERT_OVERWRITE
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var settings *C.char
	if target.Settings != "" {
		settings = C.CString(target.Settings)
		defer C.free(unsafe.Pointer(settings))
	}
	var progress C.uintptr_t
	if target.Progress != nil {
		handle := cgo.NewHandle(target.Progress)
		defer handle.Delete()
		progress = C.uintptr_t(handle)
	}
	cancel := C.diskimg_cancel_new()
	defer C.diskimg_cancel_free(cancel)
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ctx.Done():
			C.diskimg_cancel_trigger(cancel)
		case <-done:
		}
	}()
	var cerr *C.diskimg_error
	status := C.convert(i.handle, name, format, flags, settings, progress, cancel, &cerr)
	close(done)
	<-watched // the flag must not be triggered after it is freed
	err = failure(status, cerr)
	if status == C.DISKIMG_ERR_CANCELLED && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Detected is the result of DetectReader.
type Detected struct {
	Format      string
	Wrapper     string // "gzip", "xz", "zstd" or empty
	VirtualSize int64  // -1 if it is known only at the end of the stream
	// Info is the description of the image, with references and findings, in the format of `qemu-img info --output=json`.
	// If DetectReader stopped early, the virtual size may be absent and lists may be incomplete.
	Info json.RawMessage
	// Reader returns the whole stream, including the bytes that DetectReader has read.
	Reader io.Reader
}

// maxLookahead is the number of bytes of a stream that DetectReader buffers, a little more than a probe stores. Facts
// that are unknown by then are known only at the end of the stream: the size of a raw disk, that it is not a format with
// a trailer, and that an OVA contains no other disk.
const maxLookahead = 2 << 20

// DetectReader detects format and virtual size of an image in a stream. It reads as little as possible, at most 2 MiB.
// The reader in its result returns the stream from its first byte.
func DetectReader(stream io.Reader, allowRaw bool) (*Detected, error) {
	var flags C.uint32_t
	if allowRaw {
		flags |= C.DISKIMG_OPEN_ALLOW_RAW
	}
	var probe *C.diskimg_probe
	var cerr *C.diskimg_error
	if err := failure(C.new_probe(flags, &probe, &cerr), cerr); err != nil {
		return nil, err
	}
	defer C.diskimg_probe_free(probe)
	var seen []byte
	chunk := make([]byte, 32<<10)
	ended := false
	var info C.diskimg_info
	for !ended && len(seen) < maxLookahead {
		n, err := stream.Read(chunk)
		state := C.uint32_t(C.DISKIMG_PROBE_MORE)
		if n > 0 {
			seen = append(seen, chunk[:n]...)
			status := C.diskimg_probe_push(probe, unsafe.Pointer(&chunk[0]), C.size_t(n), &state, &cerr)
			if err := failure(status, cerr); err != nil {
				return nil, err
			}
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		ended = err == io.EOF || state == C.DISKIMG_PROBE_DONE
		if !ended && C.probed(probe, 0, &info, nil) == C.DISKIMG_OK && enough(&info) {
			break
		}
	}
	atEnd := C.int(0)
	if ended {
		atEnd = 1
	}
	if err := failure(C.probed(probe, atEnd, &info, &cerr), cerr); err != nil {
		return nil, err
	}
	var text *C.char
	if err := failure(C.diskimg_probe_info_json(probe, nil, &text, &cerr), cerr); err != nil {
		return nil, err
	}
	defer C.diskimg_string_free(text)
	detected := &Detected{
		Format:      C.GoString(C.diskimg_format_name(info.format)),
		Wrapper:     map[C.diskimg_wrapper]string{1: "gzip", 2: "xz", 3: "zstd"}[info.wrapper],
		VirtualSize: -1,
		Info:        json.RawMessage(C.GoString(text)),
		Reader:      io.MultiReader(bytes.NewReader(seen), stream),
	}
	if info.flags&C.DISKIMG_INFO_SIZE_KNOWN != 0 {
		detected.VirtualSize = int64(info.virtual_size)
	}
	return detected, nil
}

// enough reports whether format and size stay the same until the end of the stream.
func enough(info *C.diskimg_info) bool {
	return info.flags&C.DISKIMG_INFO_SIZE_KNOWN != 0 || info.format == C.DISKIMG_FORMAT_RAW
}

func formatNumber(name string) (C.diskimg_format, error) {
	if name == "" {
		return C.DISKIMG_FORMAT_AUTO, nil
	}
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	number := C.diskimg_format_by_name(text)
	if number == C.DISKIMG_FORMAT_AUTO {
		return 0, &Error{Status: C.DISKIMG_ERR_INVALID_ARGUMENT, Message: "unknown format " + name}
	}
	return number, nil
}
