// Command convert converts a disk image to raw. On Ctrl-C it stops and leaves no partial target.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"example.com/diskimg/diskimg"
)

func run(source, target string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	image, err := diskimg.Open(source, diskimg.Options{References: true})
	if err != nil {
		return err
	}
	defer image.Close()
	progress := func(done, total uint64) { fmt.Fprintf(os.Stderr, "\r%d of %d bytes", done, total) }
	defer fmt.Fprintln(os.Stderr)
	return image.Convert(ctx, target, diskimg.Target{Progress: progress})
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: convert SOURCE TARGET")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
