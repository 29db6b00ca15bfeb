package cdi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	diskimg "github.com/diskimg/diskimg/bindings/go"
)

var (
	// ErrLargerPVCRequired is a disk that is larger than the available storage.
	ErrLargerPVCRequired = errors.New("a larger PVC is required")
	// ErrRequiresScratchSpace is an image that cannot be converted while it is read, if Config.ScratchDir is empty.
	ErrRequiresScratchSpace = errors.New("scratch space is required")
	// ErrChecksum is a source with another checksum than expected.
	ErrChecksum = errors.New("checksum mismatch")
)

// ImgInfo is the description of an image.
type ImgInfo struct {
	// Format is the name of the format, such as "qcow2".
	Format string `json:"format"`
	// BackingFile is the name of the backing file; empty if there is none. It is untrusted input.
	BackingFile string `json:"backing-filename"`
	// VirtualSize is the size of the disk in bytes.
	VirtualSize int64 `json:"virtual-size"`
	// ActualSize is the number of bytes that the image occupies; 0 if unknown, as for a stream.
	ActualSize int64 `json:"actual-size"`
}

// QEMUOperations is CDI's interface with sizes in bytes.
type QEMUOperations interface {
	ConvertToRawStream(source *url.URL, dest string, preallocate bool, cacheMode string) error
	Resize(image string, size int64, preallocate bool) error
	Info(source *url.URL) (*ImgInfo, error)
	Validate(source *url.URL, availableSize int64) error
	CreateBlankImage(dest string, size int64, preallocate bool) error
	PreallocateBlankBlock(dest string, size int64) error
	Rebase(backingFile, delta string) error
	Commit(image string) error
}

// Config has the settings of all operations. The zero value has the defaults.
type Config struct {
	// Client sends the requests; nil for http.DefaultClient. Proxies and certificates are set in its Transport.
	Client *http.Client
	// Header is added to each request, such as an authorization.
	Header http.Header
	// ScratchDir is the directory for anonymous temporary files. Empty: an image that needs one is ErrRequiresScratchSpace.
	ScratchDir string
	// Progress receives the part that is done, from 0 to 100. It is called on any goroutine, never concurrently.
	Progress func(percent float64)
}

// Operations implements QEMUOperations. Any number of goroutines may use it.
type Operations struct {
	ctx    context.Context
	config Config
	bases  bases
}

var _ QEMUOperations = (*Operations)(nil)

// New returns the operations. When the context ends, an operation stops and leaves no file.
func New(ctx context.Context, config Config) *Operations {
	if config.Client == nil {
		config.Client = http.DefaultClient
	}
	return &Operations{ctx: ctx, config: config}
}

// open returns the options to read an untrusted image with. A disk of unknown content is raw, as in CDI; formats that are
// known and not supported are still refused.
func (o *Operations) open() *diskimg.OpenOptions {
	return &diskimg.OpenOptions{
		AllowRaw:           true,
		NoTemporary:        o.config.ScratchDir == "",
		TemporaryDirectory: o.config.ScratchDir,
	}
}

// Info returns the description of an image. A URL is read only as far as necessary: of a server that does not send ranges,
// and of a compressed raw disk, that is everything.
func (o *Operations) Info(source *url.URL) (*ImgInfo, error) {
	text, err := o.describe(source)
	if err != nil {
		return nil, fmt.Errorf("info of %s: %w", source.Redacted(), err)
	}
	info := &ImgInfo{}
	if err := json.Unmarshal(text, info); err != nil {
		return nil, fmt.Errorf("info of %s: %w", source.Redacted(), err)
	}
	return info, nil
}

func (o *Operations) describe(source *url.URL) (json.RawMessage, error) {
	path, err := localPath(source)
	if err != nil {
		return nil, err
	}
	if path == "" {
		return o.describeRemote(source)
	}
	options := o.open()
	options.InfoOnly = true
	image, err := diskimg.Open(o.ctx, path, options)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	return image.InfoJSON("")
}

func (o *Operations) describeRemote(source *url.URL) (json.RawMessage, error) {
	remote, err := o.request(source)
	if err != nil {
		return nil, err
	}
	defer remote.Close()
	if remote.hasRanges {
		options := o.open()
		options.InfoOnly = true
		image, err := diskimg.OpenReaderAt(o.ctx, remote, remote.size, options)
		if err != nil {
			return nil, err
		}
		defer image.Close()
		if info, err := image.Info(); err != nil || info.VirtualSize >= 0 {
			text, jsonErr := image.InfoJSON(source.Redacted())
			return text, firstError(err, jsonErr)
		}
	}
	prober, err := diskimg.NewProber(o.open())
	if err != nil {
		return nil, err
	}
	defer prober.Close()
	body := &untilKnown{Reader: remote.stream(nil), prober: prober}
	if _, err := io.Copy(prober, body); err != nil {
		return nil, err
	}
	if _, err := prober.Finish(); err != nil {
		return nil, err
	}
	return prober.InfoJSON(source.Redacted())
}

// untilKnown is a stream that ends when a prober knows everything.
type untilKnown struct {
	io.Reader
	prober *diskimg.Prober
}

func (u *untilKnown) Read(buf []byte) (int, error) {
	if u.prober.State() == diskimg.ProbeDone {
		return 0, io.EOF
	}
	return u.Reader.Read(buf)
}

// Validate refuses an image that cannot be imported: a format that is not supported, a backing file, or a disk that is
// larger than the available bytes (ErrLargerPVCRequired).
func (o *Operations) Validate(source *url.URL, availableSize int64) error {
	info, err := o.Info(source)
	if err != nil {
		return err
	}
	if info.BackingFile != "" {
		return fmt.Errorf("%s has the backing file %q, which is not read: %w", source.Redacted(), info.BackingFile,
			diskimg.ErrReference)
	}
	if info.VirtualSize > availableSize {
		return fmt.Errorf("the disk has %d bytes, and the storage %d: %w", info.VirtualSize, availableSize,
			ErrLargerPVCRequired)
	}
	return nil
}

// localPath returns the path that a URL names; empty for a URL of a server.
func localPath(source *url.URL) (string, error) {
	switch source.Scheme {
	case "", "file":
		if source.Path == "" {
			return "", fmt.Errorf("%q names no file", source)
		}
		return source.Path, nil
	case "http", "https":
		return "", nil
	}
	return "", fmt.Errorf("not valid schema %s: %w", source.Scheme, diskimg.ErrUnsupported)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
