package diskimg

import (
	"bytes"
	"encoding/json"
	"io"
)

// maxLookahead is the number of bytes of a stream that Detect buffers, a little more than a probe stores. Facts that are
// unknown by then are known only at the end of the stream: the size of a raw disk, that it is not a format with a trailer,
// and that an OVA contains no other disk.
const maxLookahead = 2 << 20

// detectChunk is the number of bytes that Detect requests at once.
const detectChunk = 32 << 10

// Detection is the result of Detect.
type Detection struct {
	Info
	// IsComplete is true if no later byte of the stream can change the description.
	IsComplete bool
	// JSON is the description with references, snapshots and findings; see Image.InfoJSON. If the detection is not complete,
	// "virtual-size" may be absent and lists may be incomplete.
	JSON json.RawMessage
}

// Detect detects format and virtual size of an image in a stream. It reads as little as possible, at most about 2 MiB.
//
// The reader that it returns, also with an error, has the whole stream from its first byte: the bytes that Detect has read
// and then the rest, which it reads from `reader`.
func Detect(reader io.Reader, options *OpenOptions) (*Detection, io.Reader, error) {
	prober, err := NewProber(options)
	if err != nil {
		return nil, reader, err
	}
	defer prober.Close()
	head := &lookahead{reader: reader}
	ended, err := head.fill(prober)
	if err != nil {
		return nil, head.replay(), err
	}
	detection, err := prober.detection(ended)
	return detection, head.replay(), err
}

// lookahead is the begin of a stream.
type lookahead struct {
	reader io.Reader
	seen   bytes.Buffer
	failed error
}

// fill reads until the prober knows enough, and returns true if the stream has ended.
func (l *lookahead) fill(prober *Prober) (bool, error) {
	stream := &streamReader{Reader: l.reader}
	chunk := make([]byte, detectChunk)
	for l.seen.Len() < maxLookahead {
		n, err := stream.read(chunk)
		if err != nil {
			l.failed = err
			return false, err
		}
		if n == 0 {
			l.failed = io.EOF
			return true, nil
		}
		l.seen.Write(chunk[:n])
		if _, err := prober.Write(chunk[:n]); err != nil {
			return false, err
		}
		if prober.knowsEnough() {
			break
		}
	}
	// An error that came with the last bytes belongs after them.
	l.failed = stream.failed
	return stream.failed == io.EOF, nil
}

// replay returns the stream from its first byte.
func (l *lookahead) replay() io.Reader {
	if l.failed != nil {
		return io.MultiReader(&l.seen, failingReader{l.failed})
	}
	return io.MultiReader(&l.seen, l.reader)
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// knowsEnough returns true if format and size stay the same until the end of the stream.
func (p *Prober) knowsEnough() bool {
	if p.State() == ProbeDone {
		return true
	}
	info, err := p.Info()
	return err == nil && (info.VirtualSize >= 0 || info.Format == FormatRaw)
}

// detection returns the result for a stream that has ended, or that is not read further.
func (p *Prober) detection(ended bool) (*Detection, error) {
	isComplete := ended || p.State() == ProbeDone
	describe := p.Info
	if isComplete {
		describe = p.Finish
	}
	info, err := describe()
	if err != nil {
		return nil, err
	}
	text, err := p.InfoJSON("")
	if err != nil {
		return nil, err
	}
	return &Detection{info, isComplete, text}, nil
}
