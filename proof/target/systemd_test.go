package target

import (
	"encoding/hex"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestRowsAreGroupedBySystemd(t *testing.T) {
	got := parseSystemds("# comment\n1 k1 a pool/a\n2 k2 b pool/b\n1 k1 c pool/c\n")
	want := []Systemd{
		{"1", "k1", []Package{{"a", "pool/a"}, {"c", "pool/c"}}},
		{"2", "k2", []Package{{"b", "pool/b"}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSystemdTableIsComplete(t *testing.T) {
	versions := map[string]bool{}
	for _, s := range Systemds() {
		if _, err := strconv.Atoi(s.Version); err != nil || versions[s.Version] {
			t.Errorf("version %q is not a number, or has two kernels", s.Version)
		}
		versions[s.Version] = true
		if !slices.ContainsFunc(Kernels(), func(k Kernel) bool { return k.Name == s.Kernel }) {
			t.Errorf("systemd %s: kernels.txt has no kernel %q", s.Version, s.Kernel)
		}
		// The version of the package must be that of the row.
		if !strings.HasPrefix(path.Base(s.Packages[0].Path), "systemd_"+s.Version+".") {
			t.Errorf("systemd %s begins with %s", s.Version, s.Packages[0].Path)
		}
		for _, p := range s.Packages {
			if sum, err := hex.DecodeString(p.SHA256); err != nil || len(sum) != 32 || !strings.HasPrefix(p.Path, "pool/main/") {
				t.Errorf("systemd %s: invalid row %v", s.Version, p)
			}
		}
	}
	if len(versions) < 2 {
		t.Error("fewer than two versions")
	}
}
