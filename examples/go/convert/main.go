// Command convert converts a disk image, or one that it reads from standard input or from an HTTP server, in one pass if the
// formats allow it. On Ctrl-C it stops and leaves no partial target.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"

	"github.com/diskimg/diskimg/bindings/go"
)

func main() {
	format := flag.String("O", "raw", "format of the target")
	settings := flag.String("o", "", "settings of the format, as for qemu-img -o")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: convert [-O FORMAT] [-o SETTINGS] FILE|URL|- TARGET")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	options := &diskimg.ConvertOptions{
		Format:   diskimg.Format(*format),
		Settings: *settings,
		Progress: func(done, total int64) error {
			fmt.Fprintf(os.Stderr, "\r%d of %d bytes", done, total)
			return nil
		},
	}
	err := convert(ctx, flag.Arg(0), diskimg.ToPath(flag.Arg(1)), options)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, explain(err))
		os.Exit(1)
	}
}

func convert(ctx context.Context, source string, target diskimg.Target, options *diskimg.ConvertOptions) error {
	switch {
	case source == "-":
		_, err := diskimg.ConvertReader(ctx, os.Stdin, -1, target, nil, options)
		return err
	case strings.HasPrefix(source, "http://"), strings.HasPrefix(source, "https://"):
		return download(ctx, source, target, options)
	}
	image, err := diskimg.Open(ctx, source, &diskimg.OpenOptions{References: true})
	if err != nil {
		return err
	}
	defer image.Close()
	_, err = image.Convert(ctx, target, options)
	return err
}

// download converts the body of a response. The context ends the request too, so that no Read blocks after it.
func download(ctx context.Context, url string, target diskimg.Target, options *diskimg.ConvertOptions) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	_, err = diskimg.ConvertReader(ctx, response.Body, response.ContentLength, target, nil, options)
	return err
}

// explain returns an error with the hint of the library.
func explain(err error) string {
	var failed *diskimg.Error
	if errors.As(err, &failed) && failed.Hint != "" {
		return fmt.Sprintf("%v\n%s", err, failed.Hint)
	}
	return err.Error()
}
