package diskimg

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestCheckReportsProblems(t *testing.T) {
	healthy, err := openGood(t, "mixed.qcow2", nil).Check(background, nil)
	if err != nil || healthy.Corruptions != 0 || healthy.TotalUnits == 0 || len(healthy.Problems) != 0 {
		t.Fatalf("%+v %v", healthy, err)
	}
	image, err := Open(background, bad+"q26-data-past-end.qcow2", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	result, err := image.Check(background, nil)
	if err != nil || result.Corruptions == 0 || len(result.Problems) == 0 ||
		result.Problems[0].Kind != ProblemCorruption || result.Problems[0].Message == "" {
		t.Fatalf("%+v %v", result, err)
	}
	stop := errors.New("enough")
	options := &CheckOptions{Problem: func(Problem) error { return stop }}
	if _, err := image.Check(background, options); !errors.Is(err, stop) || !errors.Is(err, ErrCancelled) {
		t.Fatal(err)
	}
}

func TestCheckOfARawDiskIsUnsupported(t *testing.T) {
	if _, err := openGood(t, "gpt.raw", nil).Check(background, nil); !errors.Is(err, ErrUnsupported) {
		t.Fatal(err)
	}
}

func TestComparisonFindsTheFirstDifference(t *testing.T) {
	one := openGood(t, "mixed.qcow2", nil)
	data := disk(t, one)
	data[50_000] ^= 1
	path := filepath.Join(t.TempDir(), "disk")
	writer, err := Create(background, ToPath(path), int64(len(data)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := writer.Finish(); err != nil {
		t.Fatal(err)
	}
	other, err := Open(background, path, &OpenOptions{Format: FormatRaw})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if found, err := Compare(background, one, other, nil); err != nil || found.Same || found.FirstDifference != 50_000 {
		t.Fatal(found, err)
	}
}

func TestMeasureOfAnUnknownSettingIsRefused(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	sizes, err := image.Measure(background, &ConvertOptions{Format: FormatQcow2})
	if err != nil || sizes.Required <= 0 || sizes.FullyAllocated <= image.Size() {
		t.Fatal(sizes, err)
	}
	if _, err := image.Measure(background, &ConvertOptions{Format: FormatQcow2, Settings: "colour=red"}); !errors.Is(err, ErrInvalidArgument) {
		t.Fatal(err)
	}
}
