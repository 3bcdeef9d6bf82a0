package catalogue_test

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/catalogue"
)

// groups are the folders, as the suite's readers know them: a new one is added here.
var groups = []string{
	"basics", "blocking", "credentials", "death", "flags", "hostile", "kinds", "limits", "names", "ordering", "payload", "resources", "sockets", "truncation",
}

func scenarios(t *testing.T) []*scenario.Scenario {
	t.Helper()
	list, err := catalogue.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The scenarios are as Check wants those of anybody, and these have a source each.
func TestScenarios(t *testing.T) {
	for _, err := range catalogue.Check(catalogue.Files()) {
		t.Error(err)
	}
	var names []string
	for _, s := range scenarios(t) {
		names = append(names, s.Name+".txt")
		if !slices.Contains(groups, s.Group()) {
			t.Errorf("%s: no such group", s.Name)
		}
		if !strings.Contains(strings.Join(s.Rule[1:], " "), "docs/catalogue.md: ") {
			t.Errorf("%s: the source does not name its id in docs/catalogue.md", s.Name)
		}
	}
	// Nothing in the folders is left out of the program.
	files, err := fs.Glob(os.DirFS("."), "*/*")
	if err != nil || !slices.Equal(files, names) {
		t.Errorf("the files are %v, %v\nand the scenarios %v", files, err, names)
	}
}

// A library can report MSG_CTRUNC in three ways: by the flag, by closing the received
// descriptors, or by an error. It can report MSG_TRUNC by the flag or by an error. The error
// is the library's choice, there and wherever else it refuses a message.
func TestEveryWayToRefuse(t *testing.T) {
	for _, s := range scenarios(t) {
		for _, st := range s.Steps {
			if st.Kind != scenario.StepHear || s.RunnerPlays(st.Role) {
				continue
			}
			cut, short, closed, own, refused := false, false, false, false, false
			for _, w := range st.Wants {
				cut = cut || slices.Contains(w.Line.List("flags"), "ctrunc")
				short = short || slices.Contains(w.Line.List("flags"), "trunc")
				closed = closed || slices.Equal(w.Line.List("fds"), []string{"closed"})
				own = own || w.Text == "err lib"
				refused = refused || w.Text == "err"
			}
			if cut && !closed {
				t.Errorf("%s:%d: control is cut, and fds=closed is no answer", s.Name, st.Line)
			}
			if (cut || short || own) && !refused {
				t.Errorf("%s:%d: err, of any name, is no answer", s.Name, st.Line)
			}
		}
	}
}

func TestLoad(t *testing.T) {
	const good = "# Rule.\n# Source.\non stream\nA> end\nA< ok\n"
	list, err := catalogue.Load(fstest.MapFS{
		"group/b.txt":   {Data: []byte(good)},
		"group/a.txt":   {Data: []byte(good)},
		"README.md":     {Data: []byte("no scenario")},
		"group/.#b.txt": {Data: []byte("of an editor")},
	})
	if err != nil || len(list) != 2 || list[0].Name != "group/a" || list[1].Name != "group/b" {
		t.Errorf("got %v, %v", list, err)
	}
	_, err = catalogue.Load(fstest.MapFS{"group/bad.txt": {Data: []byte("# Rule.\n# Source.\non tcp\n")}, "group/good.txt": {Data: []byte(good)}})
	if want := `group/bad:3: no such word behind "on": "tcp"; there are stream dgram seqpacket`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
