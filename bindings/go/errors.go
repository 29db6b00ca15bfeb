package diskimg

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"syscall"
)

// Error is the error of a failed call.
//
// errors.Is matches it with its Status, with its Errno and what the Errno means in io/fs, and with the error that a reader,
// writer or function of the program returned.
type Error struct {
	// Status is the kind of the error.
	Status Status
	// Errno is the error of the system; 0 if there is none.
	Errno syscall.Errno
	// Fault is the party that caused the error.
	Fault Fault
	// Message is one line with all causes, without a full stop. Names from an image are escaped.
	Message string
	// Hint is a sentence that suggests how to avoid the error; empty if there is none.
	Hint string
	// Format is the name of the format that was recognised, also of an unsupported one such as "vhdx"; empty if none was.
	Format string
	// Limit is the name of the limit that was met, as in Limits; empty if none was.
	Limit string
	// Offset is the byte offset in the image file; -1 if there is none.
	Offset int64
	// GuestOffset is the byte offset in the disk; -1 if there is none.
	GuestOffset int64

	cause error
}

// Error returns the message, and the error of the program that caused it.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.cause.Error()
}

// Is reports whether the error has this Status or Errno, or the meaning of this error of io/fs.
func (e *Error) Is(target error) bool {
	if errors.Is(e.Status, target) {
		return true
	}
	return e.Errno != 0 && errors.Is(e.Errno, target)
}

// Unwrap() returns the error of the program that caused this error, or the Errno; nil if there is neither.
func (e *Error) Unwrap() error {
	if e.cause != nil {
		return e.cause
	}
	if e.Errno != 0 {
		return e.Errno
	}
	return nil
}

// As stores the Errno in a *syscall.Errno.
func (e *Error) As(target any) bool {
	errno, ok := target.(*syscall.Errno)
	if ok = ok && e.Errno != 0; ok {
		*errno = e.Errno
	}
	return ok
}

// take converts an error of the library and frees it. It returns nil after a success.
func take(status C.diskimg_status, err *C.diskimg_error) *Error {
	if status == C.DISKIMG_OK {
		return nil
	}
	defer C.diskimg_error_free(err)
	failed := &Error{
		Status:      Status(status),
		Errno:       syscall.Errno(C.diskimg_error_os_code(err)),
		Fault:       Fault(C.diskimg_error_fault(err)),
		Message:     C.GoString(C.diskimg_error_message(err)),
		Hint:        C.GoString(C.diskimg_error_hint(err)),
		Format:      C.GoString(C.diskimg_error_format(err)),
		Limit:       C.GoString(C.diskimg_error_limit(err)),
		Offset:      -1,
		GuestOffset: -1,
	}
	var offset C.uint64_t
	if C.diskimg_error_offset(err, &offset) {
		failed.Offset = bounded(offset)
	}
	if C.diskimg_error_guest_offset(err, &offset) {
		failed.GuestOffset = bounded(offset)
	}
	return failed
}

// failure is take as an error.
func failure(status C.diskimg_status, err *C.diskimg_error) error {
	if failed := take(status, err); failed != nil {
		return failed
	}
	return nil
}

// bounded converts a number of bytes; a larger one becomes the largest int64.
func bounded(bytes C.uint64_t) int64 {
	if bytes > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(bytes)
}

// invalid returns the error of an argument that Go refuses.
func invalid(format string, values ...any) error {
	return &Error{
		Status:      ErrInvalidArgument,
		Errno:       syscall.EINVAL,
		Fault:       FaultCaller,
		Message:     fmt.Sprintf(format, values...),
		Offset:      -1,
		GuestOffset: -1,
	}
}

// checkNUL refuses a text that C would read only up to its NUL.
func checkNUL(name, value string) error {
	if at := strings.IndexByte(value, 0); at >= 0 {
		return invalid("%s contains a NUL at byte %d", name, at)
	}
	return nil
}

// errnoOf returns the errno that reports an error of the program to the library.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	switch {
	// The library would repeat an interrupted call.
	case errors.As(err, &errno) && errno > 0 && errno != syscall.EINTR:
		return errno
	case errors.Is(err, fs.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, fs.ErrExist):
		return syscall.EEXIST
	case errors.Is(err, fs.ErrPermission):
		return syscall.EACCES
	case errors.Is(err, os.ErrClosed):
		return syscall.EBADF
	case errors.Is(err, context.Canceled):
		return syscall.ECANCELED
	case errors.Is(err, context.DeadlineExceeded):
		return syscall.ETIMEDOUT
	}
	return syscall.EIO
}
