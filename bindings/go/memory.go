package diskimg

// #include "shim.h"
import "C"

import "unsafe"

// memory is the C memory of one call. Options with handles and texts for the library are there, and never in Go memory.
type memory struct{ blocks []unsafe.Pointer }

// block returns size bytes that are not initialised.
func (m *memory) block(size uintptr) unsafe.Pointer {
	block := C.malloc(C.size_t(size)) // does not return NULL
	m.blocks = append(m.blocks, block)
	return block
}

// text returns a copy of a text; NULL for an empty one.
func (m *memory) text(name, value string) (*C.char, error) {
	if value == "" {
		return nil, nil
	}
	return m.path(name, value)
}

// path returns a copy of a text that may be empty.
func (m *memory) path(name, value string) (*C.char, error) {
	if err := checkNUL(name, value); err != nil {
		return nil, err
	}
	copied := C.CString(value)
	m.blocks = append(m.blocks, unsafe.Pointer(copied))
	return copied, nil
}

// bytes returns a copy of bytes; NULL for none.
func (m *memory) bytes(data []byte) unsafe.Pointer {
	if len(data) == 0 {
		return nil
	}
	copied := C.CBytes(data)
	m.blocks = append(m.blocks, copied)
	return copied
}

func (m *memory) free() {
	for _, block := range m.blocks {
		C.free(block)
	}
	m.blocks = nil
}
