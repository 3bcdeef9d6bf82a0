package target

import (
	"errors"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var archs = func() (list []string) {
	for _, t := range All() {
		list = append(list, t.Arch)
	}
	return list
}()

// Each row of kernels.txt has a machine, and names a package in the form that package machine expects.
func TestKernels(t *testing.T) {
	names, machines := map[string]bool{}, map[string]bool{}
	for _, w := range rows("machines.txt", machineTable, 5) {
		machines[w[0]] = true
	}
	all := Kernels()
	if len(all) < 10 {
		t.Errorf("%d kernels", len(all))
	}
	for _, k := range all {
		version, arch, _ := strings.Cut(k.Name, "-")
		switch {
		case names[k.Name]:
			t.Errorf("%s: two rows have this name", k.Name)
		case arch != k.Arch || !strings.Contains(path.Base(k.Path), "_"+version+"-"):
			t.Errorf("%s: the name is not VERSION-GOARCH", k.Name)
		case !slices.Contains(archs, k.Arch) || !machines[k.Arch]:
			t.Errorf("%s: %s is in targets.txt: %v, in machines.txt: %v", k.Name, k.Arch, slices.Contains(archs, k.Arch), machines[k.Arch])
		case !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(k.SHA256):
			t.Errorf("%s: %q is no SHA-256", k.Name, k.SHA256)
		case !strings.HasPrefix(k.Path, "pool/main/") || path.Clean(k.Path) != k.Path || path.Ext(k.Path) != ".deb":
			t.Errorf("%s: %q is no package below pool/main", k.Name, k.Path)
		}
		names[k.Name] = true
	}
}

// The architecture of a machine has a target, even if no libc is glibc.
func TestOnePerArch(t *testing.T) {
	want := slices.Compact(slices.Sorted(slices.Values(archs)))
	var got []string
	for _, one := range OnePerArch() {
		got = append(got, one.Arch)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMachines(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range rows("machines.txt", machineTable, 5) {
		if len(w) < 5 || seen[w[0]] || !slices.Contains(archs, w[0]) || !strings.HasPrefix(w[1], "qemu-system-") || !strings.HasPrefix(w[3], "qemu-system-") {
			t.Errorf("%q is wrong, or the architecture has two rows", w)
		}
		seen[w[0]] = true
		if !slices.ContainsFunc(Kernels(), func(k Kernel) bool { return k.Arch == w[0] }) {
			t.Errorf("no kernel needs the machine %s", w[0])
		}
	}
}

func TestMachineFor(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	m, err := MachineFor("s390x")
	if !errors.Is(err, ErrMissing) || !strings.HasSuffix(err.Error(), "root can install it: apt-get install qemu-system-misc") {
		t.Error(err)
	}
	if m.Command[0] != "qemu-system-s390x" || m.Console != "ttysclp0" {
		t.Errorf("got %+v, want the emulator and the console of s390x", m)
	}
	// A wrong architecture is not a missing emulator.
	if _, err := MachineFor("vax"); err == nil || errors.Is(err, ErrMissing) {
		t.Error(err)
	}
}

func TestRows(t *testing.T) {
	got := rows("a.txt", "# comment\n\n  # indented\n \t\na b\n\tc d e\n", 2)
	if want := [][]string{{"a", "b"}, {"c", "d", "e"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	defer func() {
		if got, want := recover(), "proof/target/a.txt:3: 1 words, want at least 2"; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}()
	rows("a.txt", "# comment\na b\nc\n", 2)
}
