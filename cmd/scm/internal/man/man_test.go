//go:build linux

package man

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/spf13/cobra"
)

// output runs a command and returns its output without bold and italics. It fails the test if the command fails.
func output(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		fdtest.Missing(t, err.Error())
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "SOURCE_DATE_EPOCH=86400") // mandoc warns if there is no date
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return regexp.MustCompile(`.\x08`).ReplaceAllString(string(out), "")
}

var (
	helpCommand = regexp.MustCompile(`(?m)^  ([a-z-]+) +[A-Z]`)
	helpFlag    = regexp.MustCompile(`(?m)^ +(-[a-z], )?(--[a-z-]+)( [A-Za-z][A-Za-z/=]*)?   +\S`)
)

// The list of commands and flags comes from the text of --help, which cobra writes.
func TestEveryCommandAndFlagHasAPage(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil { // before a build that takes long
		fdtest.Missing(t, err.Error())
	}
	dir, flags, commands := t.TempDir(), 0, 0
	output(t, "", "go", "build", "-buildvcs=false", "-o", dir+"/scm", "../..")
	output(t, "", dir+"/scm", "man-pages", dir+"/man1")
	var visit func(args ...string)
	visit = func(args ...string) {
		commands++
		name := strings.Join(append([]string{"scm"}, args...), "-") + ".1"
		page, err := os.ReadFile(dir + "/man1/" + name)
		if err != nil {
			t.Fatal(err)
		}
		output(t, string(page), "mandoc", "-Tlint") // fails if it finds something
		text := strings.ReplaceAll(output(t, string(page), "mandoc", "-Tutf8"), "\n", " \n")
		help := output(t, "", dir+"/scm", append(args, "--help")...)
		_, list, _ := strings.Cut(help, "\nFlags:\n")
		for _, match := range helpFlag.FindAllStringSubmatch(list, -1) {
			flags++
			if tag := "\n       " + match[1] + match[2] + match[3] + " "; !strings.Contains(text, tag) {
				t.Errorf("%s has no flag %q", name, tag)
			}
		}
		_, list, _ = strings.Cut(help, "\nAvailable Commands:\n")
		for _, match := range helpCommand.FindAllStringSubmatch(list, -1) {
			if match[1] != "help" {
				visit(append(slices.Clone(args), match[1])...)
			}
		}
	}
	visit()
	if files, err := os.ReadDir(dir + "/man1"); err != nil || len(files) != commands || flags < 80 {
		t.Errorf("--help has %d commands and %d flags; pages: %v, %v", commands, flags, files, err)
	}
}

// The text of this command contains what troff could take for something else.
func TestOnePage(t *testing.T) {
	c := &cobra.Command{Use: `scm 'N\M'...`, Short: `Write "a\b"`, Example: "  .a\n  'b", Long: ".do\n'it \\fB \\(bu -x ~^`.\n\n" +
		"  .nf   \"a-b\n\n- .first\n  more\n\nExit status: that of COMMAND. Otherwise:\n  0  .well, at\n     length"}
	c.Flags().Int("re-try", 3, ".how often, `N\\M`")
	_, shown, _ := strings.Cut(output(t, pages(c, "1970-01-02")["scm"], "mandoc", "-Tutf8"), "\n\n")
	want := "NAME\n       scm - write \"a\\b\"\n\nSYNOPSIS\n       scm 'N\\M'... [flags]\n\nDESCRIPTION\n" +
		"       .do 'it \\fB \\(bu -x ~^`.\n\n       .nf   \"a-b\n\n       • .first more\n\n" +
		"OPTIONS\n       -h, --help\n              Help for scm.\n\n       --re-try N\\M\n              .how often, N\\M (default: 3).\n\n" +
		"EXIT STATUS\n       That of COMMAND.  Otherwise:\n\n       0       .well, at length.\n\nEXAMPLES\n       .a\n       'b\n\n" +
		"SEE ALSO\n       scm_rights(7), unix(7)\n\n"
	if page, found := strings.CutPrefix(shown, want); !found || strings.Count(page, "\n") != 1 {
		t.Errorf("mandoc shows\n%s\nwant\n%s", shown, want)
	}
}
