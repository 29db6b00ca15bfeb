package diskimg

// #include "shim.h"
import "C"

import (
	"encoding/json"
	"unsafe"
)

// Info is the description of an image, as its metadata states it. The library does not verify these values.
type Info struct {
	// Format is the format, after decompression.
	Format Format
	// Wrapper is the compression of the whole file.
	Wrapper Wrapper
	// Version is the version number of the format; 0 if it has none.
	Version int
	// VirtualSize is the size of the disk in bytes; -1 if it is unknown, as that of a stream that has not ended.
	VirtualSize int64
	// FileSize is the length of the file in bytes; -1 if it is unknown.
	FileSize int64
	// AllocatedSize is the number of bytes that the file occupies on its file system; -1 if it is unknown.
	AllocatedSize int64
	// ClusterSize is the size of a cluster, grain or block in bytes; 0 if the format has none.
	ClusterSize int64
	// Subformat is the format's name for the layout, such as "streamOptimized"; empty if there is only one layout.
	Subformat string
	// Compression is the compression of clusters, grains or blocks, such as "zstd"; empty if the header does not state it.
	Compression string
	// Encryption is the encryption of the content, such as "luks"; empty if it is not encrypted.
	Encryption string
	// Content is the structure at the start of a raw disk, such as "gpt"; empty if none is recognised.
	Content string

	// HasBacking: the image refers to a backing file or a parent.
	HasBacking bool
	// HasDataFile: the image refers to an external data file.
	HasDataFile bool
	// HasExtentFiles: the image refers to extent files that hold its data.
	HasExtentFiles bool
	// HasSnapshots: the image has internal snapshots.
	HasSnapshots bool
	// IsEncrypted: the content is encrypted.
	IsEncrypted bool
	// IsDirty: the last writer did not close the image cleanly.
	IsDirty bool
	// IsMarkedCorrupt: a writer marked the image as corrupt.
	IsMarkedCorrupt bool
	// IsOpticalDisc: the content is an optical disc (ISO 9660 or UDF). Attach it as a CD-ROM.
	IsOpticalDisc bool
}

func infoOf(raw *C.diskimg_info) Info {
	has := func(flag C.uint32_t) bool { return raw.flags&flag != 0 }
	known := func(flag C.uint32_t, bytes C.uint64_t) int64 {
		if !has(flag) {
			return -1
		}
		return bounded(bytes)
	}
	return Info{
		Format:          formatOf(raw.format),
		Wrapper:         wrappers[raw.wrapper],
		Version:         int(raw.version),
		VirtualSize:     known(C.DISKIMG_INFO_SIZE_KNOWN, raw.virtual_size),
		FileSize:        known(C.DISKIMG_INFO_FILE_SIZE_KNOWN, raw.file_size),
		AllocatedSize:   known(C.DISKIMG_INFO_ALLOCATED_SIZE_KNOWN, raw.allocated_size),
		ClusterSize:     bounded(raw.cluster_size),
		Subformat:       C.GoString(raw.subformat),
		Compression:     C.GoString(raw.compression),
		Encryption:      C.GoString(raw.encryption),
		Content:         C.GoString(raw.content),
		HasBacking:      has(C.DISKIMG_INFO_BACKING),
		HasDataFile:     has(C.DISKIMG_INFO_DATA_FILE),
		HasExtentFiles:  has(C.DISKIMG_INFO_EXTENTS),
		HasSnapshots:    has(C.DISKIMG_INFO_SNAPSHOTS),
		IsEncrypted:     has(C.DISKIMG_INFO_ENCRYPTED),
		IsDirty:         has(C.DISKIMG_INFO_DIRTY),
		IsMarkedCorrupt: has(C.DISKIMG_INFO_CORRUPT),
		IsOpticalDisc:   has(C.DISKIMG_INFO_OPTICAL_DISC),
	}
}

// Info returns the description of the image.
func (i *Image) Info() (Info, error) {
	if err := i.enter(); err != nil {
		return Info{}, err
	}
	defer i.leave()
	raw := C.godiskimg_empty_info()
	var cerr *C.diskimg_error
	if err := failure(C.diskimg_get_info(i.handle, &raw, &cerr), cerr); err != nil {
		return Info{}, err
	}
	return infoOf(&raw), nil
}

// InfoJSON returns the description of the image in the format of `qemu-img info --output=json`, with the additions of the
// library under "diskimg". The name of the file to report is that of Open, unless filename is given.
func (i *Image) InfoJSON(filename string) (json.RawMessage, error) {
	if err := i.enter(); err != nil {
		return nil, err
	}
	defer i.leave()
	return infoJSON(filename, func(name *C.char, text **C.char, cerr **C.diskimg_error) C.diskimg_status {
		return C.diskimg_info_json(i.handle, name, text, cerr)
	})
}

func infoJSON(filename string,
	function func(*C.char, **C.char, **C.diskimg_error) C.diskimg_status) (json.RawMessage, error) {
	memory := &memory{}
	defer memory.free()
	name, err := memory.text("filename", filename)
	if err != nil {
		return nil, err
	}
	var text *C.char
	var cerr *C.diskimg_error
	if err := failure(function(name, &text, &cerr), cerr); err != nil {
		return nil, err
	}
	defer C.diskimg_string_free(text)
	return json.RawMessage(C.GoBytes(unsafe.Pointer(text), C.int(C.strlen(text)))), nil
}
