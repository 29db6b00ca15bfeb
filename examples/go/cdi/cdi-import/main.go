// Command cdi-import converts an image at a path or URL to a raw file or block device.
//
//	cdi-import https://example.org/disk.qcow2.xz disk.img
//	cdi-import -checksum sha256:HEX -preallocate disk.ova /dev/vdb
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"example.com/diskimg/cdi"
)

func main() {
	var options cdi.ImportOptions
	var config cdi.Config
	flag.BoolVar(&options.Preallocate, "preallocate", false, "allocate all space of the target")
	flag.StringVar(&options.Checksum, "checksum", "", "the expected checksum of the source, `ALGORITHM:HEX`")
	flag.Int64Var(&options.AvailableSize, "available", 0, "the largest virtual size to accept, in `BYTES`")
	flag.StringVar(&config.ScratchDir, "scratch", "", "the `DIRECTORY` for images that cannot be converted in one pass")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config.Progress = func(percent float64) { fmt.Fprintf(os.Stderr, "\r%5.1f %%", percent) }
	if err := run(cdi.New(ctx, config), flag.Arg(0), flag.Arg(1), options); err != nil {
		fmt.Fprintf(os.Stderr, "\n%v\n", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr)
}

func run(operations *cdi.Operations, source, dest string, options cdi.ImportOptions) error {
	location, err := url.Parse(source)
	if err != nil {
		return err
	}
	size, err := operations.Import(location, dest, options)
	if err == nil {
		fmt.Printf("%s: %d bytes\n", dest, size)
	}
	return err
}
