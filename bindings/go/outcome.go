package diskimg

import (
	"runtime"
	"sync"
	"syscall"
)

// outcome collects what functions of the program leave for the call that they serve: errors, a panic, an exit.
type outcome struct {
	mutex sync.Mutex
	// failures has the last error for each errno that was reported to the library.
	failures map[syscall.Errno]error
	// escaped is the first panic or exit.
	escaped *escape
	// stop ends the call, if no result of a function can; may be nil.
	stop func()
}

// escape is the end of a function other than by its return.
type escape struct {
	value  any
	isExit bool
}

// run calls a function of the program and returns the errno for the library; 0 for success.
//
// The function has a goroutine of its own: on the goroutine of the call, runtime.Goexit would drop the frames of the
// library from the stack, and threads of the library have no goroutine that could end.
func (o *outcome) run(function func() error) syscall.Errno {
	errno := syscall.ECANCELED // after runtime.Goexit
	done := make(chan struct{})
	go func() {
		defer close(done)
		errno = o.runHere(function)
	}()
	<-done
	return errno
}

// runHere is run on the goroutine of the caller, for functions that never call runtime.Goexit.
func (o *outcome) runHere(function func() error) (errno syscall.Errno) {
	returned, recovered := false, false
	// A deferred function is the only code that runs after runtime.Goexit.
	defer func() {
		if !returned && !recovered {
			errno = syscall.ECANCELED
			o.escape(&escape{isExit: true})
		}
	}()
	err := func() (err error) {
		defer func() {
			if !returned {
				// Nothing is recovered after runtime.Goexit, and nil after panic(nil).
				if value := recover(); value != nil {
					o.escape(&escape{value: value})
				}
			}
		}()
		err = function()
		returned = true
		return err
	}()
	if !returned {
		recovered = true
		o.escape(&escape{})
		return syscall.ECANCELED
	}
	if err == nil {
		return 0
	}
	return o.fail(err)
}

// fail records an error and returns its errno.
func (o *outcome) fail(err error) syscall.Errno {
	errno := errnoOf(err)
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.failures == nil {
		o.failures = map[syscall.Errno]error{}
	}
	o.failures[errno] = err
	return errno
}

// escape records the first panic or exit, and ends the call.
func (o *outcome) escape(how *escape) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.escaped != nil {
		return
	}
	o.escaped = how
	if o.stop != nil {
		o.stop()
	}
}

// cause removes and returns the error that was reported with this errno.
func (o *outcome) cause(errno syscall.Errno) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	err := o.failures[errno]
	delete(o.failures, errno)
	return err
}

// resume continues a panic or an exit of a function of the program.
func (o *outcome) resume() {
	o.mutex.Lock()
	how := o.escaped
	o.escaped = nil
	o.mutex.Unlock()
	if how == nil {
		return
	}
	if how.isExit {
		runtime.Goexit()
	}
	panic(how.value)
}
