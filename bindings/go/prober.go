package diskimg

// #include "shim.h"
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"sync"
	"unsafe"
)

// ProbeState is how much a Prober knows.
type ProbeState uint32

// The states of a Prober.
const (
	// ProbeMore: the format is not known yet.
	ProbeMore ProbeState = C.DISKIMG_PROBE_MORE
	// ProbeFormat: the format is known. Other values may become known later. A raw disk never has this state, because some
	// formats are recognised only at their end.
	ProbeFormat ProbeState = C.DISKIMG_PROBE_FORMAT
	// ProbeDone: everything is known. Pushing more bytes is cheap and changes nothing.
	ProbeDone ProbeState = C.DISKIMG_PROBE_DONE
)

// Prober detects the format of a stream that is written to it, as by io.TeeReader or io.MultiWriter. It does no I/O and uses
// less than 2 MiB. Any number of goroutines may use it.
type Prober struct {
	mutex  sync.Mutex
	handle *C.diskimg_probe
	state  ProbeState
}

// NewProber returns a prober, which must be closed. Only format, flags and limits of the options are used.
func NewProber(options *OpenOptions) (*Prober, error) {
	c := newCall()
	defer c.release()
	converted, err := c.openOptions(options, nil)
	if err != nil {
		return nil, err
	}
	var handle *C.diskimg_probe
	var cerr *C.diskimg_error
	if err := failure(C.diskimg_probe_new(converted, &handle, &cerr), cerr); err != nil {
		return nil, err
	}
	prober := &Prober{handle: handle}
	runtime.SetFinalizer(prober, func(prober *Prober) { C.diskimg_probe_free(prober.handle) })
	return prober, nil
}

// use calls a function of the library, alone.
func (p *Prober) use(function func(handle *C.diskimg_probe, cerr **C.diskimg_error) C.diskimg_status) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.handle == nil {
		return os.ErrClosed
	}
	var cerr *C.diskimg_error
	return failure(function(p.handle, &cerr), cerr)
}

// Write pushes the next bytes of the stream. How they are split does not affect the result. Errors in the bytes are
// reported by Finish: Write fails only after Close.
func (p *Prober) Write(chunk []byte) (int, error) {
	err := p.use(func(handle *C.diskimg_probe, cerr **C.diskimg_error) C.diskimg_status {
		if len(chunk) == 0 {
			return C.DISKIMG_OK
		}
		var state C.uint32_t
		status := C.diskimg_probe_push(handle, unsafe.Pointer(&chunk[0]), C.size_t(len(chunk)), &state, cerr)
		p.state = ProbeState(state)
		return status
	})
	if err != nil {
		return 0, err
	}
	return len(chunk), nil
}

// State returns how much is known.
func (p *Prober) State() ProbeState {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.state
}

// Info returns the description known so far. Format and wrapper are known from ProbeFormat on. It is ErrUnknownFormat while
// nothing is known.
func (p *Prober) Info() (Info, error) {
	return p.info(func(handle *C.diskimg_probe, raw *C.diskimg_info, cerr **C.diskimg_error) C.diskimg_status {
		return C.diskimg_probe_info(handle, raw, cerr)
	})
}

// Finish ends the stream and returns the description. A program that stops before the end of the stream calls Info
// instead, unless the state is ProbeDone. Later calls of Finish and Info return the same.
func (p *Prober) Finish() (Info, error) {
	return p.info(func(handle *C.diskimg_probe, raw *C.diskimg_info, cerr **C.diskimg_error) C.diskimg_status {
		return C.diskimg_probe_finish(handle, raw, cerr)
	})
}

func (p *Prober) info(
	function func(*C.diskimg_probe, *C.diskimg_info, **C.diskimg_error) C.diskimg_status) (info Info, err error) {
	err = p.use(func(handle *C.diskimg_probe, cerr **C.diskimg_error) C.diskimg_status {
		raw := C.godiskimg_empty_info()
		status := function(handle, &raw, cerr)
		if status == C.DISKIMG_OK {
			info = infoOf(&raw)
		}
		return status
	})
	return info, err
}

// InfoJSON returns the description known so far, with references, snapshots and findings; see Image.InfoJSON.
// "virtual-size" is absent while it is unknown. Lists may be incomplete before ProbeDone or Finish.
func (p *Prober) InfoJSON(filename string) (json.RawMessage, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.handle == nil {
		return nil, os.ErrClosed
	}
	return infoJSON(filename, func(name *C.char, text **C.char, cerr **C.diskimg_error) C.diskimg_status {
		return C.diskimg_probe_info_json(p.handle, name, text, cerr)
	})
}

// Close frees the prober. A second Close does nothing.
func (p *Prober) Close() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	runtime.SetFinalizer(p, nil)
	C.diskimg_probe_free(p.handle)
	p.handle = nil
	return nil
}
