package driver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
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

// Patience limits how long a check waits. The machine's clock counts instructions, so a busy host does not matter.
const Patience = 20 * time.Second

// Main runs the service that the first argument names, or, if there is no argument, the checks. It then exits.
func Main(services, checks map[string]func() error) {
	run := func() error { return runChecks(checks) }
	if len(os.Args) > 1 {
		run = services[os.Args[1]]
	}
	if run == nil {
		fmt.Fprintf(os.Stderr, "%s: no service is named %q\n", os.Args[0], os.Args[1])
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", strings.Join(os.Args, " "), err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runChecks(checks map[string]func() error) error {
	version, err := Systemctl("show", "--property=Version", "--value")
	if err != nil {
		return err
	}
	fmt.Printf("\n%s%s\n", versionMark, version)
	names, err := os.ReadFile("/" + File)
	if err != nil {
		return err
	}
	for name := range strings.Lines(string(names)) {
		name = strings.TrimSpace(name)
		check := checks[name]
		if check == nil {
			continue // another driver has it
		}
		result := Passed
		if err := check(); err != nil {
			result = strings.Join(strings.Fields(err.Error()), " ")
		}
		fmt.Printf("\n%s%s: %s\n", checkMark, name, result)
	}
	return nil
}

// Note prints a line that the host shows below the results.
func Note(format string, args ...any) {
	fmt.Printf("\n%s%s\n", noteMark, fmt.Sprintf(format, args...))
}

// Systemctl returns the output of systemctl.
func Systemctl(args ...string) (string, error) {
	text, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return strings.TrimSpace(string(text)), err
}

// Want returns an error unless got is the expected text.
func Want(got, expected string) error {
	if got != expected {
		return fmt.Errorf("got %q, want %q", got, expected)
	}
	return nil
}

// Until calls f until it returns nil. If that takes longer than Patience, Until returns f's last error.
func Until(f func() error) error {
	end := time.Now().Add(Patience)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if err := f(); err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(pause)
	}
}
