package diskimg

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestCreatedDiskHasTheBytesWritten(t *testing.T) {
	directory := t.TempDir()
	for _, options := range []ConvertOptions{{}, {Format: FormatQcow2}, {Format: FormatVMDK}, {Format: FormatVDI}} {
		path := filepath.Join(directory, "disk."+string(options.Format))
		options := options
		writer, err := Create(background, ToPath(path), 1<<20, &options)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 1<<20)
		copy(want[100_000:], painted(300_000))
		var writers sync.WaitGroup
		for i := int64(0); i < 3; i++ {
			writers.Add(1)
			go func(at int64) {
				defer writers.Done()
				if n, err := writer.WriteAt(want[at:at+100_000], at); err != nil || n != 100_000 {
					t.Error(n, err)
				}
			}(100_000 + i*100_000)
		}
		writers.Wait()
		if err := writer.WriteZeroes(150_000, 1000); err != nil {
			t.Fatal(err)
		}
		copy(want[150_000:151_000], make([]byte, 1000))
		if n, err := writer.WriteAt(nil, 0); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal("the file appeared before Finish")
		}
		if err := writer.Finish(); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.WriteAt([]byte{1}, 0); !errors.Is(err, ErrInvalidArgument) {
			t.Fatal("written after Finish:", err)
		}
		writer.Close()
		image, err := Open(background, path, &OpenOptions{AllowRaw: true})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, disk(t, image), want)
		image.Close()
	}
}

func TestWriterRefusesInvalidRanges(t *testing.T) {
	writer, err := Create(background, ToWriterAt(&memoryFile{}), 4096, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	for _, c := range []struct {
		err, want error
	}{
		{second(writer.WriteAt([]byte{1}, -1)), syscall.EINVAL},
		{second(writer.WriteAt([]byte{1}, 4096)), ErrOutOfBounds},
		{writer.WriteZeroes(-1, 1), syscall.EINVAL},
		{writer.WriteZeroes(0, -1), syscall.EINVAL},
		{writer.WriteZeroes(0, 4097), ErrOutOfBounds},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%v, want %v", c.err, c.want)
		}
	}
}

func TestContextStopsPreallocation(t *testing.T) {
	directory := t.TempDir()
	for name, options := range map[string]*ConvertOptions{
		"raw":   {Preallocation: PreallocationFull},
		"qcow2": {Format: FormatQcow2, Settings: "preallocation=full"},
	} {
		ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
		defer cancel()
		writer, err := Create(ctx, ToPath(filepath.Join(directory, "disk")), 8<<30, options)
		if err == nil {
			err = writer.Finish()
			writer.Close()
		}
		if err != context.DeadlineExceeded {
			t.Errorf("%s: %v", name, err)
		}
	}
	absent(t, directory)
}

func TestContextIsUsedUntilTheWriterIsClosed(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	writer, err := Create(ctx, ToWriterAt(&memoryFile{}), 4096, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	cancel()
	for name, err := range map[string]error{
		"WriteAt":     second(writer.WriteAt([]byte{1}, 0)),
		"WriteZeroes": writer.WriteZeroes(0, 1),
		"Finish":      writer.Finish(),
	} {
		if err != context.Canceled {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClosedWriterLeavesNoFile(t *testing.T) {
	directory := t.TempDir()
	writer, err := Create(background, ToPath(filepath.Join(directory, "disk")), 4096, &ConvertOptions{Format: FormatQcow2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.WriteAt([]byte("bytes"), 0); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"WriteAt":     second(writer.WriteAt([]byte{1}, 0)),
		"WriteZeroes": writer.WriteZeroes(0, 1),
		"Finish":      writer.Finish(),
	} {
		if err != os.ErrClosed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Error("second Close:", err)
	}
	absent(t, directory)
}

func TestCloseDuringWriteAtLetsItComplete(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	target := fileOf{func(name string) {
		if name == "WriteAt" {
			close(entered)
			<-leave
		}
	}}
	writer, err := Create(background, ToWriterAt(target), 4096, nil)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error)
	go func() { written <- second(writer.WriteAt([]byte{1}, 0)) }()
	<-entered
	writer.Close()
	if err := second(writer.WriteAt([]byte{1}, 0)); err != os.ErrClosed {
		t.Error(err)
	}
	close(leave)
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestForgottenWriterIsClosedByItsFinalizer(t *testing.T) {
	directory := t.TempDir()
	func() {
		if _, err := Create(background, ToPath(filepath.Join(directory, "disk.vmdk")), 4096,
			&ConvertOptions{Format: FormatVMDK, Settings: "subformat=monolithicFlat"}); err != nil {
			t.Fatal(err)
		}
	}()
	before := descriptors(t)
	for i := 0; i < 100 && descriptors(t) >= before; i++ {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	if after := descriptors(t); after >= before {
		t.Fatalf("%d files are open, %d before", after, before)
	}
	absent(t, directory)
}

func descriptors(t *testing.T) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("skipped: the system has no /proc")
	}
	return len(names)
}
