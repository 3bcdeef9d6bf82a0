//go:build linux

package man

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/spf13/cobra"
)

// oneDay is a value of SOURCE_DATE_EPOCH. Without a date, mandoc warns that it is missing.
const oneDay = "86400"

// built is the program, without cgo because its help is the same.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "scm-man-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/scm", "../..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	return dir, build.Run()
})

func TestMain(m *testing.M) {
	_ = os.Unsetenv("SOURCE_DATE_EPOCH")
	code := m.Run()
	if dir, err := built(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// output runs a command and returns its output. It fails the test if the command fails.
func output(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Env = strings.NewReader(stdin), fdtest.WithoutMake()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// scm runs the program.
func scm(t *testing.T, args ...string) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return output(t, "", dir+"/scm", args...)
}

// written returns the pages that the command writes, by the names of their files.
func written(t *testing.T, epoch string) map[string]string {
	t.Helper()
	dir := t.TempDir() + "/new/man1"
	if epoch != "" {
		t.Setenv("SOURCE_DATE_EPOCH", epoch)
	}
	scm(t, "man-pages", dir)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		texts[file.Name()] = string(text)
	}
	return texts
}

// tool returns the name of a program that tools/setup installs.
func tool(t *testing.T, name string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		fdtest.Missing(t, err.Error())
	}
	return name
}

// rendered returns a page as a terminal with 80 columns shows it, without bold and italics.
func rendered(t *testing.T, page string) string {
	t.Helper()
	text := output(t, page, tool(t, "mandoc"), "-Tutf8", "-Owidth=78")
	return regexp.MustCompile(`.\x08`).ReplaceAllString(text, "")
}

// words joins the words of a text with single spaces.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

var (
	helpCommand = regexp.MustCompile(`(?m)^  ([a-z-]+) +[A-Z]`)
	helpFlag    = regexp.MustCompile(`(?m)^ +(-[a-z], )?(--[a-z-]+)( [A-Za-z][A-Za-z/=]*)?   +\S`)
)

// section returns the lines of a section of a help text.
func section(help, title string) string {
	_, after, _ := strings.Cut(help, "\n"+title+":\n")
	lines, _, _ := strings.Cut(after+"\n", "\n\n")
	return lines
}

// The list of commands and flags comes from the text of --help, which cobra writes.
func TestEveryCommandAndFlagHasAPage(t *testing.T) {
	pages := written(t, "")
	flags := 0
	var visit func(args ...string)
	visit = func(args ...string) {
		help := scm(t, append(args, "--help")...)
		name := strings.Join(append([]string{"scm"}, args...), "-") + ".1"
		page, exists := pages[name]
		if !exists {
			t.Errorf("there is no %s", name)
			return
		}
		delete(pages, name)
		text := rendered(t, page)
		for _, match := range helpFlag.FindAllStringSubmatch(section(help, "Flags"), -1) {
			flags++
			if tag := "\n       " + match[1] + match[2] + match[3]; !strings.Contains(text, tag+"\n") && !strings.Contains(text, tag+" ") {
				t.Errorf("%s has no flag %q", name, tag)
			}
		}
		for _, line := range strings.Split(help[:strings.Index(help, "\nUsage:")], "\n") {
			if words := words(line); !strings.HasPrefix(words, "Exit status") && !strings.HasPrefix(line, "  ") && !containsWords(text, words) {
				t.Errorf("%s has no %q", name, words)
			}
		}
		for _, match := range helpCommand.FindAllStringSubmatch(section(help, "Available Commands"), -1) {
			if match[1] != "help" {
				visit(append(slices.Clone(args), match[1])...)
			}
		}
	}
	visit()
	if flags < 80 {
		t.Errorf("--help has only %d flags", flags)
	}
	if len(pages) > 0 {
		t.Errorf("pages for commands that --help does not list: %v", slices.Sorted(maps.Keys(pages)))
	}
}

// containsWords looks for words in a text with other line breaks, as the beginning of a sentence or in lower case.
func containsWords(text, line string) bool {
	plain := func(s string) string { return strings.ToLower(strings.Trim(words(s), "#- ")) }
	return strings.Contains(plain(text), plain(line))
}

func TestTheSameProgramWritesTheSamePages(t *testing.T) {
	first := written(t, "")
	if !maps.Equal(first, written(t, "")) {
		t.Error("two runs differ")
	}
	if want := `.TH SCM\-SEND 1 "" "scm" "scm manual"` + "\n"; !strings.HasPrefix(first["scm-send.1"], want) {
		t.Errorf("scm-send.1 does not begin with %q", want)
	}
	if want := `.TH SCM\-SEND 1 "1970-01-02" "scm" "scm manual"` + "\n"; !strings.HasPrefix(written(t, oneDay)["scm-send.1"], want) {
		t.Errorf("scm-send.1 does not begin with %q", want)
	}
	if date, err := dateOf("today"); err == nil {
		t.Errorf("the date today was accepted: %s", date)
	}
}

// The pages also fit on a terminal.
func TestLintersFindNothing(t *testing.T) {
	for name, page := range written(t, oneDay) {
		lint := exec.Command(tool(t, "mandoc"), "-Tlint")
		lint.Stdin = strings.NewReader(page)
		if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		var stdout, stderr bytes.Buffer
		groff := exec.Command(tool(t, "groff"), "-man", "-Tutf8", "-ww")
		groff.Stdin, groff.Stdout, groff.Stderr = strings.NewReader(page), &stdout, &stderr
		if err := groff.Run(); err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v\n%s", name, err, &stderr)
		}
		if hyphen := "\u2010"; strings.Contains(stdout.String(), hyphen) {
			t.Errorf("%s has a hyphen that cannot be copied into a shell, or a divided word", name)
		}
		for _, line := range strings.Split(rendered(t, page), "\n") {
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Errorf("%s has a line of %d characters: %s", name, n, line)
			}
		}
	}
}

// difficult returns a command whose text contains everything that troff could take for something else.
func difficult() *cobra.Command {
	c := &cobra.Command{
		Use:   `scm ODD\NAME [-- 'ARG'...]`,
		Short: `Write "a\b" and 'c'`,
		Long: `.start with a dot. 'and with a quote. Then a long sentence with \fB and \(bu and -x, so that its next line begins with
.json and 'this. A "quoted" ~tilde, ^caret, ` + "`tick`" + `, an ellipsis… and wait...

  .nf in a table   "\x00"
  'br              a-b

- .first
  and its rest
- second

Exit status: that of COMMAND. Otherwise:
  0      .all is well, at
         length
  128+N  signal N`,
		Example: "  .a\n  'b",
	}
	c.Flags().Int("re-try", 3, ".how often, `N\\M`")
	return c
}

func TestTextIsShownAsItIs(t *testing.T) {
	page := pages(difficult(), "1970-01-02")["scm"]
	shown := rendered(t, page)
	if want := "       .nf in a table   \"\\x00\"\n       'br              a-b\n"; !strings.Contains(shown, want) {
		t.Errorf("%q is not in:\n%s", want, shown)
	}
	text := words(shown)
	for _, want := range []string{
		`scm - write "a\b" and 'c'`,
		`scm ODD\NAME [-- 'ARG'...] [flags]`,
		`.start with a dot. 'and with a quote. Then a long sentence with \fB and \(bu and -x, so that its next line begins with .json and 'this.`,
		"A \"quoted\" ~tilde, ^caret, `tick`, an ellipsis… and wait...",
		`.nf in a table "\x00" 'br a-b`,
		"• .first and its rest • second",
		`--re-try N\M .how often, N\M (default: 3).`,
		"EXIT STATUS That of COMMAND. Otherwise: 0 .all is well, at length. 128+N Signal N.",
		"EXAMPLES .a 'b SEE ALSO",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	for _, line := range strings.Split(page, "\n") {
		if len(line) > 80 {
			t.Errorf("a line of %d bytes: %s", len(line), line)
		}
	}
}

func TestMakeInstallsThePages(t *testing.T) {
	dest := t.TempDir() + "/to here"
	output(t, "", "make", "-C", "../../../..", "--no-print-directory", "install-man", "DESTDIR="+dest, "PREFIX=/usr")
	want := slices.Sorted(maps.Keys(written(t, "")))
	files, err := os.ReadDir(dest + "/usr/share/man/man1")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, file := range files {
		have = append(have, file.Name())
	}
	if !slices.Equal(have, want) {
		t.Errorf("installed %v, want %v", have, want)
	}
	shown := output(t, "", tool(t, "man"), "-M", dest+"/usr/share/man", "-P", "cat", "scm-interop-run")
	if !strings.Contains(shown, "--repeat-until-unexpected") {
		t.Errorf("man shows:\n%s", shown)
	}
}
