package catalogue_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/catalogue"
)

// groups lists the groups. A new group is added here.
var groups = []string{
	"basics", "blocking", "credentials", "death", "flags", "hostile", "kinds", "limits", "names", "ordering", "payload", "resources", "sockets", "truncation",
}

func scenarios(t *testing.T) []*scenario.Scenario {
	t.Helper()
	list, err := catalogue.Scenarios()
	fdtest.Must(t, err)
	return list
}

// The scenarios pass the checks for any catalogue, and each of them names its source.
func TestScenarios(t *testing.T) {
	for _, err := range catalogue.Validate(catalogue.Files()) {
		t.Error(err)
	}
	var paths []string
	for _, s := range scenarios(t) {
		folder := "peer"
		if s.Kernel() {
			folder = "kernel"
		}
		paths = append(paths, path.Join(folder, s.Name+".txt"))
		if !slices.Contains(groups, path.Dir(s.Name)) {
			t.Errorf("%s: unknown group", s.Name)
		}
		if len(catalogue.SourceIDs(s)) == 0 {
			t.Errorf("%s: the second line names no ID of sources.txt", s.Name)
		}
	}
	// The program has every file of the folders.
	files, err := fs.Glob(os.DirFS("."), "*/*/*")
	slices.Sort(files)
	slices.Sort(paths)
	if err != nil || !slices.Equal(files, paths) {
		t.Errorf("the files are %v, %v\nand the scenarios %v", files, err, paths)
	}
}

// A library can report MSG_CTRUNC by the flag, by closing the received descriptors, or by an
// error. It can report MSG_TRUNC by the flag or by an error. The library chooses the error,
// there and in all other answers in which it rejects a message.
func TestEveryWayToRefuse(t *testing.T) {
	for _, s := range scenarios(t) {
		for _, st := range s.Steps {
			if st.Kind != scenario.StepAnswer || s.RunByRunner(st.Role) {
				continue
			}
			ctrunc, trunc, closed, own, refused := false, false, false, false, false
			for _, w := range st.Alternatives {
				ctrunc = ctrunc || slices.Contains(w.Line.List("flags"), "ctrunc")
				trunc = trunc || slices.Contains(w.Line.List("flags"), "trunc")
				closed = closed || slices.Equal(w.Line.List("fds"), []string{"closed"})
				own = own || w.Text == "err lib"
				refused = refused || w.Text == "err"
			}
			if ctrunc && !closed {
				t.Errorf("%s:%d: ctrunc is accepted, but not fds=closed", s.Name, st.Line)
			}
			if (ctrunc || trunc || own) && !refused {
				t.Errorf("%s:%d: err without a name is not accepted", s.Name, st.Line)
			}
		}
	}
}

// A library may duplicate the descriptors of a send, or open one of its own. A closed descriptor that a
// scenario sends must not be the lowest free one, or the library could send another file by this value.
func TestClosedDescriptorsStayClosed(t *testing.T) {
	for _, s := range scenarios(t) {
		closed := map[scenario.Role][]string{}
		for _, st := range s.Steps {
			if st.Kind != scenario.StepCommand || s.RunByRunner(st.Role) {
				continue
			}
			fds := st.Command.List("fds")
			if st.Command.Verb == "close" {
				closed[st.Role] = append(closed[st.Role], fds...)
			}
			isClosed := func(name string) bool { return slices.Contains(closed[st.Role], name) }
			if st.Command.Verb != "send" || !slices.ContainsFunc(fds, isClosed) {
				continue
			}
			if len(fds) > 1 {
				t.Errorf("%s:%d: a duplicate of another descriptor could get the value of the closed one; send 1000000 instead", s.Name, st.Line)
			}
			if fds[0] == closed[st.Role][0] {
				t.Errorf("%s:%d: the first closed descriptor is the lowest free one; send one that was closed after it", s.Name, st.Line)
			}
		}
	}
}

// A catalogue has one of two layouts. In the one with peer/ and kernel/, the folder and
// the "play kernel" line must agree. In the other one the line alone decides.
func TestLoad(t *testing.T) {
	const (
		peer   = "# Rule.\n# Source.\non stream\nA> end\nA< ok\n"
		kernel = "# Rule.\n# Source.\non stream\nplay kernel\nA> end\nA< ok\n"
		bad    = "# Rule.\n# Source.\non tcp\n"
		more   = "# Rule.\n# Source.\non stream\nplay receiver\nfiles a=timerfd\nA> lseek fd=a\nA< ok\n"
		editor = "the lock file of an editor"
		both   = ": a catalogue has either peer/GROUP/ID.txt and kernel/GROUP/ID.txt, or GROUP/ID.txt, not both"
	)
	type files map[string]string
	for name, c := range map[string]struct {
		files files
		want  string // the names, with * for kernel scenarios
		err   string
	}{
		"flat": {
			files: files{"b/b.txt": peer, "b/a.txt": kernel, "a/x.txt": peer, "README.md": "", "b/.#b.txt": editor},
			want:  "a/x b/a* b/b",
		},
		"split": {
			files: files{"peer/b/b.txt": peer, "kernel/b/a.txt": kernel, "peer/a/x.txt": peer, "peer/README.md": "", "kernel/b/.#a.txt": editor},
			want:  "a/x b/a* b/b",
		},
		"split without kernel": {files: files{"peer/b/b.txt": peer}, want: "b/b"},
		"split without peer":   {files: files{"kernel/b/b.txt": kernel}, want: "b/b*"},
		"groups called peer and kernel": {
			files: files{"peer/a.txt": kernel, "kernel/b.txt": peer, "kernel/c.txt": kernel},
			want:  "kernel/b kernel/c* peer/a*",
		},
		"groups called peer and kernel in the folders": {
			files: files{"peer/kernel/a.txt": peer, "kernel/peer/b.txt": kernel},
			want:  "kernel/a peer/b*",
		},
		"both layouts":        {files: files{"a/x.txt": peer, "peer/b/y.txt": peer}, err: "a/x.txt and peer/b/y.txt" + both},
		"no group in peer":    {files: files{"peer/x.txt": peer, "peer/b/y.txt": peer}, err: "peer/x.txt and peer/b/y.txt" + both},
		"no group in kernel":  {files: files{"kernel/x.txt": kernel, "kernel/b/y.txt": kernel}, err: "kernel/x.txt and kernel/b/y.txt" + both},
		"the same name twice": {files: files{"peer/a/x.txt": peer, "kernel/a/x.txt": kernel}, err: "kernel/a/x.txt and peer/a/x.txt are both called a/x"},
		"a kernel scenario in peer": {
			files: files{"peer/a/x.txt": kernel},
			err:   `peer/a/x.txt: a scenario with the line "play kernel" belongs in kernel/`,
		},
		"a peer scenario in kernel": {
			files: files{"kernel/a/x.txt": peer},
			err:   `kernel/a/x.txt: a scenario in kernel/ needs the line "play kernel"`,
		},
		"a flat peer scenario with what only kernel scenarios may use in peer/": {files: files{"a/x.txt": more}, want: "a/x"},
		"a peer scenario with what only kernel scenarios may use": {
			files: files{"peer/a/x.txt": more},
			err:   `a/x: the kind of file "timerfd" is for kernel scenarios (play kernel); those for peer scenarios are file append dir opath null pipe-r pipe-w memfd eventfd pty-master pty-slave pair tcp tcp-listener udp unix-listener`,
		},
		"an error of the parser": {
			files: files{"a/bad.txt": bad, "a/good.txt": peer},
			err:   `a/bad:3: "tcp" cannot follow "on"; words that can are stream dgram seqpacket`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := fstest.MapFS{}
			for name, text := range c.files {
				dir[name] = &fstest.MapFile{Data: []byte(text)}
			}
			list, err := catalogue.Load(dir)
			if fmt.Sprint(err) != cmp.Or(c.err, "<nil>") {
				t.Fatalf("got %v, want %s", err, c.err)
			}
			var names []string
			for _, s := range list {
				names = append(names, s.Name+strings.Repeat("*", strings.Count(string(s.Play), "kernel")))
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
