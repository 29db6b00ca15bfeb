package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const images = "../../../tests/images/good/"

func put(server http.Handler, name string, body []byte) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	server.ServeHTTP(response, httptest.NewRequest(http.MethodPut, "/"+name, bytes.NewReader(body)))
	return response
}

func TestImageIsStoredAsItIs(t *testing.T) {
	directory := t.TempDir()
	for name, answer := range map[string]string{
		"v3.qcow2.gz": "qcow2 gzip: disk of 1048576 bytes",
		"iso9660.iso": "raw : disk of 45056 bytes",
	} {
		image, err := os.ReadFile(images + name)
		if err != nil {
			t.Fatal(err)
		}
		response := put(store(directory), name, image)
		if response.Code != http.StatusOK || !strings.HasPrefix(response.Body.String(), answer) {
			t.Error(response.Code, response.Body)
		}
		if stored, err := os.ReadFile(filepath.Join(directory, name)); err != nil || !bytes.Equal(stored, image) {
			t.Error(name, "is stored with other bytes", err)
		}
	}
}

func TestUnsafeUploadsAreRefused(t *testing.T) {
	directory := t.TempDir()
	linked, err := os.ReadFile(images + "chain-top.qcow2")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body []byte
		code int
	}{
		"linked.qcow2": {linked, http.StatusUnprocessableEntity},
		"text.raw":     {bytes.Repeat([]byte("no disk at all "), 100_000), http.StatusUnprocessableEntity},
		".hidden":      {nil, http.StatusBadRequest},
	} {
		if response := put(store(directory), name, c.body); response.Code != c.code {
			t.Errorf("%s: %d %s", name, response.Code, response.Body)
		}
	}
	if names, err := os.ReadDir(directory); err != nil || len(names) > 0 {
		t.Error("files remain:", names, err)
	}
}
