//go:build unix

package console

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/proof/must"
)

// run runs scripts, and returns what they print on the console. $OUT is the folder for files.
func run(t *testing.T, scripts ...string) (*Commands, []byte) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("OUT", dir)
	c := &Commands{Mark: "@@"}
	for _, s := range scripts {
		c.List = append(c.List, []string{"sh", "-c", s})
	}
	var console bytes.Buffer
	c.Run(dir, &console)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the directory: %v, %v; want nothing", left, err)
	}
	return c, console.Bytes()
}

func read(t *testing.T, c *Commands, console string) []Result {
	t.Helper()
	list, err := c.Read(strings.NewReader(console))
	if err != nil || len(list) != len(c.List) {
		t.Fatalf("got %d results, %v; want %d: %.200v", len(list), err, len(c.List), list)
	}
	return list
}

// A machine without commands runs until it ends.
func TestNoCommands(t *testing.T) {
	console := strings.NewReader("a line\nanother\n")
	if list, err := (&Commands{Mark: "@@"}).Read(console); err != nil || len(list) > 0 || console.Len() > 0 {
		t.Errorf("got %v, %v and %d bytes left, want none", list, err, console.Len())
	}
}

func TestResults(t *testing.T) {
	c, console := run(t,
		`printf 'a\0b' >$OUT/one; for i in $(seq 9999); do echo $i; done >$OUT/two; echo hello; echo there >&2`,
		`exit 3`,
		`kill -9 $$`,
		`:`)
	list := read(t, c, string(console))
	if r := list[0]; r.Error != "" || len(r.Files) != 2 || string(r.Files["one"]) != "a\x00b" || len(r.Files["two"]) != 48888 {
		t.Errorf("got the error %q and %d files, want none and two: %.200v", r.Error, len(r.Files), r)
	}
	for i, want := range []string{"", "exit status 3", "signal: killed", ""} {
		if list[i].Error != want || i > 0 && len(list[i].Files) > 0 {
			t.Errorf("command %d: got %v, want %q", i, list[i], want)
		}
	}
	for _, want := range []string{"hello\n", "there\n"} {
		if !bytes.Contains(console, []byte(want)) {
			t.Errorf("the console lacks %q", want)
		}
	}
}

func TestProgramDoesNotExist(t *testing.T) {
	c := &Commands{Mark: "@@", List: [][]string{{"/nonexistent"}}}
	var console strings.Builder
	c.Run(t.TempDir(), &console)
	if list := read(t, c, console.String()); !strings.Contains(list[0].Error, "no such file") {
		t.Errorf("got %v, want an error that there is no such file", list)
	}
}

// A command may print anything except the mark, and the kernel may print something in front of it.
func TestOtherTextOnTheConsole(t *testing.T) {
	c := &Commands{Mark: "XYZZY", List: [][]string{{"sh", "-c", `printf '@@end\n@@.\n.\nXYZZ\n[    0.5] no end of line'`}, {"true"}}}
	var console strings.Builder
	c.Run(t.TempDir(), &console)
	text := strings.ReplaceAll(console.String(), "\n", "\r\n")
	text = strings.ReplaceAll(text, "XYZZY", "[    1.0] random: crng init doneXYZZY")
	for i, r := range read(t, c, "SeaBIOS\r\n"+text+"reboot: Power down") {
		if r.Error != "" {
			t.Errorf("command %d: got %v, want no error", i, r)
		}
	}
}

func TestMachineStops(t *testing.T) {
	c, console := run(t, `echo 1 >$OUT/one`, `echo 2 >$OUT/two`)
	first := bytes.Index(console, []byte(".\n")) + 2
	for _, end := range []int{first, len(console) - 3} {
		list, err := c.Read(bytes.NewReader(console[:end]))
		want := "the machine stopped after 1 of 2 commands"
		if fmt.Sprint(err) != want || len(list) != 1 || string(list[0].Files["one"]) != "1\n" {
			t.Errorf("a console of %d bytes: got %v, %v; want the first file and %s", end, list, err, want)
		}
	}
	if list, err := c.Read(strings.NewReader("")); err == nil || len(list) > 0 {
		t.Errorf("an empty console: got %v, %v; want an error", list, err)
	}
}

// If something is lost or changed, Read reports it and continues to read, so that a full pipe does not block the
// machine.
func TestDamagedConsole(t *testing.T) {
	c, console := run(t, `seq 999 >$OUT/one`, `echo 2 >$OUT/two`)
	lines := bytes.SplitAfter(console, []byte("\n"))
	for i, l := range lines {
		if !bytes.HasPrefix(l, []byte("@@")) || bytes.HasPrefix(l, []byte("@@.")) {
			continue
		}
		changed := bytes.Clone(l)
		changed[len(l)/2] ^= 3
		for name, instead := range map[string][]byte{"lost": nil, "changed": changed, "cut": l[:len(l)/2]} {
			text := bytes.Join(append(append(append([][]byte(nil), lines[:i]...), instead), lines[i+1:]...), nil)
			list, err := c.Read(bytes.NewReader(text))
			if err == nil || !strings.Contains(err.Error(), "arrived damaged") && !strings.Contains(err.Error(), "stopped after") {
				t.Errorf("line %d is %s: %v", i, name, err)
			}
			if len(list) == 2 && bytes.Equal(list[0].Files["one"], list[1].Files["two"]) {
				t.Errorf("line %d is %s: got %v", i, name, list)
			}
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestConsoleFails(t *testing.T) {
	c := &Commands{Mark: "@@", List: [][]string{{"true"}}}
	if must.Try(func() { c.Run(filepath.Join(t.TempDir(), "none"), brokenWriter{}) }) == nil {
		t.Error("no error")
	}
}
