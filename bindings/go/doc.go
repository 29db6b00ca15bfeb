// Package diskimg detects, inspects, reads, converts, checks, compares and creates virtual-disk images (qcow2, VMDK, VDI
// and raw disks, also compressed or in an OVA) with libdiskimg.
//
// The package uses cgo and finds the library with pkg-config. The build tag diskimg_static links the program statically.
//
// Images are treated as untrusted input. The library opens a file that an image refers to only if OpenOptions allow it,
// never guesses that a file is raw, and limits the use of memory and disk space.
//
// Contexts. A call that takes a context stops soon after the context ends, leaves no target, and returns the error of the
// context. A Read, ReadAt or Write of the program that blocks is not interrupted: the call returns after it.
//
// Errors. A failed call returns an *Error, which matches with errors.Is a Status such as ErrCorrupt, the errno of the
// system, the errors of io/fs, and the error that a reader, writer or function of the program returned.
//
// Functions of the program. Readers, writers and functions that are passed to a call run on goroutines of their own. They
// must not keep the buffers that they receive, and must not use the Image or Writer of the call that they serve. A panic in
// one of them ends the call and continues in the goroutine that made the call, with the same value; so does
// runtime.Goexit.
//
// Strings. A NUL in a path or other text is an error, because it would end the text in C.
package diskimg
