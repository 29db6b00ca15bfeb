package cdi

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	diskimg "github.com/diskimg/diskimg/bindings/go"
)

// disk is a row of the list of test images.
type disk struct {
	file, how, sha256 string
	size              int64
}

func disks(t testing.TB) (disks []disk) {
	t.Helper()
	file, err := os.Open(filepath.Join(images, "IMAGES.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows := csv.NewReader(file)
	rows.Comma = '\t'
	all, err := rows.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range all[1:] {
		size, err := strconv.ParseInt(row[5], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		disks = append(disks, disk{row[0], row[4], row[6], size})
	}
	return disks
}

func sumOf(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return hexSum(data)
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// absent fails if a directory has any file.
func absent(t testing.TB, directory string) {
	t.Helper()
	if names, _ := filepath.Glob(filepath.Join(directory, "*")); len(names) > 0 {
		t.Fatal("files remain:", names)
	}
}

// operations returns operations with scratch space.
func operations(t testing.TB) *Operations {
	return New(context.Background(), Config{ScratchDir: t.TempDir()})
}

func TestEveryImageOfEveryServerIsImportedAsItsDisk(t *testing.T) {
	for _, server := range servers(t, images) {
		for _, disk := range disks(t) {
			if strings.HasPrefix(disk.how, "snapshot=") {
				continue
			}
			dest := filepath.Join(t.TempDir(), "disk.img")
			name := server.name + ": " + disk.file
			size, err := operations(t).Import(server.at(t, disk.file), dest, ImportOptions{})
			if disk.how == "files" {
				if !errors.Is(err, diskimg.ErrReference) {
					t.Error(name, "needs other files, and", err)
				}
				absent(t, filepath.Dir(dest))
				continue
			}
			if err != nil || size != disk.size || sumOf(t, dest) != disk.sha256 {
				t.Error(name, size, err)
			}
		}
	}
}

func TestInfoIsTheSameFromEveryServerAndFromThePath(t *testing.T) {
	for _, server := range servers(t, images) {
		for _, disk := range disks(t) {
			if disk.how != "-" {
				continue
			}
			info, err := operations(t).Info(server.at(t, disk.file))
			// qemu-img rounds the size of a raw file up to sectors.
			if err != nil || info.VirtualSize != (disk.size+511)/512*512 {
				t.Error(server.name, disk.file, info, err)
				continue
			}
			local, err := operations(t).Info(location(t, filepath.Join(images, disk.file)))
			if err != nil || local.Format != info.Format || local.VirtualSize != info.VirtualSize {
				t.Error(disk.file, local, info, err)
			}
		}
	}
}

func TestValidateRefusesALargerDiskABackingFileAndForeignFormats(t *testing.T) {
	qcow2 := location(t, filepath.Join(images, "zstd.qcow2"))
	if err := operations(t).Validate(qcow2, 65024); err != nil {
		t.Error(err)
	}
	if err := operations(t).Validate(qcow2, 65023); !errors.Is(err, ErrLargerPVCRequired) {
		t.Error(err)
	}
	if err := operations(t).Validate(location(t, filepath.Join(images, "chain-top.qcow2")), 1<<40); !errors.Is(err, diskimg.ErrReference) {
		t.Error(err)
	}
	vhdx := filepath.Join(t.TempDir(), "disk.vhdx")
	if err := os.WriteFile(vhdx, append([]byte("vhdxfile"), make([]byte, 1<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}
	err := operations(t).Validate(location(t, vhdx), 1<<40)
	var failed *diskimg.Error
	if !errors.As(err, &failed) || failed.Status != diskimg.ErrUnsupported || failed.Format != "vhdx" {
		t.Error(err)
	}
	if err := operations(t).Validate(location(t, "nbd+unix:///?socket=x"), 1<<40); !errors.Is(err, diskimg.ErrUnsupported) {
		t.Error(err)
	}
}

func TestALargerDiskIsRefusedBeforeItIsWritten(t *testing.T) {
	for _, server := range servers(t, images) {
		for _, file := range []string{"zstd.qcow2", "gpt.raw", "v3.qcow2.gz", "dynamic.vdi.gz", "disk.ova"} {
			directory := t.TempDir()
			_, err := operations(t).Import(server.at(t, file), filepath.Join(directory, "disk.img"),
				ImportOptions{AvailableSize: 40000})
			if !errors.Is(err, ErrLargerPVCRequired) {
				t.Error(server.name, file, err)
			}
			absent(t, directory)
		}
	}
}

func TestChecksumIsThatOfTheStoredBytesAndAWrongOneLeavesNoFile(t *testing.T) {
	source := filepath.Join(images, "v3.qcow2.gz")
	right := "sha256:" + sumOf(t, source)
	wrong := "sha256:" + strings.Repeat("00", 32)
	for _, server := range append(servers(t, images), server{name: "file", url: images}) {
		directory := t.TempDir()
		dest := filepath.Join(directory, "disk.img")
		_, err := operations(t).Import(server.at(t, "v3.qcow2.gz"), dest, ImportOptions{Checksum: wrong})
		if !errors.Is(err, ErrChecksum) {
			t.Error(server.name, err)
		}
		absent(t, directory)
		if _, err := operations(t).Import(server.at(t, "v3.qcow2.gz"), dest, ImportOptions{Checksum: right}); err != nil {
			t.Error(server.name, err)
		}
	}
	for _, text := range []string{"sha256", "sha256:12", "crc32:00000000", "md5:" + strings.Repeat("x", 32), ":"} {
		if _, err := newChecksum(text); err == nil {
			t.Error(text, "is accepted")
		}
	}
}

// random returns a raw disk that does not compress.
func random(size int) []byte {
	data := make([]byte, size)
	rand.New(rand.NewSource(7)).Read(data)
	copy(data, "a disk")
	return data
}

func TestConnectionThatIsCutContinuesIfTheServerSendsRanges(t *testing.T) {
	data := random(3 << 20)
	dest := filepath.Join(t.TempDir(), "disk.img")
	handler := &breaking{data: data, each: 1 << 20, hasRanges: true}
	if _, err := operations(t).Import(location(t, serve(t, handler)), dest, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if sumOf(t, dest) != hexSum(data) || handler.requests.Load() < 3 {
		t.Error(handler.requests.Load())
	}
}

func TestConnectionThatIsCutIsAnErrorOtherwiseAndLeavesNoFile(t *testing.T) {
	data := random(3 << 20)
	other := append([]byte("b"), data[1:]...)
	for name, handler := range map[string]*breaking{
		"without ranges":   {data: data, each: 1 << 20},
		"always":           {data: data, each: 0, hasRanges: true},
		"replaced content": {data: data, each: 1 << 20, hasRanges: true, replaced: other},
	} {
		directory := t.TempDir()
		_, err := operations(t).Import(location(t, serve(t, handler)), filepath.Join(directory, "disk.img"), ImportOptions{})
		if err == nil || name == "without ranges" && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(name, err)
		}
		absent(t, directory)
	}
}

func TestImageThatCannotBeStreamedNeedsRangesOrScratchSpace(t *testing.T) {
	directory := t.TempDir()
	raw, vmdk := filepath.Join(directory, "disk.raw"), filepath.Join(directory, "disk.vmdk")
	if err := os.WriteFile(raw, random(2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	image, err := diskimg.Open(context.Background(), raw, &diskimg.OpenOptions{Format: diskimg.FormatRaw})
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	sparse := &diskimg.ConvertOptions{Format: diskimg.FormatVMDK}
	if _, err := image.Convert(context.Background(), diskimg.ToPath(vmdk), sparse); err != nil {
		t.Fatal(err)
	}
	sum := ImportOptions{Checksum: "sha256:" + sumOf(t, vmdk)}
	for _, server := range servers(t, directory) {
		for _, test := range []struct {
			scratch string
			options ImportOptions
			works   bool
		}{
			{"", ImportOptions{}, server.hasRanges}, {"", sum, false},
			{t.TempDir(), ImportOptions{}, true}, {t.TempDir(), sum, true},
		} {
			dest := filepath.Join(t.TempDir(), "disk.img")
			operations := New(context.Background(), Config{ScratchDir: test.scratch})
			_, err := operations.Import(server.at(t, "disk.vmdk"), dest, test.options)
			if test.works && (err != nil || sumOf(t, dest) != sumOf(t, raw)) || !test.works && !errors.Is(err, ErrRequiresScratchSpace) {
				t.Error(server.name, test, err)
			}
			if test.scratch != "" {
				absent(t, test.scratch)
			}
		}
	}
}

func TestProgressGrowsToAHundred(t *testing.T) {
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "disk.raw"), random(2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, server := range append(servers(t, directory), server{name: "file", url: directory}) {
		if server.name == "net/http without a length" {
			continue // nothing is known about the end
		}
		last := 0.0
		grows := func(percent float64) {
			if percent < last || percent > 100 {
				t.Error(server.name, percent, "after", last)
			}
			last = percent
		}
		dest := filepath.Join(t.TempDir(), "disk.img")
		operations := New(context.Background(), Config{Progress: grows})
		err := operations.ConvertToRawStream(server.at(t, "disk.raw"), dest, true, CacheModeTryNone)
		if err != nil || last != 100 || allocated(t, dest) < 2<<20 {
			t.Error(server.name, last, err)
		}
	}
}

func TestContextThatEndsStopsAnImportAndLeavesNoFile(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	url := serve(t, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		response.Write(random(1 << 20))
		response.(http.Flusher).Flush()
		<-request.Context().Done() // sends nothing more
	}))
	directory := t.TempDir()
	_, err := New(ctx, Config{}).Import(location(t, url), filepath.Join(directory, "disk.img"), ImportOptions{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	absent(t, directory)
}

func TestErrorsNameTheirCause(t *testing.T) {
	if _, err := operations(t).Info(location(t, filepath.Join(t.TempDir(), "none"))); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	url := location(t, serve(t, http.NotFoundHandler()))
	if _, err := operations(t).Info(url); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	secret := location(t, strings.Replace(url.String(), "http://", "http://user:secret@", 1))
	if _, err := operations(t).Import(secret, "/dev/null", ImportOptions{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
