package diskimg

import (
	"os"
	"sync"
)

// lifetime counts the calls that use a handle of the library. The handle may be freed once it is closed and no call uses
// it.
type lifetime struct {
	mutex  sync.Mutex
	users  int
	closed bool
}

// enter begins a use of the handle. It fails if the handle is closed.
func (l *lifetime) enter() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.closed {
		return os.ErrClosed
	}
	l.users++
	return nil
}

// leave ends a use of the handle, and returns true if the caller must free it.
func (l *lifetime) leave() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.users--
	return l.closed && l.users == 0
}

// close closes the handle, and returns true if the caller must free it. It does not wait for calls that use it. A second
// call does nothing.
func (l *lifetime) close() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	unused := !l.closed && l.users == 0
	l.closed = true
	return unused
}
