//go:build linux

// Command probe checks package wire against systemd, in a machine that systemd has booted. probe.service runs
// `probe drive`, which starts and stops the other units with systemctl. These run the other subcommands, and report
// what they received.
//
// It prints one line for each check, with the result: ok, absent (this systemd lacks the feature), or the error:
//
//	@@check NAME: RESULT
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	services := map[string]func() error{"drive": drive, "store": store, "barrier": barrier, "listen": listen}
	if len(os.Args) != 2 || services[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: probe drive | store | barrier | listen")
		os.Exit(2)
	}
	if err := services[os.Args[1]](); err != nil {
		fmt.Fprintf(os.Stderr, "probe %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// errAbsent is the result of a check if this systemd lacks the feature.
var errAbsent = errors.New("absent")

// checks run in this order. Some depend on the state that the previous one left.
var checks = []struct {
	name string
	run  func() error
}{
	{"examples/fdstore", checkExample},
	{"NotifyStore", checkStore},
	{"NotifyRemove", checkRemove},
	{"store is closed on stop", checkStop},
	{"FileDescriptorStorePreserve", checkPreserve},
	{"NotifyBarrier", checkBarrier},
	{"LISTEN_FDS of two socket units", checkListen},
	{"LISTEN_PIDFDID", checkPIDFDID},
}

// patience is measured by the machine's clock, which counts instructions.
const patience = time.Minute

// drive runs the checks.
func drive() error {
	version, err := systemctl("show", "--property=Version", "--value")
	if err != nil {
		return err
	}
	fmt.Printf("\n@@systemd %s\n", version)
	for _, c := range checks {
		result := "ok"
		if err := c.run(); err != nil {
			result = strings.Join(strings.Fields(err.Error()), " ")
		}
		fmt.Printf("\n@@check %s: %s\n", c.name, result)
	}
	return nil
}

// systemctl returns the output of the command.
func systemctl(args ...string) (string, error) {
	text, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return strings.TrimSpace(string(text)), err
}

// want returns an error unless got is the expected text.
func want(got, expected string) error {
	if got != expected {
		return fmt.Errorf("got %q, want %q", got, expected)
	}
	return nil
}

// checkExample verifies that the example counts three starts in the file that it stored during the first one.
func checkExample() error {
	if _, err := systemctl("start", "fdstore.service"); err != nil {
		return err
	}
	var text []byte
	for end := time.Now().Add(patience); strings.Count(string(text), "\n") < 3 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		var err error
		if text, err = os.ReadFile("/run/fdstore"); err != nil {
			return err
		}
	}
	return want(string(text), "start 1\nstart 2\nstart 3\n")
}

// both is what store reports if systemd passed it both files that it stored.
const both = `drop="text of drop" keep="text of keep"`

// checkStore verifies that a service gets back the files that it stored.
func checkStore() error {
	if err := start("start", "store.service", "store", ""); err != nil {
		return err
	}
	return start("restart", "store.service", "remove", both)
}

// checkRemove verifies that systemd no longer has the file that store.service removed when checkStore restarted it.
func checkRemove() error {
	return start("restart", "store.service", "", `keep="text of keep"`)
}

// checkStop verifies that stopping store.service closes the file that it still has in the store.
func checkStop() error {
	if _, err := systemctl("stop", "store.service"); err != nil {
		return err
	}
	return start("start", "store.service", "", "")
}

// checkPreserve verifies that a service with FileDescriptorStorePreserve=yes gets its files back after a stop.
func checkPreserve() error {
	if err := start("start", "preserve.service", "store", ""); err != nil {
		return err
	}
	if _, err := systemctl("stop", "preserve.service"); err != nil {
		return err
	}
	err := start("start", "preserve.service", "", both)
	if text, _ := os.ReadFile(reportFile); err != nil && string(text) == "" {
		return errAbsent
	}
	return err
}

func checkBarrier() error {
	return start("start", "barrier.service", "", "ok")
}

// start writes the step that the service is to take, runs systemctl with the verb, and verifies the report of the service.
func start(verb, unit, step, report string) error {
	_ = os.Remove(reportFile)
	if err := os.WriteFile(stepFile, []byte(step), 0o666); err != nil {
		return err
	}
	if _, err := systemctl(verb, unit); err != nil {
		return err
	}
	text, err := os.ReadFile(reportFile)
	if err != nil {
		return err
	}
	return want(string(text), report)
}

// reported is what listen.service sent, which is two lines.
var reported []string

// checkListen connects to one of two sockets. systemd then starts listen.service, and passes it both.
func checkListen() error {
	if _, err := systemctl("start", "http.socket", "metrics.socket"); err != nil {
		return err
	}
	conn, err := net.Dial("unix", "/run/http.sock")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	reported = strings.Split(string(text), "\n")
	return want(reported[0], "http=/run/http.sock metrics=/run/metrics.sock")
}

// checkPIDFDID checks the second line of that report.
func checkPIDFDID() error {
	switch {
	case len(reported) < 2:
		return errors.New("listen.service reported nothing")
	case reported[1] == errAbsent.Error():
		return errAbsent
	}
	return want(reported[1], "ok")
}
