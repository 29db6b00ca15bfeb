package diskimg

// #include "shim.h"
import "C"

import "unsafe"

// Preallocation is how the space of a raw file is allocated.
type Preallocation uint32

// The preallocations of raw files.
const (
	// PreallocationOff allocates blocks when they are written.
	PreallocationOff Preallocation = C.DISKIMG_PREALLOCATION_OFF
	// PreallocationFalloc allocates all blocks first.
	PreallocationFalloc Preallocation = C.DISKIMG_PREALLOCATION_FALLOC
	// PreallocationFull writes zeros to all blocks first.
	PreallocationFull Preallocation = C.DISKIMG_PREALLOCATION_FULL
)

// ConvertOptions are the options to convert, measure or create a disk with. A member that is zero has its default; nil sets
// all defaults: a sparse raw file, durable when the call returns.
type ConvertOptions struct {
	// Format is the format of the target; FormatAuto means raw.
	Format Format
	// Settings are the settings of the format, as for `qemu-img -o`: "cluster_size=2M,compat=v3". The function Settings
	// lists them.
	Settings string
	// Overwrite replaces an existing file once the new one is complete. Without it, an existing file is ErrExists.
	Overwrite bool
	// Compress compresses clusters or grains, if the format supports it.
	Compress bool
	// NoSparse writes stored zeros as data. Holes of the source still become holes.
	NoSparse bool
	// InPlace writes into an existing file or block device, which keeps its size. A raw target keeps its bytes past the
	// disk. Any other target must be an empty image of the format; it is rewritten with its own size and settings.
	InPlace bool
	// TargetIsZero assumes that an existing target reads as zeros: it is not truncated first, and zeros are not written.
	TargetIsZero bool
	// NoSync returns before the data is on stable storage.
	NoSync bool
	// Direct bypasses the page cache when writing the file, where the system supports it.
	Direct bool
	// StoreZeros writes all zeros as data, also those of holes.
	StoreZeros bool
	// WriteThrough passes each write to stable storage before the next, where the system supports it.
	WriteThrough bool
	// IgnoreLocks neither takes the locks of QEMU on a target that is opened by path, nor asks for those of others.
	// Without it, a target that another process uses is ErrInUse.
	IgnoreLocks bool
	// Level is the compression level; 0 for the default of the method.
	Level int32
	// Preallocation is for raw files. Image formats have a setting for it.
	Preallocation Preallocation
	// Threads is the number of worker threads; 0 for one per core. The output does not depend on it.
	Threads uint32
	// MaxMemory is the size of the buffers of all threads together, in bytes; 0 for 32 MiB.
	MaxMemory uint64
	// SparseSize is the smallest run of zeros that becomes a hole, in bytes: a power of two of at least 512. All data is
	// then searched. 0 means 4 KiB; data that the kernel copies is then not searched.
	SparseSize uint64
	// Rate is the largest number of bytes of the disk to write per second; 0 for no limit.
	Rate uint64
	// Progress receives the bytes done and their total. done never decreases and ends at total; total is 0 while it is
	// unknown, as for a stream. The calls do not overlap. An error cancels the call, which returns it.
	Progress func(done, total int64) error
}

func (o *ConvertOptions) flags() C.uint32_t {
	return bits([]flag{
		{o.Overwrite, C.DISKIMG_CONVERT_OVERWRITE},
		{o.Compress, C.DISKIMG_CONVERT_COMPRESS},
		{o.NoSparse, C.DISKIMG_CONVERT_NO_SPARSE},
		{o.InPlace, C.DISKIMG_CONVERT_IN_PLACE},
		{o.TargetIsZero, C.DISKIMG_CONVERT_TARGET_IS_ZERO},
		{o.NoSync, C.DISKIMG_CONVERT_NO_SYNC},
		{o.Direct, C.DISKIMG_CONVERT_DIRECT},
		{o.StoreZeros, C.DISKIMG_CONVERT_STORE_ZEROS},
		{o.WriteThrough, C.DISKIMG_CONVERT_WRITE_THROUGH},
		{o.IgnoreLocks, C.DISKIMG_CONVERT_IGNORE_LOCKS},
	})
}

// convertOptions converts options for the call.
func (c *call) convertOptions(options *ConvertOptions) (*C.diskimg_convert_options, error) {
	out := (*C.diskimg_convert_options)(c.block(unsafe.Sizeof(C.diskimg_convert_options{})))
	C.godiskimg_init_convert(out)
	out.cancel = c.flag()
	if options == nil {
		return out, nil
	}
	format, err := options.Format.number()
	if err != nil {
		return nil, err
	}
	out.format, out.flags = format, options.flags()
	if out.settings, err = c.text("settings", options.Settings); err != nil {
		return nil, err
	}
	out.threads, out.level = C.uint32_t(options.Threads), C.int32_t(options.Level)
	out.preallocation = C.uint32_t(options.Preallocation)
	out.max_memory, out.sparse_size = C.uint64_t(options.MaxMemory), C.uint64_t(options.SparseSize)
	out.rate = C.uint64_t(options.Rate)
	if options.Progress != nil {
		c.progress = options.Progress
		C.godiskimg_set_convert_progress(out, c.id())
	}
	return out, nil
}
