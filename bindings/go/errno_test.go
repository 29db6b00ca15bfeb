//go:build linux

package diskimg

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// checkCases runs cases whose paths are prepared.
func checkCases(t *testing.T, cases []errnoCase, paths []string, sources errnoSources) {
	t.Helper()
	for i, c := range cases {
		var taken []*os.File
		for c.condition == "descriptors" {
			file, err := os.Open(os.DevNull)
			if err != nil {
				break
			}
			taken = append(taken, file)
		}
		err := c.run(t, paths[i], sources)
		for _, file := range taken {
			file.Close()
		}
		if difference := c.difference(err); difference != "" {
			t.Error(difference)
		}
	}
}

// preparePaths prepares the cases with a condition.
func preparePaths(t *testing.T, condition, place string) []string {
	t.Helper()
	var paths []string
	for _, c := range errnoCases(t, condition) {
		paths = append(paths, c.prepare(t, place))
	}
	return paths
}

func TestRefusedPathHasTheNumberOfTheSystem(t *testing.T) {
	sources := newErrnoSources(t)
	for _, condition := range []string{"absent", "under-file", "directory", "file", "loop", "long", "for-reading"} {
		checkCases(t, errnoCases(t, condition), preparePaths(t, condition, t.TempDir()), sources)
	}
}

func TestLimitOfTheProcessHasTheNumberOfTheSystem(t *testing.T) {
	inChild(t, "descriptors", t.TempDir(), "ulimit -n 64")
	inChild(t, "size", t.TempDir(), "ulimit -f 128")
}

func TestFileOfAnotherUserHasTheNumberOfTheSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: only root can run a process as another user")
	}
	place := t.TempDir()
	if err := os.Chmod(place, 0o700); err != nil {
		t.Fatal(err)
	}
	inChild(t, "permission", place, ":")
}

// inChild runs the cases with a condition in a process that a line of a shell prepares.
func inChild(t *testing.T, condition, place, prepare string) {
	t.Helper()
	paths := preparePaths(t, condition, place)
	child := exec.Command("sh", "-c", prepare+`; exec "$0" -test.run '^TestCasesInAChild$' -test.v`, os.Args[0])
	child.Env = append(os.Environ(), "ERRNO_CONDITION="+condition, "ERRNO_PATHS="+strings.Join(paths, ":"))
	output, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: TestCasesInAChild") {
		t.Fatalf("%s: %v\n%s", condition, err, output)
	}
}

// TestCasesInAChild is a part of the other tests, which run it in a process with other limits.
func TestCasesInAChild(t *testing.T) {
	condition := os.Getenv("ERRNO_CONDITION")
	if condition == "" {
		t.Skip("the other tests run it")
	}
	sources := newErrnoSources(t)
	cases := errnoCases(t, condition)
	if condition == "size" {
		signal.Ignore(syscall.SIGXFSZ)
	}
	if condition == "permission" {
		// After the library is loaded, which the other user may not be able to read.
		if err := syscall.Setgid(65534); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setuid(65534); err != nil {
			t.Fatal(err)
		}
	}
	checkCases(t, cases, strings.Split(os.Getenv("ERRNO_PATHS"), ":"), sources)
}

func TestFileSystemWithoutSpaceOrReadOnlyHasTheNumberOfTheSystem(t *testing.T) {
	place := mountFileSystem(t)
	sources := newErrnoSources(t)
	full, readOnly := preparePaths(t, "full", place), preparePaths(t, "read-only", place)
	fill(t, filepath.Join(place, "fill"))
	checkCases(t, errnoCases(t, "full"), full, sources)
	if err := os.Remove(filepath.Join(place, "fill")); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("mount", "-o", "remount,ro", place).CombinedOutput(); err != nil {
		t.Fatal(err, string(output))
	}
	checkCases(t, errnoCases(t, "read-only"), readOnly, sources)
}

// mountFileSystem mounts a small file system in a file, and returns its directory.
func mountFileSystem(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	image, place := filepath.Join(directory, "image"), filepath.Join(directory, "mounted")
	if err := os.Mkdir(place, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-m0", "-O^has_journal", image},
		{"mount", "-o", "loop", image, place},
	} {
		if output, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skip("skipped: no file system can be created and mounted here:", err, string(output))
		}
	}
	t.Cleanup(func() {
		if output, err := exec.Command("umount", place).CombinedOutput(); err != nil {
			t.Error(err, string(output))
		}
	})
	return place
}

// fill writes zeros to a file until the file system has less than 1 MiB left, but more than the names need.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	length, zeros := int64(0), make([]byte, 64<<10)
	for {
		n, err := file.Write(zeros)
		length += int64(n)
		if err != nil {
			break
		}
	}
	if err := file.Truncate(length - 256<<10); err != nil {
		t.Fatal(err)
	}
}
