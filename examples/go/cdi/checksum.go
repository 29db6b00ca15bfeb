package cdi

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

var hashes = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New,
}

// checksum is a stream that hashes its bytes. At the end it fails if the hash is not the expected one. The conversion that
// reads it then fails too, before its target appears.
type checksum struct {
	reader   io.Reader
	name     string
	hash     hash.Hash
	expected string
	// isChecked is true once the stream has ended with the expected hash.
	isChecked bool
}

// newChecksum parses "ALGORITHM:HEX". An empty text returns nil.
func newChecksum(text string) (*checksum, error) {
	if text == "" {
		return nil, nil
	}
	parts := strings.SplitN(strings.ToLower(text), ":", 2)
	create := hashes[parts[0]]
	if len(parts) < 2 || create == nil {
		return nil, fmt.Errorf("checksum %q: expected md5, sha1, sha256 or sha512, a colon, and hexadecimal digits", text)
	}
	name, expected := parts[0], parts[1]
	sum := &checksum{name: name, hash: create(), expected: expected}
	if digits, err := hex.DecodeString(expected); err != nil || len(digits) != sum.hash.Size() {
		return nil, fmt.Errorf("checksum %q: expected %d hexadecimal digits", text, 2*sum.hash.Size())
	}
	return sum, nil
}

// over returns the stream that hashes reader.
func (c *checksum) over(reader io.Reader) io.Reader {
	c.reader = reader
	return c
}

// Read reads and hashes the next bytes.
func (c *checksum) Read(buf []byte) (int, error) {
	n, err := c.reader.Read(buf)
	c.hash.Write(buf[:n])
	if err == io.EOF {
		if found := hex.EncodeToString(c.hash.Sum(nil)); found != c.expected {
			return n, fmt.Errorf("%w: %s is %s, expected %s", ErrChecksum, c.name, found, c.expected)
		}
		c.isChecked = true
	}
	return n, err
}
