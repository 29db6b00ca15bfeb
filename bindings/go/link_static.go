//go:build diskimg_static

package diskimg

// #cgo pkg-config: --static diskimg
// #cgo LDFLAGS: -static
import "C"
