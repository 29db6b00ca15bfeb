//go:build !diskimg_static

package diskimg

// #cgo pkg-config: diskimg
import "C"
