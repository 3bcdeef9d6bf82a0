//go:build linux

// Command wire is the driver that checks package wire. It starts and stops the units with systemctl. Most of them run
// the services of this command, which report what they received.
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

	"github.com/scm-rights/scm/proof/systemd/driver"
)

func main() {
	driver.Main(services, checks)
}

var services = map[string]func() error{"store": store, "barrier": barrier, "listen": listen}

// Some of the checks depend on the state that the previous one left.
var checks = map[string]func() error{
	"examples/fdstore":               checkExample,
	"systemd-run":                    checkRun,
	"NotifyStore":                    checkStore,
	"NotifyRemove":                   checkRemove,
	"store is closed on stop":        checkStop,
	"FileDescriptorStorePreserve":    checkPreserve,
	"NotifyBarrier":                  checkBarrier,
	"LISTEN_FDS of two socket units": checkListen,
	"LISTEN_PIDFDID":                 checkPIDFDID,
}

// checkExample verifies that the example counts three starts in the file that it stored during the first one.
func checkExample() error {
	if _, err := driver.Systemctl("start", "fdstore.service"); err != nil {
		return err
	}
	return driver.Until(func() error {
		text, err := os.ReadFile("/run/fdstore")
		if err != nil {
			return err
		}
		return driver.Want(string(text), "start 1\nstart 2\nstart 3\n")
	})
}

// transient is the options of systemd-run in docs/howto-fdstore.md.
const transient = "--service-type=notify -p FileDescriptorStoreMax=4 -p Restart=always -p RestartSec=3"

// checkRun verifies what docs/howto-fdstore.md says about the example without a unit file. There is no journal here.
func checkRun() error {
	args := append(strings.Fields(transient), "--unit=run", "-p", "StandardOutput=append:/run/run", "/fdstore")
	if text, err := exec.Command("systemd-run", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemd-run: %w: %s", err, text)
	}
	keeps := func(n int) error {
		text, err := driver.Systemctl("show", "-p", "NFileDescriptorStore", "run")
		return errors.Join(err, driver.Want(text, fmt.Sprint("NFileDescriptorStore=", n)))
	}
	err := driver.Until(func() error {
		text, err := os.ReadFile("/run/run")
		return errors.Join(err, driver.Want(string(text), "start 1\nstart 2\nstart 3\n"))
	})
	err = errors.Join(err, keeps(1))
	_, stop := driver.Systemctl("stop", "run")
	return errors.Join(err, stop, keeps(0))
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
	if _, err := driver.Systemctl("stop", "store.service"); err != nil {
		return err
	}
	return start("start", "store.service", "", "")
}

// checkPreserve verifies that a service with FileDescriptorStorePreserve=yes gets its files back after a stop.
func checkPreserve() error {
	if err := start("start", "preserve.service", "store", ""); err != nil {
		return err
	}
	if _, err := driver.Systemctl("stop", "preserve.service"); err != nil {
		return err
	}
	err := start("start", "preserve.service", "", both)
	if text, _ := os.ReadFile(reportFile); err != nil && string(text) == "" {
		return driver.ErrAbsent
	}
	return err
}

func checkBarrier() error {
	return start("start", "barrier.service", "", "ok")
}

// start writes the step that the service is to take, runs systemctl with the verb, and verifies the report of the
// service.
func start(verb, unit, step, report string) error {
	_ = os.Remove(reportFile)
	if err := os.WriteFile(stepFile, []byte(step), 0o666); err != nil {
		return err
	}
	if _, err := driver.Systemctl(verb, unit); err != nil {
		return err
	}
	text, err := os.ReadFile(reportFile)
	if err != nil {
		return err
	}
	return driver.Want(string(text), report)
}

// reported is what listen.service sent, which is two lines.
var reported []string

// checkListen connects to one of two sockets. systemd then starts listen.service, and passes it both.
func checkListen() error {
	if _, err := driver.Systemctl("start", "http.socket", "metrics.socket"); err != nil {
		return err
	}
	conn, err := net.Dial("unix", "/run/http.sock")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(driver.Patience))
	text, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	reported = strings.Split(string(text), "\n")
	return driver.Want(reported[0], "http=/run/http.sock metrics=/run/metrics.sock")
}

// checkPIDFDID checks the second line of that report.
func checkPIDFDID() error {
	switch {
	case len(reported) < 2:
		return errors.New("listen.service reported nothing")
	case reported[1] == driver.ErrAbsent.Error():
		return driver.ErrAbsent
	}
	return driver.Want(reported[1], "ok")
}
