package diskimg

// #include "shim.h"
import "C"

import "io/fs"

// Status is the kind of an error. The constants match an *Error with errors.Is.
type Status int

// The kinds of errors. The library may add others.
const (
	// ErrInvalidArgument is an invalid option, range or name.
	ErrInvalidArgument Status = C.DISKIMG_ERR_INVALID_ARGUMENT
	// ErrIO is an error of the system, or of a reader, writer or function of the program.
	ErrIO Status = C.DISKIMG_ERR_IO
	// ErrCancelled is a call that the program cancelled. If its context ended, the call returns the error of the context.
	ErrCancelled Status = C.DISKIMG_ERR_CANCELLED
	// ErrUnknownFormat is a file that no format recognises, if raw is not requested.
	ErrUnknownFormat Status = C.DISKIMG_ERR_UNKNOWN_FORMAT
	// ErrUnsupported is a valid image with an unsupported version, feature or format.
	ErrUnsupported Status = C.DISKIMG_ERR_UNSUPPORTED
	// ErrCorrupt is an image that contradicts itself or its specification.
	ErrCorrupt Status = C.DISKIMG_ERR_CORRUPT
	// ErrTruncated is an image that ends before data that it refers to.
	ErrTruncated Status = C.DISKIMG_ERR_TRUNCATED
	// ErrLimit is an image that exceeds a limit. Error.Limit names it.
	ErrLimit Status = C.DISKIMG_ERR_LIMIT
	// ErrReference is a reference to another file, access to which is refused.
	ErrReference Status = C.DISKIMG_ERR_REFERENCE
	// ErrEncrypted is an image with encrypted content.
	ErrEncrypted Status = C.DISKIMG_ERR_ENCRYPTED
	// ErrAmbiguous is a file that is valid as more than one format.
	ErrAmbiguous Status = C.DISKIMG_ERR_AMBIGUOUS
	// ErrOutOfBounds is a range that extends past the end of the disk.
	ErrOutOfBounds Status = C.DISKIMG_ERR_OUT_OF_BOUNDS
	// ErrNeedsSeek is an operation that must seek back in a stream.
	ErrNeedsSeek Status = C.DISKIMG_ERR_NEEDS_SEEK
	// ErrExists is a target that exists, if ConvertOptions.Overwrite is not set. It also matches fs.ErrExist.
	ErrExists Status = C.DISKIMG_ERR_EXISTS
	// ErrInUse is a file that another process uses.
	ErrInUse Status = C.DISKIMG_ERR_IN_USE
	// ErrInternal is a bug in the library. The Image, Writer or Prober fails from then on; close it.
	ErrInternal Status = C.DISKIMG_ERR_INTERNAL
)

// Error returns the name of the status, such as "corrupt".
func (s Status) Error() string { return C.GoString(C.diskimg_status_name(C.diskimg_status(s))) }

// Is reports whether the status has the meaning of an error of io/fs.
func (s Status) Is(target error) bool { return s == ErrExists && target == fs.ErrExist }

// Fault is the party that caused an error.
type Fault int

// The causes of errors. The library may add others.
const (
	// FaultUnknown is an error of unknown cause.
	FaultUnknown Fault = C.DISKIMG_FAULT_UNKNOWN
	// FaultImage is an error in the image.
	FaultImage Fault = C.DISKIMG_FAULT_IMAGE
	// FaultCaller is an invalid call.
	FaultCaller Fault = C.DISKIMG_FAULT_CALLER
	// FaultMachine is an error of the system, such as a full disk.
	FaultMachine Fault = C.DISKIMG_FAULT_MACHINE
)
