package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

func TestRegistryIsWellFormed(t *testing.T) {
	r := embedded()
	for _, l := range r.languages {
		text, err := records.ReadFile(l.lang + "/language.json")
		fdtest.Must(t, err)
		in := json.NewDecoder(bytes.NewReader(text))
		in.DisallowUnknownFields()
		if err := in.Decode(&language{}); err != nil {
			t.Errorf("%s: %v", l.lang, err)
		}
		needs := slices.Clone(l.Lint.Needs)
		for _, b := range l.Builds {
			needs = append(needs, b.Needs...)
		}
		for need := range l.Packages {
			if !slices.Contains(needs, need) {
				t.Errorf("%s: packages has %q, which nothing needs", l.lang, need)
			}
		}
		for _, need := range needs {
			// tools/setup requires make and Go, and installs the C compiler and pkg-config itself.
			if l.Packages[need] == "" && !slices.Contains([]string{"make", "go", "cc"}, need) {
				t.Errorf("%s: packages does not have %q", l.lang, need)
			}
			tool, module, _ := strings.Cut(need, ":")
			if module != "" && len(l.Modules[tool]) == 0 {
				t.Errorf("%s: modules has no arguments with which %s looks for %s", l.lang, tool, module)
			}
		}
		for _, s := range l.Peers {
			// The peers in C, Rust and Go share a parser per language, and the scenarios find its faults.
			if (s.NotSocket == "") != slices.Contains([]string{"c", "rust", "go"}, l.lang) {
				t.Errorf("peer %s: not_socket is %q", s.Name, s.NotSocket)
			}
		}
	}
	seen := make(map[string]bool)
	used := make(map[string]bool)
	for _, s := range r.Peers {
		if seen[s.Name] {
			t.Errorf("peer %s is in the registry twice", s.Name)
		}
		seen[s.Name] = true
		used[s.Build] = true
		known := replacements{"root": "/", "out": "/"}
		for _, need := range r.recipe(s.Build).Needs {
			name, _, _ := strings.Cut(need, " ")
			name, _, _ = strings.Cut(name, ":")
			known[name] = "/"
		}
		if command := strings.Join(known.expand(s.Command), " "); command == "" || strings.Contains(command, "{") {
			t.Errorf("peer %s: the command is %q", s.Name, command)
		}
	}
	for _, b := range r.Builds {
		if b.Lang == "" || !used[b.Name] {
			t.Errorf("build %s: lang %q, used: %v", b.Name, b.Lang, used[b.Name])
		}
		if !slices.Equal(b.Needs, []string{"go"}) && !slices.Contains([]string{"c", "interop", "test"}, b.Setup) {
			t.Errorf("build %s: tools/setup has no group %q for its tools", b.Name, b.Setup)
		}
	}
}

// toy is a registry whose builds run sh. One build creates two peers and counts its runs. The others fail, each for a
// different reason.
var toy = registry{
	Builds: []recipe{
		{Name: "good", Lang: "sh", Needs: []string{"sh"}, Env: []string{"WORD=exit"},
			Run: []string{"sh", "-c", `for p in a b; do echo "$WORD" >{out}/$p; chmod +x {out}/$p; done; echo run >>{out}/runs; test -z "$MAKEFLAGS"`}},
		{Name: "bad", Lang: "sh", Needs: []string{"sh"},
			Run: []string{"sh", "-c", "echo first; echo no luck >&2; exit 3"}},
		{Name: "idle", Lang: "sh", Needs: []string{"sh"}},
		{Name: "new", Lang: "other", Needs: []string{"sh", "bash 99.1"}},
		{Name: "none", Lang: "other", Setup: "test", Needs: []string{"no-such-tool"}},
		{Name: "file", Lang: "other", Needs: []string{"sh", "/no/such.jar"}},
	},
	Peers: []source{
		{Name: "a", Build: "good", Command: []string{"{out}/a", "{root}/x"}},
		{Name: "broken", Build: "bad", Command: []string{"{out}/broken"}},
		{Name: "b", Build: "good", Command: []string{"{out}/b"}, FewPairs: true},
		{Name: "unmade", Build: "idle", Command: []string{"{out}/unmade"}},
		{Name: "newer", Build: "new", Command: []string{"{sh}"}},
		{Name: "toolless", Build: "none", Command: []string{"{sh}"}},
		{Name: "fileless", Build: "file", Command: []string{"{sh}"}},
	},
}

func TestBuild(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err) // Windows, Plan 9 and wasm
	}
	t.Setenv("MAKEFLAGS", "--jobserver-auth=3,4")
	root, out := fdtest.ShortDir(t), filepath.Join(fdtest.ShortDir(t), "peers")
	var log bytes.Buffer
	list := build(context.Background(), toy, root, out, nil, &log)

	if want := []string{filepath.Join(out, "a"), filepath.Join(root, "x")}; !reflect.DeepEqual(list[0].Command, want) {
		t.Errorf("a: %+v, want the command %q", list[0], want)
	}
	if runs, _ := os.ReadFile(filepath.Join(out, "runs")); string(runs) != "run\n" {
		t.Errorf("the build of two peers ran %q, want once", runs)
	}
	for i, want := range []struct {
		name, why string
		broken    bool
		setup     string
		few       bool
		lacks     string
	}{
		{name: "a"},
		{name: "broken", why: "sh: exit status 3: no luck", broken: true},
		{name: "b", few: true},
		{name: "unmade", why: "did not create the program", broken: true},
		{name: "newer", why: "is older than 99.1", lacks: "bash 99.1"},
		{name: "toolless", why: "no no-such-tool in PATH", setup: "test", lacks: "no-such-tool"},
		{name: "fileless", why: "no /no/such.jar", lacks: "/no/such.jar"},
	} {
		got := list[i]
		if got.Name != want.name || got.Setup != want.setup || got.Broken != want.broken || got.FewPairs != want.few || got.Lacks != want.lacks || (got.Why == "") != (want.why == "") ||
			!strings.Contains(got.Why, want.why) || (got.Why == "") != (len(got.Command) > 0) {
			t.Errorf("%s: got %+v, want %q, broken %v", want.name, got, want.why, want.broken)
		}
	}
	if strings.Contains(log.String(), "not built") {
		t.Errorf("the log repeats the list:\n%s", &log)
	}
	if !strings.Contains(log.String(), "first\nno luck\npeers: bad: the build failed\n") {
		t.Errorf("the log does not contain the output of a failed build:\n%s", &log)
	}
	list = build(context.Background(), toy, root, fdtest.ShortDir(t), []string{"b", "no-such"}, &log)
	if len(list) != 2 || list[0].Name != "b" || list[0].Why != "" || !list[1].Broken || !strings.Contains(list[1].Why, "no such peer") {
		t.Errorf("built by name: got %+v", list)
	}
	list = build(context.Background(), toy, root, fdtest.ShortDir(t), []string{"sh", "b"}, &log)
	if n := len(slices.DeleteFunc(list, func(b Built) bool { return b.Name != "b" })); n != 1 {
		t.Errorf("selected by language and by name: got %d times, want once", n)
	}
}

func TestRelativeOut(t *testing.T) {
	if o, _ := (recipe{Lang: "c"}).run(t.Context(), "/a b", "/a b/build/peers"); o.words["relative-out"] != "../../../build/peers" {
		t.Errorf("got %q", o.words["relative-out"])
	}
}

func TestLastLine(t *testing.T) {
	for text, want := range map[string]string{
		"":             "",
		"one\ntwo\n\n": "two",
		"make: *** [x] Error 1\nmake: Leaving directory '/x'\n": "make: *** [x] Error 1",
		"make: Leaving directory '/x'":                          "make: Leaving directory '/x'",
	} {
		if got := lastLine([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestList(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "peers.json")
	list := []Built{
		{Name: "nix", Lang: "rust", Command: []string{"/x/nix"}},
		{Name: "csrc", Lang: "c", Why: "no C compiler (gcc) in PATH"},
		{Name: "glib", Lang: "c", Command: []string{"/x/glib"}, FewPairs: true},
	}
	fdtest.Must(t, WriteList(file, list))
	if got, unknown, err := ReadListKeys(file); err != nil || unknown != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("got %+v, %v, %v", got, unknown, err)
	}
	fdtest.Must(t, os.WriteFile(file, []byte(`[{"name":"x","command":["x"],"few-pairs":true}]`), 0o666))
	if _, unknown, err := ReadListKeys(file); err != nil || unknown == nil || unknown.Error() != file+`: json: unknown field "few-pairs"` {
		t.Errorf("got %v, %v", unknown, err)
	}
	for _, text := range []string{"", `[{"name":"x"}]`, `[{"command":["x"]}]`, `[{"name":"x","command":["x"],"why":"y"}]`,
		`[{"name":"x","why":"y"},{"name":"x","why":"y"}]`} {
		fdtest.Must(t, os.WriteFile(file, []byte(text), 0o666))
		if got, err := ReadList(file); err == nil {
			t.Errorf("%q is accepted as %+v", text, got)
		}
	}
}

// No peer of a list may have a name that the program which reads it uses itself.
func TestReservedNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers.json")
	for name, want := range map[string]string{
		"x":      "<nil>",
		"runner": "SCM_PARTNERS: " + file + `: the peer name "runner" is reserved: choose another name`,
		"mine":   "SCM_PARTNERS: " + file + `: the peer name "mine" is reserved: choose another name`,
	} {
		fdtest.Must(t, WriteList(file, []Built{{Name: name, Command: []string{"x"}}}))
		t.Setenv(PartnersVariable, file)
		if _, err := ReadPartners("runner", "mine"); fmt.Sprint(err) != want {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

// A program with a relative path is relative to the folder of the list. One without a slash is in PATH.
func TestListIsRelativeToItsFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	list := []Built{{Name: "a", Command: []string{"./a", "./x"}}, {Name: "b", Command: []string{"../b"}}, {Name: "c", Command: []string{"c"}}}
	fdtest.Must(t, WriteList("peers/list.json", list))
	dir, err := os.Getwd()
	fdtest.Must(t, err)
	got, err := ReadList("peers/list.json")
	fdtest.Must(t, err)
	for i, want := range []string{filepath.Join(dir, "peers", "a"), filepath.Join(dir, "b"), "c"} {
		if got[i].Command[0] != want {
			t.Errorf("got %q, want %q", got[i].Command, want)
		}
	}
}

// An archive has the programs of the peers for its architecture. It lists all peers.
func TestArchive(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	r := registry{Builds: slices.Clone(toy.Builds), Peers: slices.Clone(toy.Peers)}
	r.Builds[0].Archives = []string{"arm", "386"}
	dir := filepath.Join(fdtest.ShortDir(t), "new")
	list, err := archive(context.Background(), r, fdtest.ShortDir(t), fdtest.ShortDir(t), dir, "arm", io.Discard)
	if err != nil || len(list) != len(r.Peers) {
		t.Fatalf("got %+v, %v", list, err)
	}
	for i, b := range list {
		_, missing := os.Stat(filepath.Join(dir, b.Name))
		if want := i == 0 || i == 2; (b.Why == "") != want || (missing == nil) != want || want && b.Command[0] != "./"+b.Name {
			t.Errorf("got %+v, in the archive: %v", b, missing == nil)
		}
	}
	r.Builds[1].Archives = []string{"all"}
	if _, err := archive(context.Background(), r, fdtest.ShortDir(t), fdtest.ShortDir(t), dir, "arm", io.Discard); err == nil || err.Error() != "peer broken: sh: exit status 3: no luck" {
		t.Errorf("an archive without a peer that could not be built: %v", err)
	}
}

func TestBuildPartner(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list.json")
	list := []Built{{Name: "csrc", Lang: "c", Command: []string{"/x/csrc"}, Lacks: "csrc"}, {Name: "nix", Lang: "rust", Why: "no cargo", Lacks: "cargo"}}
	fdtest.Must(t, WriteList(file, list))
	get := func(name string) Built { return BuildPartner(context.Background(), t.TempDir(), name, io.Discard) }
	t.Setenv(PartnersVariable, file)
	for _, want := range list {
		if got := get(want.Name); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := get("no-such"); !strings.HasPrefix(got.Why, "no such peer") {
		t.Errorf("got %+v", got)
	}
	t.Setenv(PartnersVariable, file+"x")
	if got := get("csrc"); !strings.Contains(got.Why, file+"x") {
		t.Errorf("got %+v, want the name of the list that cannot be read", got)
	}
}

func TestVersionIn(t *testing.T) {
	for text, want := range map[string]string{
		"Python 3.11.2":                       "3.11.2",
		"cargo 1.85.1 (d73d2caf9 2024-12-31)": "1.85.1",
		"openjdk 17.0.21 2026-01-20\nOpenJDK Runtime Environment (build 17.0.21+9-Debian-1deb12u1)": "17.0.21",
		"openjdk 21 2023-09-19\nOpenJDK Runtime Environment (build 21+35-Debian-1)":                 "21",
		"no version": "",
	} {
		if got := versionIn(text); got != want {
			t.Errorf("versionIn(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestFindTool(t *testing.T) {
	if _, err := exec.LookPath("perl"); err != nil {
		t.Skip(err)
	}
	t.Setenv("CC", "no-such-compiler -m64")
	for need, want := range map[string]string{
		"perl:Socket":         "",
		"perl 5.1":            "",
		"perl 99":             " is older than 99",
		"perl:No::Such":       "perl has no No::Such: ",
		"no-such-tool:Socket": "no no-such-tool in PATH",
		"cc":                  "no C compiler (no-such-compiler -m64) in PATH",
	} {
		_, command, err := findTool(context.Background(), need)
		if (err == nil) != (want == "") || (command == "") != (err != nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("findTool(%q) = %q, %v, want %q", need, command, err, want)
		}
	}
}
