package diskimg

import (
	"errors"
	"io"
)

var errBadCount = errors.New("diskimg: a reader returned a count outside its buffer")

// maxEmptyReads is the number of consecutive reads without bytes and error that end a stream; package bufio has the same.
const maxEmptyReads = 100

// streamReader reads a stream as the library expects it: 0 bytes mean its end.
type streamReader struct {
	io.Reader
	// failed is an error that the reader returned together with bytes.
	failed error
}

func (r *streamReader) read(buf []byte) (int, error) {
	for i := 0; i < maxEmptyReads && r.failed == nil; i++ {
		var n int
		n, r.failed = r.Read(buf)
		if n < 0 || n > len(buf) {
			return 0, errBadCount
		}
		if n > 0 {
			return n, nil
		}
	}
	switch r.failed {
	case nil:
		return 0, io.ErrNoProgress
	case io.EOF:
		return 0, nil
	}
	return 0, r.failed
}

// writeAll appends all of buf to a stream.
func writeAll(writer io.Writer, buf []byte) error {
	n, err := writer.Write(buf)
	if err == nil && n != len(buf) {
		return io.ErrShortWrite
	}
	return err
}
