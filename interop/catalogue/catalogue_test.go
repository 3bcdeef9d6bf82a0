package catalogue_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
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

func TestNames(t *testing.T) {
	list := scenarios(t)
	if len(list) < 25 {
		t.Errorf("%d scenarios", len(list))
	}
	form := regexp.MustCompile(`^[a-z]+/[a-z0-9]+(-[a-z0-9]+)*$`)
	seen, hashes := map[string]bool{}, map[string]string{}
	for _, s := range list {
		_, id, _ := strings.Cut(s.Name, "/")
		switch {
		case !form.MatchString(s.Name):
			t.Errorf("%s: a name is GROUP/ID, of small letters, digits and dashes", s.Name)
		case seen[id]:
			t.Errorf("%s: another group has this one too", s.Name)
		case hashes[s.Hash] != "":
			t.Errorf("%s: the same text as %s", s.Name, hashes[s.Hash])
		case !slices.Contains(groups, s.Group()):
			t.Errorf("%s: no such group", s.Name)
		}
		seen[id], hashes[s.Hash] = true, s.Name
	}
	for _, g := range groups {
		if !slices.ContainsFunc(list, func(s *scenario.Scenario) bool { return s.Group() == g }) {
			t.Errorf("the group %s is empty", g)
		}
	}
}

// Nothing in the folders is left out of the program.
func TestAllFilesAreScenarios(t *testing.T) {
	var names []string
	for _, s := range scenarios(t) {
		names = append(names, s.Name+".txt")
	}
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(file, "/") && !slices.Contains(names, file) {
			t.Errorf("%s is no scenario", file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRules(t *testing.T) {
	for _, s := range scenarios(t) {
		if !strings.HasSuffix(s.Rule[0], ".") {
			t.Errorf("%s: the rule is no sentence: %s", s.Name, s.Rule[0])
		}
		if !strings.Contains(strings.Join(s.Rule[1:], " "), "docs/catalogue.md: ") {
			t.Errorf("%s: the source does not name its id in docs/catalogue.md", s.Name)
		}
		for _, st := range s.Steps {
			reasons := map[string]bool{}
			for i, w := range st.Wants {
				if i > 0 && (w.Reason == "" || reasons[w.Reason]) {
					t.Errorf("%s:%d: an alternative needs a reason of its own: %s", s.Name, st.Line, w.Text)
				}
				reasons[w.Reason] = true
			}
		}
	}
}

// ofTheRunner reports whether the runner plays this role, whoever the peers are. Expected
// answers of the runner may leave out fields.
func ofTheRunner(s *scenario.Scenario, role scenario.Role) bool {
	return s.Play == scenario.PlayKernel || s.Play == scenario.PlaySender && role == scenario.RoleB ||
		s.Play == scenario.PlayReceiver && role == scenario.RoleA
}

// A library can report MSG_CTRUNC in three ways: by the flag, by closing the received
// descriptors, or by an error. It can report MSG_TRUNC by the flag or by an error. The error
// is the library's choice, there and wherever else it refuses a message.
func TestEveryWayToRefuse(t *testing.T) {
	for _, s := range scenarios(t) {
		for _, st := range s.Steps {
			if st.Kind != scenario.StepHear || ofTheRunner(s, st.Role) {
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

func TestSomeScenariosAreForAnyRoom(t *testing.T) {
	any, empty := 0, false
	for _, s := range scenarios(t) {
		if s.RoomAny {
			any++
			empty = empty || slices.Contains(s.Types, "seqpacket") && slices.ContainsFunc(s.Steps, func(st scenario.Step) bool {
				return strings.HasPrefix(st.Text, "send payload=- ")
			})
		}
	}
	if any < 3 || !empty {
		t.Errorf("%d are, one with an empty payload on seqpacket: %v", any, empty)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	_, err := catalogue.Load(fstest.MapFS{
		"group/good.txt": {Data: []byte("# Rule.\n# Source.\non stream\nA> end\nA< ok\n")},
		"group/bad.txt":  {Data: []byte("# Rule.\n# Source.\non tcp\n")},
	})
	if want := `group/bad:3: no such socket type: "tcp"`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	list, err := catalogue.Load(fstest.MapFS{
		"group/b.txt":   {Data: []byte("# Rule.\n# Source.\non stream\nA> end\nA< ok\n")},
		"group/a.txt":   {Data: []byte("# Rule.\n# Source.\non dgram\nA> end\nA< ok\n")},
		"README.md":     {Data: []byte("no scenario")},
		"group/.#b.txt": {Data: []byte("of an editor")},
	})
	if err != nil || len(list) != 2 || list[0].Name != "group/a" || path.Base(list[1].Name) != "b" {
		t.Errorf("got %v, %v", list, err)
	}
}
