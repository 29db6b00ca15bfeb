package diskimg

// #include "shim.h"
import "C"

import (
	"time"
	"unsafe"
)

// Role is what an image uses another file for.
type Role uint32

// The roles of references. The library may add others.
const (
	// RoleBacking is the layer below: ranges that the image does not store are read from it.
	RoleBacking Role = C.DISKIMG_ROLE_BACKING
	// RoleDataFile is an external data file: it holds the data of the disk.
	RoleDataFile Role = C.DISKIMG_ROLE_DATA_FILE
	// RoleExtent is an extent file: it holds a part of the disk.
	RoleExtent Role = C.DISKIMG_ROLE_EXTENT
	// RoleParent is the parent of a differencing image.
	RoleParent Role = C.DISKIMG_ROLE_PARENT
)

// Reference is a reference from an image to another file. The name is untrusted input: never open it unchecked.
type Reference struct {
	Role Role
	// Name is the name exactly as stored in the image. It may contain NULs.
	Name string
	// Format is the format of the file as stated by the image; empty if it states none.
	Format string
	// Offset is the byte offset of the name in the image file; -1 if it is unknown.
	Offset int64
}

// Snapshot is an internal snapshot, as listed in its image.
type Snapshot struct {
	// ID is the unique id, not escaped for a terminal.
	ID string
	// Name is the name, not escaped for a terminal.
	Name string
	// VirtualSize is the size of the disk in bytes when the snapshot was taken.
	VirtualSize int64
	// VMStateSize is the size of the saved machine state in bytes; 0 if there is none.
	VMStateSize int64
	// VMClock is the run time of the guest in nanoseconds.
	VMClock uint64
	// Date is the time of the snapshot.
	Date time.Time
}

// Severity is how much a finding matters.
type Severity int

// The severities.
const (
	// SeverityNote is information only. Reading is not affected.
	SeverityNote Severity = C.DISKIMG_SEVERITY_NOTE
	// SeverityWarning is an unusual or damaged, but readable image.
	SeverityWarning Severity = C.DISKIMG_SEVERITY_WARNING
	// SeverityUnsafe is unsafe if the image comes from an untrusted source.
	SeverityUnsafe Severity = C.DISKIMG_SEVERITY_UNSAFE
)

// Finding is a property of an image that matters to an importer of untrusted images.
type Finding struct {
	Severity Severity
	// Check is a short name for programs, such as "backing_file".
	Check string
	// Message is a line for people, with names escaped.
	Message string
	// Offset is the byte offset in the image file; -1 if it is unknown.
	Offset int64
}

// list calls a function for each of the entries of a list of the image.
func (i *Image) list(count func() C.size_t, entry func(C.size_t, **C.diskimg_error) C.diskimg_status) error {
	if err := i.enter(); err != nil {
		return err
	}
	defer i.leave()
	for index, end := C.size_t(0), count(); index < end; index++ {
		var cerr *C.diskimg_error
		if err := failure(entry(index, &cerr), cerr); err != nil {
			return err
		}
	}
	return nil
}

// References returns the references from the image to other files.
func (i *Image) References() ([]Reference, error) {
	var references []Reference
	count := func() C.size_t { return C.diskimg_reference_count(i.handle) }
	err := i.list(count, func(index C.size_t, cerr **C.diskimg_error) C.diskimg_status {
		raw := C.godiskimg_empty_reference()
		status := C.diskimg_get_reference(i.handle, index, &raw, cerr)
		if status == C.DISKIMG_OK {
			references = append(references, Reference{
				Role:   Role(raw.role),
				Name:   string(C.GoBytes(unsafe.Pointer(raw.name), C.int(raw.name_length))),
				Format: C.GoString(raw.format),
				Offset: offsetIf(raw.offset_known, raw.offset),
			})
		}
		return status
	})
	return references, err
}

// Snapshots returns the internal snapshots of the image. To read one, open the image with OpenOptions.Snapshot.
func (i *Image) Snapshots() ([]Snapshot, error) {
	var snapshots []Snapshot
	count := func() C.size_t { return C.diskimg_snapshot_count(i.handle) }
	err := i.list(count, func(index C.size_t, cerr **C.diskimg_error) C.diskimg_status {
		raw := C.godiskimg_empty_snapshot()
		status := C.diskimg_get_snapshot(i.handle, index, &raw, cerr)
		if status == C.DISKIMG_OK {
			snapshots = append(snapshots, Snapshot{
				ID:          C.GoString(raw.id),
				Name:        C.GoString(raw.name),
				VirtualSize: bounded(raw.virtual_size),
				VMStateSize: bounded(raw.vm_state_size),
				VMClock:     uint64(raw.vm_clock_nanoseconds),
				Date:        time.Unix(int64(raw.date_seconds), int64(raw.date_nanoseconds)).UTC(),
			})
		}
		return status
	})
	return snapshots, err
}

// Findings returns the findings about the image.
func (i *Image) Findings() ([]Finding, error) {
	var findings []Finding
	count := func() C.size_t { return C.diskimg_finding_count(i.handle) }
	err := i.list(count, func(index C.size_t, cerr **C.diskimg_error) C.diskimg_status {
		raw := C.godiskimg_empty_finding()
		status := C.diskimg_get_finding(i.handle, index, &raw, cerr)
		if status == C.DISKIMG_OK {
			findings = append(findings, Finding{
				Severity: Severity(raw.severity),
				Check:    C.GoString(raw.check),
				Message:  C.GoString(raw.message),
				Offset:   offsetIf(raw.offset_known, raw.offset),
			})
		}
		return status
	})
	return findings, err
}

func offsetIf(known C.uint32_t, offset C.uint64_t) int64 {
	if known == 0 {
		return -1
	}
	return bounded(offset)
}
