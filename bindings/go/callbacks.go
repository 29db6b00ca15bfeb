package diskimg

// #include "shim.h"
import "C"

import (
	"runtime/cgo"
	"syscall"
	"unsafe"
)

// The functions that C calls. `during` is the call that the thread serves; 0 on a thread of the library.

// servedBy returns the outcome of the call that the thread serves, or else that of the owner.
func servedBy(during C.uintptr_t, owner *outcome) *outcome {
	if during == 0 {
		return owner
	}
	return &cgo.Handle(during).Value().(*call).outcome
}

// serve runs a function of a file of the program.
func serve(handle, during C.uintptr_t, function func(*callbackFile) error) C.int {
	file := cgo.Handle(handle).Value().(*callbackFile)
	return C.int(servedBy(during, file.owner).run(func() error { return function(file) }))
}

// view returns bytes of the library as a slice.
func view(buf unsafe.Pointer, length C.size_t) []byte { return unsafe.Slice((*byte)(buf), int(length)) }

//export goDiskimgPread
func goDiskimgPread(handle, during C.uintptr_t, buf unsafe.Pointer, length C.size_t, offset C.uint64_t,
	nread *C.size_t) C.int {
	return serve(handle, during, func(file *callbackFile) error {
		n, err := file.readAt(view(buf, length), int64(offset))
		*nread = C.size_t(n)
		return err
	})
}

//export goDiskimgSize
func goDiskimgSize(handle C.uintptr_t, bytes *C.uint64_t) C.int {
	*bytes = C.uint64_t(cgo.Handle(handle).Value().(*callbackFile).size)
	return 0
}

//export goDiskimgNextData
func goDiskimgNextData(handle, during C.uintptr_t, offset C.uint64_t, start, end *C.uint64_t) C.int {
	return serve(handle, during, func(file *callbackFile) error {
		from, to, err := file.reader.(HoleReader).NextData(int64(offset))
		if err == nil && (from < 0 || to < 0) {
			return invalid("NextData returned the range %d..%d", from, to)
		}
		*start, *end = C.uint64_t(from), C.uint64_t(to)
		return err
	})
}

//export goDiskimgPwrite
func goDiskimgPwrite(handle, during C.uintptr_t, buf unsafe.Pointer, length C.size_t, offset C.uint64_t) C.int {
	return serve(handle, during, func(file *callbackFile) error {
		return file.writeAt(view(buf, length), int64(offset))
	})
}

//export goDiskimgZero
func goDiskimgZero(handle, during C.uintptr_t, offset, length C.uint64_t) C.int {
	return serve(handle, during, func(file *callbackFile) error {
		return file.writer.(ZeroWriter).WriteZeroes(int64(offset), int64(length))
	})
}

//export goDiskimgSetSize
func goDiskimgSetSize(handle, during C.uintptr_t, bytes C.uint64_t) C.int {
	return serve(handle, during, func(file *callbackFile) error {
		return file.writer.(Truncater).Truncate(int64(bytes))
	})
}

//export goDiskimgFlush
func goDiskimgFlush(handle, during C.uintptr_t) C.int {
	return serve(handle, during, func(file *callbackFile) error { return file.writer.(Syncer).Sync() })
}

//export goDiskimgClose
func goDiskimgClose(handle, during C.uintptr_t) {
	serve(handle, during, func(file *callbackFile) error {
		if file.closer == nil {
			return nil
		}
		return file.closer.Close()
	})
	cgo.Handle(handle).Delete()
}

//export goDiskimgResolve
func goDiskimgResolve(handle, during C.uintptr_t, role C.uint32_t, name *C.char, out *C.diskimg_io) C.int {
	files := cgo.Handle(handle).Value().(*imageFiles)
	return C.int(servedBy(during, &files.outcome).run(func() error {
		resolved, err := files.resolve(Role(role), C.GoString(name))
		if err != nil {
			return err
		}
		if resolved.Reader == nil {
			return syscall.ENOENT
		}
		files.file(resolved).fill(out)
		return nil
	}))
}

//export goDiskimgLog
func goDiskimgLog(handle, during C.uintptr_t, level C.int, message *C.char) {
	files := cgo.Handle(handle).Value().(*imageFiles)
	servedBy(during, &files.outcome).run(func() error {
		files.log(Severity(level), C.GoString(message))
		return nil
	})
}

//export goDiskimgOpenProgress
func goDiskimgOpenProgress(handle C.uintptr_t, done, total C.uint64_t) C.int {
	c := cgo.Handle(handle).Value().(*call)
	return c.runStop(func() error { return c.openProgress(bounded(done), bounded(total)) })
}

//export goDiskimgProgress
func goDiskimgProgress(handle C.uintptr_t, done, total C.uint64_t) C.int {
	c := cgo.Handle(handle).Value().(*call)
	return c.runStop(func() error { return c.progress(bounded(done), bounded(total)) })
}

//export goDiskimgProblem
func goDiskimgProblem(handle C.uintptr_t, kind C.int, offset C.uint64_t, message *C.char) C.int {
	c := cgo.Handle(handle).Value().(*call)
	problem := Problem{Kind: ProblemKind(kind), Offset: -1, Message: C.GoString(message)}
	if offset != C.UINT64_MAX {
		problem.Offset = bounded(offset)
	}
	return c.runStop(func() error { return c.problem(problem) })
}

//export goDiskimgRead
func goDiskimgRead(handle C.uintptr_t, buf unsafe.Pointer, length C.size_t, nread *C.size_t) C.int {
	c := cgo.Handle(handle).Value().(*call)
	return C.int(c.run(func() error {
		n, err := c.reader.read(view(buf, length))
		*nread = C.size_t(n)
		return err
	}))
}

//export goDiskimgWrite
func goDiskimgWrite(handle C.uintptr_t, buf unsafe.Pointer, length C.size_t) C.int {
	c := cgo.Handle(handle).Value().(*call)
	return C.int(c.run(func() error { return writeAll(c.writer, view(buf, length)) }))
}
