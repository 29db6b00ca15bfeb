package diskimg

// #include "shim.h"
import "C"

import (
	"io"
	"os"
	"unsafe"
)

// Target is where the result of a conversion goes: ToPath, ToFile, ToWriterAt or ToWriter.
type Target interface {
	// fill describes the target to the library. Callbacks outside a call leave their outcome with the owner.
	fill(c *call, owner *outcome, target *C.diskimg_target) error
}

// ToPath writes to a file at path, which appears only when it is complete and durable. A block device is written in place.
func ToPath(path string) Target { return pathTarget(path) }

// ToFile writes to a file or block device that is open for reading and writing, or to a pipe or socket. A file is truncated
// to length 0 first, unless ConvertOptions.InPlace or TargetIsZero is set. After a failure it contains the data written so
// far. The program closes it.
func ToFile(file *os.File) Target { return fileTarget{file} }

// ToWriterAt writes to a file that the program provides. For an image format it must be empty. The writer may be a
// ZeroWriter, a Truncater and a Syncer. Several goroutines call it concurrently.
func ToWriterAt(writer io.WriterAt) Target { return writerAtTarget{writer} }

// ToWriter writes to a stream, from the first byte to the last. The target is raw or a streamOptimized VMDK; any other
// format is ErrNeedsSeek.
func ToWriter(writer io.Writer) Target { return writerTarget{writer} }

type pathTarget string

func (t pathTarget) fill(c *call, _ *outcome, target *C.diskimg_target) (err error) {
	target.path, err = c.path("path", string(t))
	return err
}

type fileTarget struct{ file *os.File }

func (t fileTarget) fill(_ *call, _ *outcome, target *C.diskimg_target) error {
	fd := t.file.Fd()
	if fd == ^uintptr(0) {
		return os.ErrClosed
	}
	target.fd = C.int(fd)
	return nil
}

type writerAtTarget struct{ writer io.WriterAt }

func (t writerAtTarget) fill(c *call, owner *outcome, target *C.diskimg_target) error {
	file := (*C.diskimg_io)(c.block(unsafe.Sizeof(C.diskimg_io{})))
	(&callbackFile{writer: t.writer, owner: owner}).fill(file)
	target.io = file
	return nil
}

type writerTarget struct{ writer io.Writer }

func (t writerTarget) fill(c *call, _ *outcome, target *C.diskimg_target) error {
	c.writer = t.writer
	C.godiskimg_set_target_write(target, c.id())
	return nil
}

// target converts a target for the call.
func (c *call) target(target Target, owner *outcome) (*C.diskimg_target, error) {
	if target == nil {
		return nil, invalid("target is nil")
	}
	out := (*C.diskimg_target)(c.block(unsafe.Sizeof(C.diskimg_target{})))
	C.godiskimg_init_target(out)
	return out, target.fill(c, owner, out)
}

// destination converts a target and the options for it. Errors of the program in its functions go to owner.
func (c *call) destination(target Target, owner *outcome, options *ConvertOptions) (*C.diskimg_target,
	*C.diskimg_convert_options, error) {
	converted, err := c.convertOptions(options)
	if err != nil {
		return nil, nil, err
	}
	to, err := c.target(target, owner)
	return to, converted, err
}
