package diskimg

// #include "shim.h"
import "C"

import (
	"context"
	"math"
	"unsafe"
)

// CompareOptions are the options of Compare; nil sets all defaults.
type CompareOptions struct {
	// Progress receives progress; see ConvertOptions.Progress.
	Progress func(done, total int64) error
}

// Comparison is the result of Compare.
type Comparison struct {
	// Same is true if all bytes of the disks are equal. The shorter disk is treated as if zeros followed it.
	Same bool
	// FirstDifference is the offset of the first different byte; -1 if there is none.
	FirstDifference int64
}

// Compare compares the guest's view of two disks, on all cores.
func Compare(ctx context.Context, a, b *Image, options *CompareOptions) (Comparison, error) {
	c, err := a.begin(ctx)
	if err != nil {
		return Comparison{}, err
	}
	defer a.leave()
	defer c.release()
	if err := b.enter(); err != nil {
		return Comparison{}, err
	}
	defer b.leave()
	var same C.bool
	var difference C.uint64_t
	var cerr *C.diskimg_error
	status := C.godiskimg_compare(c.id(), a.handle, b.handle, c.compareOptions(options), &same, &difference, &cerr)
	if err := c.end(status, cerr, &a.files.outcome, &b.files.outcome); err != nil {
		return Comparison{}, err
	}
	if difference > math.MaxInt64 {
		return Comparison{bool(same), -1}, nil
	}
	return Comparison{bool(same), int64(difference)}, nil
}

func (c *call) compareOptions(options *CompareOptions) *C.diskimg_compare_options {
	out := (*C.diskimg_compare_options)(c.block(unsafe.Sizeof(C.diskimg_compare_options{})))
	C.godiskimg_init_compare(out)
	out.cancel = c.flag()
	if options != nil && options.Progress != nil {
		c.progress = options.Progress
		C.godiskimg_set_compare_progress(out, c.id())
	}
	return out
}
