package diskimg_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/diskimg/diskimg/bindings/go"
)

const images = "../../tests/images/good/"

func Example() {
	ctx := context.Background()
	image, err := diskimg.Open(ctx, images+"zstd.qcow2", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer image.Close()
	info, err := image.Info()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Format, info.Compression, image.Size())
	// Output: qcow2 zstd 65024
}

func ExampleImage_Convert() {
	directory, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(directory)
	ctx := context.Background()
	image, err := diskimg.Open(ctx, images+"chain-top.qcow2", &diskimg.OpenOptions{References: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer image.Close()
	path := filepath.Join(directory, "disk.vmdk")
	percent := int64(0)
	options := &diskimg.ConvertOptions{
		Format:   diskimg.FormatVMDK,
		Settings: "subformat=streamOptimized",
		Progress: func(done, total int64) error {
			percent = done * 100 / total
			return nil
		},
	}
	if _, err := image.Convert(ctx, diskimg.ToPath(path), options); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(percent, "%")
	_, err = image.Convert(ctx, diskimg.ToPath(path), options)
	fmt.Println(errors.Is(err, os.ErrExist))
	// Output:
	// 100 %
	// true
}

// The body of an HTTP response becomes a raw disk in one pass, while its digest is computed.
func ExampleConvertReader() {
	server := httptest.NewServer(http.FileServer(http.Dir(images)))
	defer server.Close()
	response, err := http.Get(server.URL + "/cluster-2m.qcow2.xz")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	digest := sha256.New()
	body := io.TeeReader(response.Body, digest)
	var disk bytes.Buffer
	result, err := diskimg.ConvertReader(context.Background(), body, response.ContentLength, diskimg.ToWriter(&disk), nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.VirtualSize == int64(disk.Len()), digest.Size())
	// Output: true 32
}

// rangeReader reads a file on an HTTP server.
type rangeReader struct{ url string }

func (r rangeReader) ReadAt(buf []byte, offset int64) (int, error) {
	request, err := http.NewRequest(http.MethodGet, r.url, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+int64(len(buf))-1))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusPartialContent {
		return 0, errors.New(response.Status)
	}
	return io.ReadFull(response.Body, buf)
}

func ExampleOpenReaderAt() {
	server := httptest.NewServer(http.FileServer(http.Dir(images)))
	defer server.Close()
	remote := rangeReader{server.URL + "/v3.qcow2"}
	response, err := http.Head(remote.url)
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close()
	image, err := diskimg.OpenReaderAt(context.Background(), remote, response.ContentLength, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer image.Close()
	sector := make([]byte, 512)
	n, err := image.ReadAt(sector, 0)
	fmt.Println(n, err, image.Size())
	// Output: 512 <nil> 1048576
}

// An upload is stored as it is, after its format is known.
func ExampleDetect() {
	upload, err := os.Open(images + "v3.qcow2.gz")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer upload.Close()
	detection, stream, err := diskimg.Detect(upload, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	stored, err := io.Copy(io.Discard, stream)
	if err != nil {
		fmt.Println(err)
		return
	}
	stat, _ := upload.Stat()
	fmt.Println(detection.Format, detection.Wrapper, detection.VirtualSize, stored == stat.Size())
	// Output: qcow2 gzip 1048576 true
}

func ExampleProber() {
	upload, err := os.Open(images + "stream.vmdk")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer upload.Close()
	prober, err := diskimg.NewProber(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer prober.Close()
	if _, err := io.Copy(io.Discard, io.TeeReader(upload, prober)); err != nil {
		fmt.Println(err)
		return
	}
	info, err := prober.Finish()
	fmt.Println(info.Format, info.Subformat, err)
	// Output: vmdk streamOptimized <nil>
}

func ExampleCreate() {
	directory, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, "disk.qcow2")
	writer, err := diskimg.Create(context.Background(), diskimg.ToPath(path), 10<<30,
		&diskimg.ConvertOptions{Format: diskimg.FormatQcow2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer writer.Close()
	if _, err := writer.WriteAt([]byte("first bytes"), 0); err != nil {
		fmt.Println(err)
		return
	}
	if err := writer.Finish(); err != nil {
		fmt.Println(err)
		return
	}
	stat, err := os.Stat(path)
	fmt.Println(stat.Size() < 1<<20, err)
	// Output: true <nil>
}

func ExampleError() {
	_, err := diskimg.Open(context.Background(), images+"chain-top.qcow2", nil)
	var failed *diskimg.Error
	if errors.Is(err, diskimg.ErrReference) && errors.As(err, &failed) {
		fmt.Println(failed.Format, failed.Offset)
	}
	_, err = diskimg.Open(context.Background(), "absent.qcow2", nil)
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output:
	// qcow2 136
	// true
}
