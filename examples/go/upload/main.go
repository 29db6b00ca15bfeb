// Command upload is a server that stores disk images as they are uploaded, after it has detected their format:
//
//	upload -listen localhost:8080 DIRECTORY
//	curl -T disk.qcow2 http://localhost:8080/disk.qcow2
//
// An upload that is no disk image, that refers to other files, or whose disk is too large is refused after its first bytes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"github.com/diskimg/diskimg/bindings/go"
)

// maxDisk is the largest disk that the server accepts, in bytes.
const maxDisk = 1 << 40

var validName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

func main() {
	listen := flag.String("listen", "localhost:8080", "address to listen at")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: upload [-listen ADDRESS] DIRECTORY")
	}
	log.Fatal(http.ListenAndServe(*listen, store(flag.Arg(0))))
}

// store is the directory that uploads go to.
type store string

func (s store) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	name := filepath.Base(request.URL.Path)
	if request.Method != http.MethodPut || !validName.MatchString(name) {
		http.Error(response, "PUT an image under a plain name", http.StatusBadRequest)
		return
	}
	detection, body, err := diskimg.Detect(request.Body, &diskimg.OpenOptions{MaxVirtualSize: maxDisk})
	if err == nil {
		err = acceptable(detection)
	}
	if err != nil {
		http.Error(response, err.Error(), code(err))
		return
	}
	stored, err := s.save(name, body)
	if err != nil {
		http.Error(response, err.Error(), code(err))
		return
	}
	fmt.Fprintf(response, "%s %s: disk of %d bytes, file of %d bytes\n", detection.Format, detection.Wrapper,
		detection.VirtualSize, stored)
}

func acceptable(detection *diskimg.Detection) error {
	if detection.HasBacking || detection.HasDataFile || detection.HasExtentFiles {
		return diskimg.ErrReference
	}
	return nil
}

// save writes a file that appears when it is complete.
func (s store) save(name string, body io.Reader) (int64, error) {
	file, err := os.CreateTemp(string(s), ".upload-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	stored, err := io.Copy(file, body)
	if err != nil {
		return 0, err
	}
	return stored, os.Rename(file.Name(), filepath.Join(string(s), name))
}

// code returns the status of a response for an error: is it a fault of the upload or of the server?
func code(err error) int {
	var failed *diskimg.Error
	if errors.Is(err, diskimg.ErrReference) || errors.As(err, &failed) && failed.Fault == diskimg.FaultImage {
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}
