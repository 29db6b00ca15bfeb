package diskimg

import (
	"strings"
	"testing"
)

func TestFormatsAreListed(t *testing.T) {
	found := map[Format]FormatSupport{}
	for _, support := range Formats() {
		found[support.Format] = support
	}
	for _, format := range []Format{FormatRaw, FormatQcow2, FormatVMDK, FormatVDI} {
		if support := found[format]; !support.CanRead || !support.CanStream || !support.CanCreate {
			t.Errorf("%s: %+v", format, support)
		}
	}
	if !found[FormatQcow2].CanCheck || found[FormatRaw].CanCheck {
		t.Error(found)
	}
	if version := Version(); strings.Count(version, ".") != 2 {
		t.Error(version)
	}
}

func TestSettingsAndLimitsAreListed(t *testing.T) {
	for format, name := range map[Format]string{FormatRaw: "preallocation", FormatQcow2: "cluster_size", FormatVMDK: "subformat"} {
		settings, err := Settings(format)
		if err != nil {
			t.Fatal(err)
		}
		has := false
		for _, setting := range settings {
			has = has || setting.Name == name && setting.Help != "" && setting.Values != ""
		}
		if !has {
			t.Errorf("%s: %+v", format, settings)
		}
	}
	limits, err := Limits()
	if err != nil {
		t.Fatal(err)
	}
	has := false
	for _, limit := range limits {
		has = has || limit.Name == "virtual-size" && limit.Default == 64<<40 && limit.Help != ""
	}
	if !has {
		t.Errorf("%+v", limits)
	}
}
