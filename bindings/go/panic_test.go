package diskimg

import (
	"bytes"
	"io"
	"path/filepath"
	"runtime"
	"testing"
)

// A function of the program ends by a panic or by runtime.Goexit. Each case is a call of the library with such a function.

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(buf []byte) (int, error) { return f(buf) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(buf []byte) (int, error) { return f(buf) }

type readerAtFunc func([]byte, int64) (int, error)

func (f readerAtFunc) ReadAt(buf []byte, offset int64) (int, error) { return f(buf, offset) }

// holes is a reader whose NextData ends.
type holes struct {
	io.ReaderAt
	end func()
}

func (h holes) NextData(int64) (int64, int64, error) {
	h.end()
	return 0, 0, nil
}

// fileOf is a file of the program; the function is called by name before each of its methods.
type fileOf struct {
	at func(name string)
}

func (f fileOf) WriteAt(buf []byte, _ int64) (int, error) { f.at("WriteAt"); return len(buf), nil }
func (f fileOf) WriteZeroes(_, _ int64) error             { f.at("WriteZeroes"); return nil }
func (f fileOf) Truncate(int64) error                     { f.at("Truncate"); return nil }
func (f fileOf) Sync() error                              { f.at("Sync"); return nil }

type closerFunc func()

func (f closerFunc) Close() error { f(); return nil }

// endings returns the calls, by the function that ends.
func endings(t *testing.T) map[string]func(end func()) {
	data := load(t, good+"mixed.qcow2")
	size := int64(len(data))
	image := openGood(t, "mixed.qcow2", nil)
	leaky := load(t, bad+"q26-data-past-end.qcow2")
	directory := t.TempDir()
	convert := func(options *ConvertOptions) {
		_, _ = image.Convert(background, ToPath(filepath.Join(directory, "disk")), options)
	}
	only := func(name string, end func()) fileOf {
		return fileOf{func(called string) {
			if called == name {
				end()
			}
		}}
	}
	toFile := func(name string) func(func()) {
		return func(end func()) { _, _ = image.Convert(background, ToWriterAt(only(name, end)), nil) }
	}
	create := func(name string, options *ConvertOptions) func(func()) {
		return func(end func()) {
			writer, err := Create(background, ToWriterAt(only(name, end)), 1<<20, options)
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Close()
			_, _ = writer.WriteAt([]byte{1}, 512)
			_ = writer.WriteZeroes(4096, 512)
			_ = writer.Finish()
		}
	}
	onceOpened := func(use func(*Image)) func(func()) {
		return func(end func()) {
			opened := false
			reader := readerAtFunc(func(buf []byte, offset int64) (int, error) {
				if opened {
					end()
				}
				return bytes.NewReader(data).ReadAt(buf, offset)
			})
			image, err := OpenReaderAt(background, reader, size, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer image.Close()
			opened = true
			use(image)
		}
	}
	calls := map[string]func(func()){
		"progress": func(end func()) {
			convert(&ConvertOptions{Progress: func(int64, int64) error { end(); return nil }})
		},
		"last progress": func(end func()) {
			_, _ = image.Convert(background, ToWriter(io.Discard), &ConvertOptions{Progress: func(done, total int64) error {
				if done == total {
					end()
				}
				return nil
			}})
		},
		"writer": func(end func()) {
			_, _ = image.Convert(background, ToWriter(writerFunc(func([]byte) (int, error) { end(); return 0, nil })), nil)
		},
		"WriteAt": toFile("WriteAt"), "WriteZeroes": toFile("WriteZeroes"), "Truncate": toFile("Truncate"),
		"Sync":            toFile("Sync"),
		"created WriteAt": create("WriteAt", nil), "created WriteZeroes": create("WriteZeroes", nil),
		"created Sync": create("Sync", nil),
		"stream": func(end func()) {
			ended := readerFunc(func([]byte) (int, error) { end(); return 0, nil })
			reader := io.MultiReader(bytes.NewReader(data[:30_000]), ended)
			_, _ = ConvertReader(background, reader, 0, ToPath(filepath.Join(directory, "disk")), nil, nil)
		},
		"ReadAt while opening": func(end func()) {
			reader := readerAtFunc(func([]byte, int64) (int, error) { end(); return 0, nil })
			_, _ = OpenReaderAt(background, reader, size, nil)
		},
		"ReadAt after opening": onceOpened(func(image *Image) { _, _ = image.ReadAt(make([]byte, 1<<20), 0) }),
		"ReadAt while converting": onceOpened(func(image *Image) {
			_, _ = image.Convert(background, ToPath(filepath.Join(directory, "disk")), nil)
		}),
		"NextData": func(end func()) {
			image, err := OpenReaderAt(background, holes{bytes.NewReader(data), end}, size, &OpenOptions{Format: FormatRaw})
			if err != nil {
				t.Fatal(err)
			}
			defer image.Close()
			_, _ = image.Extents(0, image.Size())
		},
		"resolve": func(end func()) {
			options := &OpenOptions{Resolve: func(Role, string) (ResolvedFile, error) { end(); return ResolvedFile{}, nil }}
			_, _ = Open(background, good+"chain-top.qcow2", options)
		},
		"close": func(end func()) {
			base := load(t, good+"chain-base.qcow2")
			image, err := Open(background, good+"chain-middle.qcow2", &OpenOptions{
				Resolve: func(Role, string) (ResolvedFile, error) {
					return ResolvedFile{bytes.NewReader(base), int64(len(base)), closerFunc(end)}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			image.Close()
		},
		"log": func(end func()) {
			options := &OpenOptions{InfoOnly: true, Log: func(Severity, string) { end() }}
			_, _ = Open(background, good+"chain-top.qcow2", options)
		},
		"problem": func(end func()) {
			image, err := OpenReaderAt(background, bytes.NewReader(leaky), int64(len(leaky)), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer image.Close()
			_, _ = image.Check(background, &CheckOptions{Problem: func(Problem) error { end(); return nil }})
		},
		"progress of an opening": func(end func()) {
			options := &OpenOptions{Progress: func(int64, int64) error { end(); return nil }}
			_, _ = Open(background, good+"v3.qcow2.gz", options)
		},
		"progress of a check": func(end func()) {
			_, _ = image.Check(background, &CheckOptions{Progress: func(int64, int64) error { end(); return nil }})
		},
		"progress of a comparison": func(end func()) {
			options := &CompareOptions{Progress: func(int64, int64) error { end(); return nil }}
			_, _ = Compare(background, image, image, options)
		},
	}
	return calls
}

func TestPanicOfAFunctionContinuesInTheCallerWithItsValue(t *testing.T) {
	for name, call := range endings(t) {
		t.Run(name, func(t *testing.T) {
			for i := 0; i < 100; i++ {
				func() {
					defer func() {
						if value := recover(); value != "the value "+name {
							t.Fatalf("round %d: recovered %v", i, value)
						}
					}()
					call(func() { panic("the value " + name) })
				}()
			}
		})
	}
}

func TestPanicWithNilContinuesInTheCaller(t *testing.T) {
	image := openGood(t, "mixed.qcow2", nil)
	returned := true
	func() {
		defer func() { _ = recover() }()
		_, _ = image.Convert(background, ToWriter(io.Discard), &ConvertOptions{Progress: func(int64, int64) error {
			var nothing any
			panic(nothing)
		}})
		returned = false
	}()
	if !returned {
		t.Fatal("the panic ended in the call")
	}
}

func TestGoexitOfAFunctionEndsTheGoroutineOfTheCaller(t *testing.T) {
	for name, call := range endings(t) {
		t.Run(name, func(t *testing.T) {
			for i := 0; i < 20; i++ {
				returned, deferred := false, false
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { deferred = recover() == nil }()
					call(runtime.Goexit)
					returned = true
				}()
				<-done
				if returned || !deferred {
					t.Fatalf("round %d: returned %v, deferred functions ran %v", i, returned, deferred)
				}
			}
		})
	}
}

func TestImageIsUsableAfterAPanic(t *testing.T) {
	for _, call := range endings(t) {
		func() {
			defer func() { _ = recover() }()
			call(func() { panic("once") })
		}()
	}
	image := openGood(t, "mixed.qcow2", nil)
	path := filepath.Join(t.TempDir(), "disk.raw")
	if _, err := image.Convert(background, ToPath(path), nil); err != nil {
		t.Fatal(err)
	}
	equal(t, load(t, path), disk(t, image))
}
