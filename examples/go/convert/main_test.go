package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskimg/diskimg/bindings/go"
)

const images = "../../../tests/images/good"

func TestFileAndURLBecomeTheSameDisk(t *testing.T) {
	server := httptest.NewServer(http.FileServer(http.Dir(images)))
	defer server.Close()
	directory := t.TempDir()
	var disks [][]byte
	for _, source := range []string{images + "/v3.qcow2", server.URL + "/v3.qcow2.gz"} {
		path := filepath.Join(directory, "disk")
		options := &diskimg.ConvertOptions{Overwrite: true}
		if err := convert(context.Background(), source, diskimg.ToPath(path), options); err != nil {
			t.Fatal(err)
		}
		disk, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		disks = append(disks, disk)
	}
	if len(disks[0]) != 1<<20 || !bytes.Equal(disks[0], disks[1]) {
		t.Fatal("the disks differ")
	}
}

func TestMissingSourceLeavesNoTarget(t *testing.T) {
	server := httptest.NewServer(http.FileServer(http.Dir(images)))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "disk")
	for _, source := range []string{"/absent", server.URL + "/absent"} {
		if err := convert(context.Background(), source, diskimg.ToPath(path), nil); err == nil {
			t.Error(source)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Error("a target remains")
		}
	}
}
