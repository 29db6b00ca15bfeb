package diskimg

// #include "shim.h"
import "C"

import "context"

// Measurement is the size of a target in bytes.
type Measurement struct {
	// Required is the largest size for the current content of the disk.
	Required int64
	// FullyAllocated is the size once all of the disk is written.
	FullyAllocated int64
}

// Measure measures the file that Convert would write with these options. Reads no data, except to open a compressed file.
func (i *Image) Measure(ctx context.Context, options *ConvertOptions) (Measurement, error) {
	c, err := i.begin(ctx)
	if err != nil {
		return Measurement{}, err
	}
	defer i.leave()
	defer c.release()
	converted, err := c.convertOptions(options)
	if err != nil {
		return Measurement{}, err
	}
	var required, full C.uint64_t
	var cerr *C.diskimg_error
	status := C.godiskimg_measure(c.id(), i.handle, converted, &required, &full, &cerr)
	if err := c.end(status, cerr, &i.files.outcome); err != nil {
		return Measurement{}, err
	}
	return Measurement{bounded(required), bounded(full)}, nil
}
