package diskimg

// #include "shim.h"
import "C"

import (
	"context"
	"io"
	"runtime/cgo"
)

// call is one call of the library with functions of the program.
type call struct {
	outcome
	memory
	ctx context.Context
	// canceller cancels the call; nil if nothing does.
	canceller *canceller
	// isLent is true if the canceller outlives the call.
	isLent bool
	handle cgo.Handle

	openProgress, progress func(done, total int64) error
	problem                func(Problem) error
	reader                 *streamReader
	writer                 io.Writer
	// stopped is the error of the function that cancelled the call.
	stopped error
}

// newCall returns a call without a context, which nothing cancels. It must be released.
func newCall() *call {
	c := &call{ctx: context.Background()}
	c.handle = cgo.NewHandle(c)
	return c
}

// begin returns a call that ends with the context. It must be released.
func begin(ctx context.Context) (*call, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := newCall()
	c.use(ctx, newCanceller(ctx))
	return c, nil
}

// use sets what cancels the call.
func (c *call) use(ctx context.Context, canceller *canceller) {
	c.ctx, c.canceller = ctx, canceller
	c.stop = canceller.trigger
}

// flag returns the flag for the options of the call; NULL if nothing cancels it.
func (c *call) flag() *C.diskimg_cancel {
	if c.canceller == nil {
		return nil
	}
	return c.canceller.flag
}

// id returns the number of the call for callbacks.
func (c *call) id() C.uintptr_t { return C.uintptr_t(c.handle) }

// end returns the error of the library, and continues a panic or an exit of a function of the program. The other outcomes
// are those of files that the call used.
func (c *call) end(status C.diskimg_status, cerr *C.diskimg_error, others ...*outcome) error {
	failed := take(status, cerr)
	for _, other := range append(others, &c.outcome) {
		if other == nil {
			continue
		}
		other.resume()
		if failed != nil && failed.cause == nil && failed.Errno != 0 {
			failed.cause = other.cause(failed.Errno)
		}
	}
	if failed == nil {
		return nil
	}
	if failed.Status == ErrCancelled && c.stopped == nil && c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	if failed.Status == ErrCancelled {
		failed.cause = c.stopped
	}
	return failed
}

// release frees everything of the call.
func (c *call) release() {
	if c.canceller != nil && !c.isLent {
		c.canceller.free()
	}
	c.handle.Delete()
	c.memory.free()
}

// runStop calls a function of the program whose error cancels the call. It returns 1 to cancel.
func (c *call) runStop(function func() error) C.int {
	errno := c.run(func() error {
		c.stopped = function()
		return c.stopped
	})
	if errno != 0 {
		return 1
	}
	return 0
}
