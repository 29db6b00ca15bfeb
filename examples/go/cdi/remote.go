package cdi

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// attempts is the number of requests for the same byte before an error of the connection is final.
const attempts = 4

// remote is a resource of a server. It is an io.ReaderAt if the server sends ranges.
type remote struct {
	operations *Operations
	source     *url.URL
	// body is the rest of the first response.
	body io.ReadCloser
	// size is the length of the resource in bytes; -1 if unknown.
	size      int64
	hasRanges bool
	// version identifies the content, so that a range of another version is not taken: an ETag or a date.
	version string
}

// request requests a resource from its first byte.
func (o *Operations) request(source *url.URL) (*remote, error) {
	r := &remote{operations: o, source: source}
	response, err := r.get("")
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("the server responds %s", response.Status)
	}
	r.body, r.size = response.Body, response.ContentLength
	r.hasRanges = r.size > 0 && response.Header.Get("Accept-Ranges") == "bytes"
	r.version = response.Header.Get("ETag")
	if r.version == "" || strings.HasPrefix(r.version, "W/") { // a weak tag does not identify bytes
		r.version = response.Header.Get("Last-Modified")
	}
	return r, nil
}

// get sends a request. The range is that of the header Range; empty for the whole resource.
func (r *remote) get(bytes string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(r.operations.ctx, http.MethodGet, r.source.String(), nil)
	if err != nil {
		return nil, err
	}
	for key, values := range r.operations.config.Header {
		request.Header[key] = values
	}
	// The stored bytes: net/http would decompress the body otherwise, and its length would be unknown.
	request.Header.Set("Accept-Encoding", "identity")
	if bytes != "" {
		request.Header.Set("Range", "bytes="+bytes)
		if r.version != "" {
			request.Header.Set("If-Range", r.version)
		}
	}
	return r.operations.config.Client.Do(request)
}

// from requests the bytes from start to the byte before end.
func (r *remote) from(start, end int64) (io.ReadCloser, error) {
	response, err := r.get(fmt.Sprintf("%d-%d", start, end-1))
	if err != nil {
		return nil, err
	}
	expected := fmt.Sprintf("bytes %d-%d/%d", start, end-1, r.size)
	found := response.Header.Get("Content-Range")
	if response.StatusCode != http.StatusPartialContent || found != expected {
		response.Body.Close()
		return nil, fmt.Errorf("the server responds %s with the range %q, expected %q", response.Status, found, expected)
	}
	return response.Body, nil
}

// ReadAt reads a range of the resource.
func (r *remote) ReadAt(buf []byte, offset int64) (int, error) {
	end := offset + int64(len(buf))
	if end > r.size {
		end = r.size
	}
	if offset >= end {
		return 0, io.EOF
	}
	part := &stream{remote: r, offset: offset, end: end}
	defer part.Close()
	n, err := io.ReadFull(part, buf[:end-offset])
	if err == nil && n < len(buf) {
		err = io.EOF
	}
	return n, err
}

// stream returns the resource from its first byte. Each read reports the progress in bytes, if that is not nil. It can be
// called once.
func (r *remote) stream(progress func(done, total int64)) *stream {
	return &stream{remote: r, body: r.body, end: r.size, progress: progress}
}

// Close closes the first response.
func (r *remote) Close() error { return r.body.Close() }

// stream is a range of a resource, in order. If the connection ends early, it requests the rest.
type stream struct {
	remote   *remote
	body     io.ReadCloser
	offset   int64
	end      int64
	failures int
	progress func(done, total int64)
}

// Read reads the next bytes.
func (s *stream) Read(buf []byte) (int, error) {
	for {
		n, err := s.read(buf)
		s.offset += int64(n)
		if n > 0 {
			s.failures = 0
			if s.progress != nil {
				s.progress(s.offset, s.end)
			}
			return n, nil
		}
		if err == nil || err == io.EOF && (s.end < 0 || s.offset == s.end) {
			return 0, err
		}
		s.failures++
		if s.failures == attempts || !s.remote.hasRanges || s.remote.operations.ctx.Err() != nil {
			return 0, fmt.Errorf("after %d of %d bytes: %w", s.offset, s.end, err)
		}
		s.Close()
	}
}

func (s *stream) read(buf []byte) (int, error) {
	if s.body == nil {
		body, err := s.remote.from(s.offset, s.end)
		if err != nil {
			return 0, err
		}
		s.body = body
	}
	return s.body.Read(buf)
}

// Close closes the connection.
func (s *stream) Close() error {
	if s.body == nil {
		return nil
	}
	body := s.body
	s.body = nil
	return body.Close()
}
