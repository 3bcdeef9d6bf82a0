package driver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/scm-rights/scm/proof/must"
)

// File is a file in the machine. It has the names of the checks that are to run, one a line, in all directories.
const File = "checks"

// The beginning of the lines that a driver prints.
const (
	versionMark = "@@systemd "
	checkMark   = "@@check "
	noteMark    = "@@note "
)

// ErrAbsent is the result of a check if this systemd lacks the feature.
var ErrAbsent = errors.New("absent")

// Timeout limits how long a check waits. The machine's clock counts instructions, so a busy host does not matter.
const Timeout = 20 * time.Second

// Main runs the service that the first argument names, or, if there is no argument, the checks. It then exits.
func Main(services, checks map[string]func()) {
	run := func() { runChecks(checks) }
	if len(os.Args) > 1 {
		run = services[os.Args[1]]
	}
	if run == nil {
		fmt.Fprintf(os.Stderr, "%s: no service is named %q\n", os.Args[0], os.Args[1])
		os.Exit(2)
	}
	must.Main(strings.Join(os.Args, " "), run)
	os.Exit(0)
}

func runChecks(checks map[string]func()) {
	fmt.Printf("\n%s%s\n", versionMark, Systemctl("show", "--property=Version", "--value"))
	for name := range strings.Lines(string(must.Get(os.ReadFile("/" + File)))) {
		name = strings.TrimSpace(name)
		check := checks[name]
		if check == nil {
			continue // another driver has it
		}
		result := Passed
		if err := must.Try(check); err != nil {
			result = strings.Join(strings.Fields(err.Error()), " ")
		}
		fmt.Printf("\n%s%s: %s\n", checkMark, name, result)
	}
}

// Note prints a line that the host shows below the results.
func Note(format string, args ...any) {
	fmt.Printf("\n%s%s\n", noteMark, fmt.Sprintf(format, args...))
}

// Systemctl returns the output of systemctl.
func Systemctl(args ...string) string {
	return strings.TrimSpace(must.Run(exec.Command("systemctl", args...)))
}

// Want fails unless got is the expected text.
func Want(got, expected string) {
	if got != expected {
		must.Failf("got %q, want %q", got, expected)
	}
}

// Until calls f until it does not fail. If that takes longer than Timeout, Until fails as f did.
func Until(f func()) {
	end := time.Now().Add(Timeout)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := must.Try(f)
		if err == nil || time.Now().After(end) {
			must.OK(err)
			return
		}
		time.Sleep(pause)
	}
}
