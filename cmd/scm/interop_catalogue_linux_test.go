package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The catalogue, as others get it.
func TestCatalogueCommands(t *testing.T) {
	r := command(t, "interop", "show", "basics/pass-one-fd", "basics/echo-back")
	text := contents(t, "../../interop/catalogue/basics/pass-one-fd.txt")
	if r.code != 0 || !strings.HasPrefix(r.stdout, text) || len(r.stdout) == len(text) {
		t.Errorf("got %+v", r)
	}
	for _, name := range []string{"basics/nothing", "README", "expected", "../catalogue/basics/echo-back"} {
		if r := command(t, "interop", "show", name); r.code != 2 || r.stderr != "scm: no scenario is named \""+name+"\"\n" {
			t.Errorf("got %+v", r)
		}
	}

	dir := filepath.Join(t.TempDir(), "copy")
	if r := command(t, "interop", "copy", dir); r.code != 0 || r.text() != "" {
		t.Fatalf("got %+v", r)
	}
	for name, from := range map[string]string{"basics/pass-one-fd.txt": "catalogue/basics/pass-one-fd.txt", "README.md": "catalogue/README.md",
		"expected.txt": "catalogue/expected.txt", "PEERS.md": "peers/README.md"} {
		if contents(t, filepath.Join(dir, name)) != contents(t, filepath.Join("../../interop", from)) {
			t.Errorf("%s is another", name)
		}
	}
	if r := command(t, "interop", "copy", dir); r.code != 2 || r.stderr != "scm: there is a "+dir+" already\n" {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "copy", "/dev/null/copy"); r.code != 4 {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "copy", filepath.Join(t.TempDir(), "a", "b")); r.code != 0 {
		t.Errorf("folders above it that are not there: %+v", r)
	}
	for _, end := range []string{"/", "/.", "/x/.."} {
		dotted := filepath.Join(t.TempDir(), "new")
		r := command(t, "interop", "copy", dotted+end)
		if _, err := os.Stat(filepath.Join(dotted, "README.md")); r.code != 0 || err != nil {
			t.Errorf("%s: %+v, %v", end, r, err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if r := command(t, "interop", "copy", link); r.code != 2 || r.stderr != "scm: there is a "+link+" already\n" {
		t.Errorf("a link to a folder that is not there: %+v", r)
	}
	// Where it could write to /, that is a folder of its own.
	nowhere := exec.Command(program(t, "scm"), "interop", "copy", "")
	if os.Geteuid() == 0 {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "scm"), []byte(contents(t, nowhere.Path)), 0o700); err != nil {
			t.Fatal(err)
		}
		nowhere.Path, nowhere.Dir, nowhere.SysProcAttr = "/scm", "/", &syscall.SysProcAttr{Chroot: root}
	}
	if r := finish(t, nowhere); r.code != 2 || r.stderr != "scm: copy needs the name of a new folder, and not an empty one\n" {
		t.Errorf("got %+v", r)
	}

	// The copy is played as what is inside is.
	inside := command(t, append([]string{"interop", "list"}, one...)...)
	copied := command(t, append([]string{"interop", "list", "--catalogue", dir}, one...)...)
	if inside.code != 0 || inside != copied {
		t.Errorf("got %+v, %+v", inside, copied)
	}

	if r := command(t, "interop", "check-catalogue", dir); r.code != 0 || !like(r.stdout, "… scenarios of peers, … of the kernel\n") {
		t.Errorf("got %+v", r)
	}
	own := t.TempDir()
	bad := filepath.Join(own, "basics", "Bad.txt")
	if err := os.Mkdir(filepath.Dir(bad), 0o777); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"# A rule.\n# Its source.\non stream\nA> end\n":                                            "scm: basics/Bad:4: nobody hears the answer of A\n",
		"# A rule\n# Its source.\non stream\nA> end\nA< ok\n":                                      "scm: basics/Bad: a name is GROUP/ID, of small letters, digits and dashes\nscm: basics/Bad: the rule is no sentence: A rule\n",
		"# A rule.\n# Its source.\non stream\nA> end\nA< ok\n | err\n":                             "scm: basics/Bad:6: an alternative needs a reason: \"err\"\n",
		"# A rule.\n# Its source.\non stream\nR> pending B\n":                                      "scm: basics/Bad: no answer is expected: the scenario cannot fail\n",
		"# A rule.\non stream\nA> end\nA< ok\n":                                                    "scm: basics/Bad: the first two lines say the rule and its source\n",
		"# A rule.\n# Its source.\non stream\nA> end\nA< ok\n | err EIO  # x\n | err EPERM  # x\n": "scm: basics/Bad: a name is GROUP/ID, of small letters, digits and dashes\nscm: basics/Bad: line 5: an alternative needs a reason of its own: err EPERM\n",
	} {
		if err := os.WriteFile(bad, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if r := command(t, "interop", "check-catalogue", own); r.code != 1 || r.stderr != want {
			t.Errorf("%s: got %+v\nwant %s", text, r, want)
		}
	}

	// Expected failures are held against the scenarios, on whatever kernel.
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	write("basics/good.txt", "# A rule.\n# Its source.\non stream\nA> end\nA< ok\n")
	for text, want := range map[string]string{
		"basics/good leak@mine why\n":                       "",
		"[gvisor]\nbasics/good leak@runner why\n":           "",
		"[gvisor]\nbasics/better leak@mine why\n":           "scm: expected.txt: line 2: [gvisor] basics/better leak@mine applies to no case\n",
		"[linux]\nbasics/good/dgram leak@runner why\n":      "scm: expected.txt: line 2: [linux] basics/good/dgram leak@runner applies to no case\n",
		"[gvisor]\nbasics/good answer@kernel no kernel's\n": "scm: expected.txt: line 2: [gvisor] basics/good answer@kernel applies to no case\n",
		"[minix]\n": "scm: expected.txt: line 1: no such kernel: \"minix\"; kernels are [linux gvisor]\n",
	} {
		write("expected.txt", text)
		if r := command(t, "interop", "check-catalogue", own); (r.code == 0) != (want == "") || r.stderr != want {
			t.Errorf("%s: got %+v\nwant %s", text, r, want)
		}
	}
	if r := command(t, "interop", "check-catalogue", t.TempDir()); r.code != 1 || r.stderr != "scm: there is no GROUP/ID.txt\n" {
		t.Errorf("got %+v", r)
	}
}
