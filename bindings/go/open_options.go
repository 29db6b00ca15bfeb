package diskimg

// #include "shim.h"
import "C"

import (
	"os"
	"runtime"
	"unsafe"
)

// OpenOptions are the options to open an image with. A member that is zero has its default; nil sets all defaults, which
// are safe for untrusted images.
type OpenOptions struct {
	// Format is the format of the image, after decompression; FormatAuto detects it.
	Format Format
	// AllowRaw accepts a file that no format recognises as a raw disk. Without it, such a file is ErrUnknownFormat.
	AllowRaw bool
	// KeepCompressed reads a compressed file as it is. Without it, gz, xz and zst are decompressed, one level deep.
	KeepCompressed bool
	// References opens backing, extent and data files: regular files in the directory of the image or below it. Needs Open
	// or Directory. Without it, every reference is refused, unless Resolve accepts it.
	References bool
	// Directory is the directory to open references in, instead of that of the image. It sets References, and must stay
	// open until the call returns.
	Directory *os.File
	// InfoOnly reads only the description of the image, and opens no other file. Works for encrypted images, and for images
	// whose other files are missing. The disk cannot be read.
	InfoOnly bool
	// NoTemporary creates no temporary file: a call that needs one fails with ErrNeedsSeek.
	NoTemporary bool
	// Direct bypasses the page cache for files opened by path, where the system supports it.
	Direct bool
	// AllowPart reads a file that is only a part of a disk as if it were a disk. Without it, such a file is ErrReference.
	AllowPart bool
	// AllowParentMismatch accepts a parent with another UUID or content id than the image records. Without it, that is
	// ErrCorrupt.
	AllowParentMismatch bool
	// NoVerify ignores the digests of the manifest in an OVA.
	NoVerify bool
	// Strict refuses an image with a finding of SeverityWarning or worse as ErrCorrupt, except a reference. With InfoOnly it has
	// no effect: see Image.Findings.
	Strict bool
	// IgnoreLocks neither takes the locks of QEMU on files opened by path, nor asks for those of others. Without it, a file
	// that another process has locked for writing is ErrInUse.
	IgnoreLocks bool

	// MaxVirtualSize is the largest virtual size to accept, in bytes; 0 for 64 TiB.
	MaxVirtualSize uint64
	// MaxCache is the size of the metadata cache in bytes; 0 for 16 MiB.
	MaxCache uint64
	// MaxDecoderMemory is the largest dictionary that a decoder may allocate, in bytes; 0 for 128 MiB.
	MaxDecoderMemory uint64
	// MaxTemporary is the largest temporary file, in bytes; 0 for 64 GiB.
	MaxTemporary uint64
	// MaxDepth is the largest number of layers below the image; 0 for 16.
	MaxDepth uint32
	// Limits has further limits by their names: "header-bytes=8M,snapshots=10". They win over the members of this
	// structure. The function Limits lists the names.
	Limits string
	// Threads is the number of threads that decompress a file; 0 for one per core.
	Threads uint32

	// TemporaryDirectory is the directory for temporary files; empty for the default of the system.
	TemporaryDirectory string
	// Snapshot is the id or name of an internal snapshot to read instead of the active state.
	Snapshot string
	// Member is the name of the disk to read in an archive; empty if it has one disk.
	Member string
	// Parents are the files below the image, the nearest first. They replace what the image records.
	Parents []Parent
	// SearchDirectory is a directory in which references are opened too.
	SearchDirectory string

	// Resolve opens the files that the image refers to. The name is untrusted input: never open it unchecked. An error
	// refuses the reference. Called while an image is opened or checked.
	Resolve func(role Role, name string) (ResolvedFile, error)
	// Log receives the findings about the image while it is opened.
	Log func(severity Severity, message string)
	// Progress receives the progress of opening a compressed image, which decodes all of it; see ConvertOptions.Progress.
	Progress func(done, total int64) error
}

// Parent is a file below an image.
type Parent struct {
	Path string
	// Format is the format of the file; FormatAuto if the image above, or the file, states it.
	Format Format
}

func (o *OpenOptions) flags() C.uint32_t {
	return bits([]flag{
		{o.AllowRaw, C.DISKIMG_OPEN_ALLOW_RAW},
		{o.KeepCompressed, C.DISKIMG_OPEN_NO_UNWRAP},
		{o.References || o.Directory != nil, C.DISKIMG_OPEN_REFERENCES},
		{o.Directory != nil, C.DISKIMG_OPEN_DIR_FD},
		{o.InfoOnly, C.DISKIMG_OPEN_INFO_ONLY},
		{o.NoTemporary, C.DISKIMG_OPEN_NO_TEMPORARY},
		{o.Direct, C.DISKIMG_OPEN_DIRECT},
		{o.AllowPart, C.DISKIMG_OPEN_ALLOW_PART},
		{o.AllowParentMismatch, C.DISKIMG_OPEN_ALLOW_PARENT_MISMATCH},
		{o.NoVerify, C.DISKIMG_OPEN_NO_VERIFY},
		{o.Strict, C.DISKIMG_OPEN_STRICT},
		{o.IgnoreLocks, C.DISKIMG_OPEN_IGNORE_LOCKS},
	})
}

// flag is a bit that is set if `on`.
type flag struct {
	on  bool
	bit C.uint32_t
}

func bits(flags []flag) (set C.uint32_t) {
	for _, flag := range flags {
		if flag.on {
			set |= flag.bit
		}
	}
	return set
}

// openOptions converts options for a call. The functions among them are those of `files`.
func (c *call) openOptions(options *OpenOptions, files *imageFiles) (*C.diskimg_open_options, error) {
	out := (*C.diskimg_open_options)(c.block(unsafe.Sizeof(C.diskimg_open_options{})))
	C.godiskimg_init_open(out)
	out.cancel = c.flag()
	if options == nil {
		return out, nil
	}
	format, err := options.Format.number()
	if err != nil {
		return nil, err
	}
	out.format, out.flags = format, options.flags()
	out.max_virtual_size, out.max_cache = C.uint64_t(options.MaxVirtualSize), C.uint64_t(options.MaxCache)
	out.max_decoder_memory = C.uint64_t(options.MaxDecoderMemory)
	out.max_temporary = C.uint64_t(options.MaxTemporary)
	out.max_depth, out.threads = C.uint32_t(options.MaxDepth), C.uint32_t(options.Threads)
	if options.Directory != nil {
		fd := options.Directory.Fd()
		out.dir_fd = C.int(fd)
		runtime.KeepAlive(options.Directory)
	}
	if err := c.openTexts(options, out); err != nil {
		return nil, err
	}
	c.openFunctions(options, files, out)
	return out, c.openParents(options.Parents, out)
}

func (c *call) openTexts(options *OpenOptions, out *C.diskimg_open_options) error {
	for _, text := range []struct {
		name, value string
		to          **C.char
	}{
		{"temporary directory", options.TemporaryDirectory, &out.temporary_directory},
		{"snapshot", options.Snapshot, &out.snapshot},
		{"member", options.Member, &out.member},
		{"limits", options.Limits, &out.limits},
		{"search directory", options.SearchDirectory, &out.search_directory},
	} {
		copied, err := c.text(text.name, text.value)
		if err != nil {
			return err
		}
		*text.to = copied
	}
	return nil
}

func (c *call) openFunctions(options *OpenOptions, files *imageFiles, out *C.diskimg_open_options) {
	if c.openProgress = options.Progress; c.openProgress != nil {
		C.godiskimg_set_open_progress(out, c.id())
	}
	if files == nil {
		return
	}
	files.resolve, files.log = options.Resolve, options.Log
	if files.resolve != nil {
		C.godiskimg_set_resolve(out, C.uintptr_t(files.handle))
	}
	if files.log != nil {
		C.godiskimg_set_log(out, C.uintptr_t(files.handle))
	}
}

func (c *call) openParents(parents []Parent, out *C.diskimg_open_options) error {
	if len(parents) == 0 {
		return nil
	}
	size := unsafe.Sizeof(C.diskimg_parent{})
	first := c.block(size * uintptr(len(parents)))
	list := unsafe.Slice((*C.diskimg_parent)(first), len(parents))
	for i, parent := range parents {
		C.godiskimg_init_parent(&list[i])
		format, err := parent.Format.number()
		if err != nil {
			return err
		}
		path, err := c.path("path of a parent", parent.Path)
		if err != nil {
			return err
		}
		list[i].format, list[i].path = format, path
	}
	out.parents, out.parent_count = &list[0], C.size_t(len(parents))
	return nil
}
