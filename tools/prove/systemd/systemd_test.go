//go:build linux

package systemd

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/tools/prove/machine"
)

// console returns a console on which every part has the result "ok", except for the given ones.
func console(other map[string]string) string {
	text := "booting\r\n@@systemd 256.1-1\r\n"
	for _, p := range parts {
		result, found := other[p.name]
		if !found {
			result = passed
		}
		text += "a message without an end@@check " + p.name + ": " + result + "\r\n"
	}
	return text
}

func TestJudge(t *testing.T) {
	const pidfdID, preserve, barrier = "LISTEN_PIDFDID", "FileDescriptorStorePreserve", "NotifyBarrier"
	tests := []struct {
		name, version, console string
		want                   map[string]string
	}{
		{"all parts pass", "262", console(nil), nil},
		{"an old version lacks two parts", "252", console(map[string]string{pidfdID: "absent", preserve: "absent"}), map[string]string{
			pidfdID:  "not in systemd 252 (introduced in 259)",
			preserve: "not in systemd 252 (introduced in 254)",
		}},
		{"a new version must not lack a part", "262", console(map[string]string{preserve: "absent"}), map[string]string{preserve: "absent"}},
		{"a version is older than a part that works", "258", console(nil), map[string]string{
			pidfdID: "works, although it was introduced in systemd 259",
		}},
		{"a part fails", "262", console(map[string]string{barrier: "no: answer"}), map[string]string{barrier: "no: answer"}},
		{"a part fails in a version that should lack it", "252", console(map[string]string{pidfdID: "error", preserve: "absent"}), map[string]string{
			pidfdID:  "error",
			preserve: "not in systemd 252 (introduced in 254)",
		}},
		{"a line is missing", "262", strings.Replace(console(nil), "@@check NotifyBarrier", "", 1), map[string]string{
			barrier: "0 results, want 1",
		}},
		{"a line is there twice", "262", console(nil) + "@@check NotifyBarrier: ok\n", map[string]string{
			barrier: "2 results, want 1",
		}},
	}
	for _, test := range tests {
		got := judge(test.version, test.console)
		for i, p := range parts {
			want, found := test.want[p.name]
			if !found {
				want = passed
			}
			if got[i] != want {
				t.Errorf("%s: %s: got %q, want %q", test.name, p.name, got[i], want)
			}
		}
	}
	for i, result := range judge("262", "") {
		if result != "0 results, want 1" {
			t.Errorf("without output: %s: got %q", parts[i].name, result)
		}
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
		"@@systemd 256.1\n" + "@@systemd 256.1": false,
	} {
		if err := isVersion("256", text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The program cannot be imported, so the test reads the names in its source.
func TestProbeChecksEveryPart(t *testing.T) {
	text, err := os.ReadFile("probe/main.go")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, match := range regexp.MustCompile(`(?m)^\t\{"(.*)", check\w+\},$`).FindAllSubmatch(text, -1) {
		got = append(got, string(match[1]))
	}
	for _, p := range parts {
		want = append(want, p.name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("probe checks %q, want %q", got, want)
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
	if err := Prove([]string{"1"}); err == nil || !strings.Contains(err.Error(), "no systemd 1") {
		t.Error(err)
	}
}
