package diskimg

// #include "shim.h"
import "C"

// Extent is a run of consecutive bytes of the disk of one kind.
type Extent struct {
	// Start is the offset of the first byte in the disk.
	Start int64
	// Length is the number of bytes; at least 1.
	Length int64
	// FileOffset is the offset of the bytes in the file of their layer; -1 if they are not stored verbatim.
	FileOffset int64
	// Depth is the layer that the bytes come from; 0 is the image itself.
	Depth int
	// Data: the bytes are stored.
	Data bool
	// Zero: the bytes read as zeros.
	Zero bool
	// Allocated: the image or a layer below it allocates the range. Without it, the range reads as zeros.
	Allocated bool
	// Compressed: the bytes are stored compressed.
	Compressed bool
}

// extentsPerCall is the number of extents that one call of the library returns.
const extentsPerCall = 256

// Extents returns the extents of a range of the disk, in ascending order and without gaps. A range that extends past the end
// of the disk is ErrOutOfBounds. WalkExtents needs less memory.
func (i *Image) Extents(offset, length int64) ([]Extent, error) {
	var extents []Extent
	err := i.WalkExtents(offset, length, func(extent Extent) error {
		extents = append(extents, extent)
		return nil
	})
	return extents, err
}

// WalkExtents calls a function with each extent of a range, as Extents returns them. It stops at the first error of the
// function and returns it. Reads only the tables that it needs.
func (i *Image) WalkExtents(offset, length int64, function func(Extent) error) error {
	if offset < 0 || length < 0 {
		return invalid("the range is %d bytes at %d", length, offset)
	}
	buf := make([]C.diskimg_extent, extentsPerCall)
	for first := true; length > 0 || first; first = false {
		count, err := i.fillExtents(offset, length, buf)
		if err != nil || count == 0 {
			return err
		}
		for _, raw := range buf[:count] {
			extent := extentOf(raw)
			if err := function(extent); err != nil {
				return err
			}
			offset, length = offset+extent.Length, length-extent.Length
		}
	}
	return nil
}

func (i *Image) fillExtents(offset, length int64, buf []C.diskimg_extent) (int, error) {
	if err := i.enter(); err != nil {
		return 0, err
	}
	defer i.leave()
	c := newCall()
	defer c.release()
	var count C.size_t
	var cerr *C.diskimg_error
	status := C.godiskimg_extents(c.id(), i.handle, C.uint64_t(offset), C.uint64_t(length), &buf[0],
		C.size_t(len(buf)), &count, &cerr)
	return int(count), c.end(status, cerr, &i.files.outcome)
}

func extentOf(raw C.diskimg_extent) Extent {
	extent := Extent{
		Start:      int64(raw.start),
		Length:     int64(raw.length),
		FileOffset: -1,
		Depth:      int(raw.depth),
		Data:       raw.flags&C.DISKIMG_EXTENT_DATA != 0,
		Zero:       raw.flags&C.DISKIMG_EXTENT_ZERO != 0,
		Allocated:  raw.flags&C.DISKIMG_EXTENT_ALLOCATED != 0,
		Compressed: raw.flags&C.DISKIMG_EXTENT_COMPRESSED != 0,
	}
	if raw.flags&C.DISKIMG_EXTENT_HAS_OFFSET != 0 {
		extent.FileOffset = int64(raw.file_offset)
	}
	return extent
}
