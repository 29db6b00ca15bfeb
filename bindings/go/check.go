package diskimg

// #include "shim.h"
import "C"

import (
	"context"
	"unsafe"
)

// ProblemKind is the kind of a Problem.
type ProblemKind int

// The kinds of problems.
const (
	// ProblemCorruption makes guest bytes wrong or unreadable, or may do so.
	ProblemCorruption ProblemKind = C.DISKIMG_PROBLEM_CORRUPTION
	// ProblemLeak is lost space in the file. Guest bytes are not affected.
	ProblemLeak ProblemKind = C.DISKIMG_PROBLEM_LEAK
)

// Problem is a problem that Check found.
type Problem struct {
	Kind ProblemKind
	// Offset is the byte offset in the image file; -1 if the problem has no single offset.
	Offset  int64
	Message string
}

// CheckOptions are the options of Check; nil sets all defaults.
type CheckOptions struct {
	// Problem receives the first thousand problems, instead of CheckResult.Problems. An error cancels the call, which
	// returns it.
	Problem func(Problem) error
	// Progress receives progress; see ConvertOptions.Progress.
	Progress func(done, total int64) error
}

// CheckResult is the result of a check.
type CheckResult struct {
	// Corruptions is the number of problems that make guest bytes wrong or unreadable.
	Corruptions int64
	// Leaks is the number of units of the file that nothing uses.
	Leaks int64
	// TotalUnits is the number of units (clusters, grains, blocks) of the disk; 0 if not counted.
	TotalUnits int64
	// AllocatedUnits is the number of these with data of their own; 0 if not counted.
	AllocatedUnits int64
	// CompressedUnits is the number of allocated units that are compressed.
	CompressedUnits int64
	// FragmentedUnits is the number of allocated units that do not directly follow the previous one in the file.
	FragmentedUnits int64
	// ImageEnd is the byte offset after the last unit in use; 0 if unknown.
	ImageEnd int64
	// Problems has the first thousand problems, unless CheckOptions.Problem receives them.
	Problems []Problem
}

// Check checks the structure of the image, but not of the layers below it. Problems in the image are not an error: see the
// result. A format without a check is ErrUnsupported.
func (i *Image) Check(ctx context.Context, options *CheckOptions) (CheckResult, error) {
	c, err := i.begin(ctx)
	if err != nil {
		return CheckResult{}, err
	}
	defer i.leave()
	defer c.release()
	var problems []Problem
	c.problem = func(problem Problem) error {
		problems = append(problems, problem)
		return nil
	}
	raw := C.godiskimg_empty_check_result()
	var cerr *C.diskimg_error
	status := C.godiskimg_check(c.id(), i.handle, c.checkOptions(options), &raw, &cerr)
	if err := c.end(status, cerr, &i.files.outcome); err != nil {
		return CheckResult{}, err
	}
	result := checkResultOf(&raw)
	result.Problems = problems
	return result, nil
}

func (c *call) checkOptions(options *CheckOptions) *C.diskimg_check_options {
	out := (*C.diskimg_check_options)(c.block(unsafe.Sizeof(C.diskimg_check_options{})))
	C.godiskimg_init_check(out, c.id())
	out.cancel = c.flag()
	if options == nil {
		return out
	}
	if options.Problem != nil {
		c.problem = options.Problem
	}
	if options.Progress != nil {
		c.progress = options.Progress
		C.godiskimg_set_check_progress(out, c.id())
	}
	return out
}

func checkResultOf(raw *C.diskimg_check_result) CheckResult {
	return CheckResult{
		Corruptions:     bounded(raw.corruptions),
		Leaks:           bounded(raw.leaks),
		TotalUnits:      bounded(raw.total_units),
		AllocatedUnits:  bounded(raw.allocated_units),
		CompressedUnits: bounded(raw.compressed_units),
		FragmentedUnits: bounded(raw.fragmented_units),
		ImageEnd:        bounded(raw.image_end),
	}
}
