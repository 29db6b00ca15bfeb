package diskimg

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The cases of tests/errno.tsv, which explains the calls and the conditions.

type errnoCase struct{ call, condition, errno, fault string }

var errnoByName = map[string]syscall.Errno{
	"EACCES": syscall.EACCES, "EBADF": syscall.EBADF, "EEXIST": syscall.EEXIST, "EFBIG": syscall.EFBIG,
	"EISDIR": syscall.EISDIR, "ELOOP": syscall.ELOOP, "EMFILE": syscall.EMFILE, "ENAMETOOLONG": syscall.ENAMETOOLONG,
	"ENOENT": syscall.ENOENT, "ENOSPC": syscall.ENOSPC, "ENOTDIR": syscall.ENOTDIR, "EROFS": syscall.EROFS,
}

var faultByName = map[string]Fault{"image": FaultImage, "caller": FaultCaller, "machine": FaultMachine}

// errnoCases returns the cases with a condition.
func errnoCases(t *testing.T, condition string) []errnoCase {
	t.Helper()
	var cases []errnoCase
	for _, line := range strings.Split(string(load(t, "../../tests/errno.tsv")), "\n") {
		row := strings.Split(line, "\t")
		if len(row) == 4 && row[1] == condition {
			cases = append(cases, errnoCase{row[0], row[1], row[2], row[3]})
		}
	}
	if len(cases) == 0 {
		t.Fatal("no case has the condition", condition)
	}
	return cases
}

// difference returns what differs from the table if the call gave this error.
func (c errnoCase) difference(err error) string {
	want, fault := errnoByName[c.errno], faultByName[c.fault]
	var failed *Error
	if want != 0 && errors.As(err, &failed) && errors.Is(err, want) && failed.Errno == want && failed.Fault == fault {
		return ""
	}
	return fmt.Sprintf("%s %s: %#v, expected %s and fault %s: %v", c.call, c.condition, failed, c.errno, c.fault, err)
}

// reads returns true if the call reads the path, false if it creates or opens a file there to write it.
func (c errnoCase) reads() bool { return strings.Contains("open inspect check parent", c.call) }

// takesDirectory returns true if the path is that of a directory.
func (c errnoCase) takesDirectory() bool { return c.call == "search" || c.call == "spool" }

// prepare prepares the condition in a new directory in `place`, and returns the path for the call.
func (c errnoCase) prepare(t *testing.T, place string) string {
	t.Helper()
	directory := filepath.Join(place, c.call+"-"+c.condition)
	file, inner := filepath.Join(directory, "file"), filepath.Join(directory, "inner")
	content := painted(1 << 20)
	if c.call == "descriptor" {
		content = nil
	}
	for _, err := range []error{
		os.MkdirAll(inner, 0o755),
		os.WriteFile(file, content, 0o644),
		os.Symlink("two", filepath.Join(directory, "one")),
		os.Symlink("one", filepath.Join(directory, "two")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	switch c.condition {
	case "absent":
		if c.reads() || c.takesDirectory() || c.call == "in-place" {
			return filepath.Join(directory, "absent")
		}
		return filepath.Join(directory, "absent", "disk")
	case "under-file":
		return filepath.Join(file, "disk")
	case "directory":
		return directory
	case "file", "for-reading":
		return file
	case "loop":
		return filepath.Join(directory, "one", "disk")
	case "long":
		return filepath.Join(directory, strings.Repeat("x", 300))
	}
	switch {
	case c.reads() || c.call == "in-place" || c.call == "descriptor":
		return file
	case c.takesDirectory():
		return inner
	}
	return filepath.Join(directory, "disk")
}

// run makes the call with the path. The images of sources are in memory.
func (c errnoCase) run(t *testing.T, path string, sources errnoSources) error {
	switch c.call {
	case "open":
		return second(Open(background, path, &OpenOptions{AllowRaw: true}))
	case "inspect":
		return second(Open(background, path, &OpenOptions{AllowRaw: true, InfoOnly: true}))
	case "check":
		image, err := Open(background, path, nil)
		if err != nil {
			return err
		}
		defer image.Close()
		return second(image.Check(background, nil))
	case "parent":
		return second(OpenBytes(background, sources.overlay, &OpenOptions{Parents: []Parent{{Path: path, Format: FormatRaw}}}))
	case "search":
		return second(OpenBytes(background, sources.overlay, &OpenOptions{SearchDirectory: path}))
	case "spool":
		return second(OpenBytes(background, sources.compressed, &OpenOptions{AllowRaw: true, TemporaryDirectory: path}))
	case "stream":
		return second(ConvertReader(background, bytes.NewReader(sources.raw), 0, ToPath(path), &OpenOptions{AllowRaw: true}, nil))
	case "create":
		return createFull(path, sources.raw)
	case "descriptor":
		return c.toDescriptor(t, path, sources)
	}
	return second(sources.image.Convert(background, ToPath(path),
		&ConvertOptions{Overwrite: c.call == "replace", InPlace: c.call == "in-place"}))
}

func createFull(path string, data []byte) error {
	writer, err := Create(background, ToPath(path), int64(len(data)), nil)
	if err != nil {
		return err
	}
	defer writer.Close()
	if _, err := writer.WriteAt(data, 0); err != nil {
		return err
	}
	return writer.Finish()
}

func (c errnoCase) toDescriptor(t *testing.T, path string, sources errnoSources) error {
	flag := os.O_RDWR
	if c.condition == "directory" || c.condition == "for-reading" {
		flag = os.O_RDONLY
	}
	file, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return second(sources.image.Convert(background, ToFile(file), nil))
}

// errnoSources are the images that the calls read.
type errnoSources struct {
	raw, compressed, overlay []byte
	image                    *Image
}

func newErrnoSources(t *testing.T) errnoSources {
	t.Helper()
	raw := painted(1 << 20)
	image, err := OpenBytes(background, raw, &OpenOptions{AllowRaw: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { image.Close() })
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return errnoSources{raw, packed.Bytes(), load(t, good+"top-on-raw.qcow2"), image}
}
