package diskimg

// #include "shim.h"
import "C"

import "context"

// canceller has a flag of the library, which it triggers when a context ends.
type canceller struct {
	flag *C.diskimg_cancel
	// stop ends the watch of the context; stopped is closed when it has ended. Both are nil if the context never ends.
	stop, stopped chan struct{}
}

func newCanceller(ctx context.Context) *canceller {
	c := &canceller{flag: C.diskimg_cancel_new()}
	if ctx.Done() != nil {
		c.stop, c.stopped = make(chan struct{}), make(chan struct{})
		go c.watch(ctx)
	}
	return c
}

func (c *canceller) watch(ctx context.Context) {
	defer close(c.stopped)
	select {
	case <-ctx.Done():
		c.trigger()
	case <-c.stop:
	}
}

func (c *canceller) trigger() { C.diskimg_cancel_trigger(c.flag) }

// free ends the watch, so that nothing triggers the flag, and then frees it.
func (c *canceller) free() {
	if c.stop != nil {
		close(c.stop)
		<-c.stopped
	}
	C.diskimg_cancel_free(c.flag)
}
