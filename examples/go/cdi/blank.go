package cdi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	diskimg "github.com/diskimg/diskimg/bindings/go"
)

// imageMode are the permissions of the files that CDI gives to a virtual machine.
const imageMode = 0o660

// CreateBlankImage creates a raw disk of zeros in a file, with the permissions 0660. An existing file is replaced.
func (o *Operations) CreateBlankImage(dest string, size int64, preallocate bool) error {
	options := &diskimg.ConvertOptions{Overwrite: true}
	if preallocate {
		options.Preallocation = diskimg.PreallocationFalloc
	}
	if err := o.create(dest, size, options); err != nil {
		return fmt.Errorf("could not create raw image with size %d in %s: %w", size, dest, err)
	}
	return os.Chmod(dest, imageMode)
}

// PreallocateBlankBlock writes size bytes of zeros to a block device. Its other bytes stay.
func (o *Operations) PreallocateBlankBlock(dest string, size int64) error {
	isDevice, err := isBlockDevice(dest)
	if err == nil && !isDevice {
		err = syscall.ENOTBLK
	}
	if err == nil {
		err = o.create(dest, size, &diskimg.ConvertOptions{InPlace: true, Overwrite: true, StoreZeros: true})
	}
	if err != nil {
		return fmt.Errorf("could not preallocate blank block volume at %s with size %d: %w", dest, size, err)
	}
	return nil
}

func (o *Operations) create(dest string, size int64, options *diskimg.ConvertOptions) error {
	writer, err := diskimg.Create(o.ctx, diskimg.ToPath(dest), size, options)
	if err != nil {
		return err
	}
	defer writer.Close()
	if options.StoreZeros {
		if err := writer.WriteZeroes(0, size); err != nil {
			return err
		}
	}
	return writer.Finish()
}

// Resize makes a raw disk in a file longer. The new bytes read as zeros. A smaller size is an error, as it would drop bytes.
func (o *Operations) Resize(image string, size int64, preallocate bool) error {
	if err := resize(image, size, preallocate); err != nil {
		return fmt.Errorf("error resizing image %s: %w", image, err)
	}
	return nil
}

func resize(image string, size int64, preallocate bool) error {
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	old, err := file.Seek(0, io.SeekEnd) // also of a block device
	if err != nil {
		return err
	}
	if size < old {
		return fmt.Errorf("the disk has %d bytes, and %d are requested: %w", old, size, syscall.EINVAL)
	}
	if err := file.Truncate(size); err != nil && size > old {
		return err
	}
	if preallocate {
		if err := allocate(file, old, size); err != nil {
			return err
		}
	}
	return file.Sync()
}

// allocate allocates the space of a range, and keeps its bytes.
func allocate(file *os.File, start, end int64) error {
	if start == end {
		return nil
	}
	err := syscall.Fallocate(int(file.Fd()), 0, start, end-start)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return copyRange(file, file, start, end-start, make([]byte, 1<<20))
	}
	return os.NewSyscallError("fallocate", err)
}

func writeZeros(file *os.File, start, end int64) error {
	zeros := make([]byte, 1<<20)
	for start < end {
		if end-start < int64(len(zeros)) {
			zeros = zeros[:end-start]
		}
		n, err := file.WriteAt(zeros, start)
		if err != nil {
			return err
		}
		start += int64(n)
	}
	return nil
}
