//go:build linux

package systemd

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/proof/machine"
	"github.com/scm-rights/scm/proof/must"
)

// Every directory has a driver, units, and at least one check that CI runs.
func TestGroups(t *testing.T) {
	all := groups(Options{Quick: true})
	dirs, err := filepath.Glob("*/units")
	if err != nil || len(dirs) == 0 || len(dirs) != len(all) {
		t.Errorf("%d directories have units, and %d have quick checks: %v", len(dirs), len(all), err)
	}
	tree := machine.Tree{}
	addUnits(tree, "units")
	files := []string{"etc/systemd/system.conf", "etc/systemd/system/drive.service", "etc/systemd/system/service.d/machine.conf"}
	for _, g := range all {
		addUnits(tree, g.dir+"/units")
		files = append(files, "etc/systemd/system/drive.service.d/"+g.dir+".conf")
	}
	for _, name := range files {
		if _, found := tree[name]; !found {
			t.Errorf("the machine has no %s", name)
		}
	}
	if must.Try(func() { addUnits(tree, all[0].dir+"/units") }) == nil {
		t.Error("no error for two units with one name")
	}
	some := groups(Options{Checks: regexp.MustCompile("^NotifyBarrier$")})
	if len(some) != 1 || len(some[0].Checks) != 1 {
		t.Errorf("got %v, want one group with one check", some)
	}
}

func TestIsVersion(t *testing.T) {
	for text, want := range map[string]bool{
		"@@systemd 256\r\n":                     true,
		"@@systemd 256.1-1\r\n":                 true,
		"@@systemd 256~rc1\r\n":                 false,
		"@@systemd 2561\r\n":                    false,
		"@@systemd 255.2\r\n":                   false,
		"":                                      false,
		"@@systemd 256.1\n" + "@@systemd 256.1": true,
		"@@systemd 256.1\n" + "@@systemd 257.1": false,
	} {
		if err := isVersion("256", text); (err == nil) != want {
			t.Errorf("%q: got %v, want it to be version 256: %v", text, err, want)
		}
	}
}

func TestMergeUsr(t *testing.T) {
	tree := machine.Tree{}
	tree.Write("lib/a.so", 0o644, nil)
	tree.Write("usr/lib/b.so", 0o644, nil)
	tree.Write("sbin/c", 0o755, nil)
	tree.Write("etc/lib/d", 0o644, nil)
	mergeUsr(tree)
	got := slices.Sorted(maps.Keys(tree))
	want := []string{"bin", "etc", "etc/lib", "etc/lib/d", "lib", "lib64", "sbin", "usr", "usr/lib", "usr/lib/a.so", "usr/lib/b.so", "usr/sbin", "usr/sbin/c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnknownVersion(t *testing.T) {
	if err := must.Try(func() { Prove(Options{Versions: []string{"1"}}) }); err == nil || !strings.Contains(err.Error(), "no systemd 1") {
		t.Error(err)
	}
}
