package diskimg

// #include "shim.h"
import "C"

import "unsafe"

// Format is the name of a format.
type Format string

// The formats. The library may add others; Formats lists them.
const (
	// FormatAuto is detected for a source, and raw for a target.
	FormatAuto Format = ""
	// FormatRaw is a raw disk, including ISO 9660 and UDF.
	FormatRaw Format = "raw"
	// FormatQcow2 is qcow2, versions 2 and 3.
	FormatQcow2 Format = "qcow2"
	// FormatVMDK is VMDK.
	FormatVMDK Format = "vmdk"
	// FormatVDI is VDI.
	FormatVDI Format = "vdi"
)

// Wrapper is the compression of a whole file.
type Wrapper string

// The compressions. The library may add others.
const (
	WrapperNone Wrapper = ""
	WrapperGzip Wrapper = "gzip"
	WrapperXZ   Wrapper = "xz"
	WrapperZstd Wrapper = "zstd"
)

var wrappers = map[C.diskimg_wrapper]Wrapper{
	C.DISKIMG_WRAPPER_NONE: WrapperNone,
	C.DISKIMG_WRAPPER_GZIP: WrapperGzip,
	C.DISKIMG_WRAPPER_XZ:   WrapperXZ,
	C.DISKIMG_WRAPPER_ZSTD: WrapperZstd,
}

// FormatSupport is what this build of the library supports of a format.
type FormatSupport struct {
	Format Format
	// CanRead: the format can be read.
	CanRead bool
	// CanStream: ConvertReader converts the format.
	CanStream bool
	// CanCreate: Convert and Create write the format.
	CanCreate bool
	// CanCheck: Image.Check checks the format.
	CanCheck bool
}

// Formats returns the formats that the library knows.
func Formats() []FormatSupport {
	var formats []FormatSupport
	for number := C.diskimg_format(C.DISKIMG_FORMAT_RAW); ; number++ {
		name := C.diskimg_format_name(number)
		if name == nil {
			return formats
		}
		caps := C.diskimg_format_caps(number)
		formats = append(formats, FormatSupport{
			Format:    Format(C.GoString(name)),
			CanRead:   caps&C.DISKIMG_CAN_READ != 0,
			CanStream: caps&C.DISKIMG_CAN_STREAM != 0,
			CanCreate: caps&C.DISKIMG_CAN_CREATE != 0,
			CanCheck:  caps&C.DISKIMG_CAN_CHECK != 0,
		})
	}
}

// number returns the library's number of the format. "iso" is raw.
func (f Format) number() (C.diskimg_format, error) {
	if f == FormatAuto {
		return C.DISKIMG_FORMAT_AUTO, nil
	}
	if err := checkNUL("format", string(f)); err != nil {
		return 0, err
	}
	name := C.CString(string(f))
	defer C.free(unsafe.Pointer(name))
	number := C.diskimg_format_by_name(name)
	if number == C.DISKIMG_FORMAT_AUTO {
		return 0, invalid("format %q is unknown", string(f))
	}
	return number, nil
}

// formatOf returns the format with the library's number; FormatAuto for an unknown one.
func formatOf(number C.diskimg_format) Format {
	return Format(C.GoString(C.diskimg_format_name(number)))
}

// Version returns the version of the library at run time, such as "0.1.0".
func Version() string { return C.GoString(C.diskimg_version_string()) }
