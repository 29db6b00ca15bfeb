package diskimg

// #include "shim.h"
import "C"

// Setting is a setting of a format for ConvertOptions.Settings.
type Setting struct {
	Name string
	// Values are the values that it accepts, and the default, in words.
	Values string
	// Help is a description of one line.
	Help string
}

// Settings returns the settings of a format that can be written.
func Settings(format Format) ([]Setting, error) {
	number, err := format.number()
	if err != nil {
		return nil, err
	}
	var settings []Setting
	for index, end := C.size_t(0), C.diskimg_setting_count(number); index < end; index++ {
		raw := C.godiskimg_empty_setting()
		var cerr *C.diskimg_error
		if err := failure(C.diskimg_get_setting(number, index, &raw, &cerr), cerr); err != nil {
			return nil, err
		}
		settings = append(settings, Setting{C.GoString(raw.name), C.GoString(raw.values), C.GoString(raw.help)})
	}
	return settings, nil
}

// Limit is a limit for OpenOptions.Limits.
type Limit struct {
	Name string
	// Default is the value that applies unless the program sets another.
	Default uint64
	// Help is a description of one line, with the unit.
	Help string
}

// Limits returns the limits.
func Limits() ([]Limit, error) {
	var limits []Limit
	for index, end := C.size_t(0), C.diskimg_limit_count(); index < end; index++ {
		raw := C.godiskimg_empty_limit()
		var cerr *C.diskimg_error
		if err := failure(C.diskimg_get_limit(index, &raw, &cerr), cerr); err != nil {
			return nil, err
		}
		limits = append(limits, Limit{C.GoString(raw.name), uint64(raw.default_value), C.GoString(raw.help)})
	}
	return limits, nil
}
