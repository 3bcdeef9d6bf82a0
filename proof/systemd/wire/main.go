//go:build linux

// Command wire is the driver that checks package wire. It starts and stops the units with systemctl. Most of them run
// the services of this command, which report what they received.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/systemd/driver"
)

func main() {
	driver.Main(services, checks)
}

var services = map[string]func(){"store": store, "barrier": barrier, "listen": listen}

// Some of the checks depend on the state that the previous one left.
var checks = map[string]func(){
	"examples/fdstore":               checkExample,
	"systemd-run":                    checkRun,
	"NotifyStore":                    checkStore,
	"NotifyRemove":                   checkRemove,
	"store is closed on stop":        checkStop,
	"FileDescriptorStorePreserve":    checkPreserve,
	"NotifyBarrier":                  func() { start("start", "barrier.service", "", "ok") },
	"LISTEN_FDS of two socket units": checkListen,
	"LISTEN_PIDFDID":                 checkPIDFDID,
}

// counted waits until the file has what the example prints in its first three starts.
func counted(file string) {
	driver.Until(func() {
		driver.Want(string(must.Get(os.ReadFile(file))), "start 1\nstart 2\nstart 3\n")
	})
}

// checkExample verifies that the example counts three starts in the file that it stored during the first one.
func checkExample() {
	driver.Systemctl("start", "fdstore.service")
	counted("/run/fdstore")
}

// transient is the options of systemd-run in docs/howto.md.
const transient = "--service-type=notify -p FileDescriptorStoreMax=4 -p Restart=always -p RestartSec=3"

// checkRun verifies what docs/howto.md says about the example without a unit file. There is no journal here.
func checkRun() {
	args := append(strings.Fields(transient), "--unit=run", "-p", "StandardOutput=append:/run/run", "/fdstore")
	must.Run(exec.Command("systemd-run", args...))
	keeps := func(n int) {
		driver.Want(driver.Systemctl("show", "-p", "NFileDescriptorStore", "run"), fmt.Sprint("NFileDescriptorStore=", n))
	}
	err := must.Try(func() {
		counted("/run/run")
		keeps(1)
	})
	driver.Systemctl("stop", "run")
	must.OK(err)
	keeps(0)
}

// both is what store reports if systemd passed it both files that it stored.
const both = `drop="text of drop" keep="text of keep"`

// checkStore verifies that a service gets back the files that it stored.
func checkStore() {
	start("start", "store.service", "store", "")
	start("restart", "store.service", "remove", both)
}

// checkRemove verifies that systemd no longer has the file that store.service removed when checkStore restarted it.
func checkRemove() { start("restart", "store.service", "", `keep="text of keep"`) }

// checkStop verifies that stopping store.service closes the file that it still has in the store.
func checkStop() {
	driver.Systemctl("stop", "store.service")
	start("start", "store.service", "", "")
}

// checkPreserve verifies that a service with FileDescriptorStorePreserve=yes gets its files back after a stop.
func checkPreserve() {
	start("start", "preserve.service", "store", "")
	driver.Systemctl("stop", "preserve.service")
	err := must.Try(func() { start("start", "preserve.service", "", both) })
	if text, _ := os.ReadFile(reportFile); err != nil && string(text) == "" {
		err = driver.ErrAbsent
	}
	must.OK(err)
}

// start writes the step that the service is to take, runs systemctl with the verb, and verifies the report of the
// service.
func start(verb, unit, step, report string) {
	_ = os.Remove(reportFile)
	must.OK(os.WriteFile(stepFile, []byte(step), 0o666))
	driver.Systemctl(verb, unit)
	driver.Want(string(must.Get(os.ReadFile(reportFile))), report)
}

// reported is what listen.service sent, which is two lines.
var reported []string

// checkListen connects to one of two sockets. systemd then starts listen.service, and passes it both.
func checkListen() {
	driver.Systemctl("start", "http.socket", "metrics.socket")
	conn := must.Get(net.Dial("unix", "/run/http.sock"))
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(driver.Timeout))
	reported = strings.Split(string(must.Get(io.ReadAll(conn))), "\n")
	driver.Want(reported[0], "http=/run/http.sock metrics=/run/metrics.sock")
}

// checkPIDFDID checks the second line of that report.
func checkPIDFDID() {
	switch {
	case len(reported) < 2:
		must.Failf("listen.service reported nothing")
	case reported[1] == driver.ErrAbsent.Error():
		must.OK(driver.ErrAbsent)
	}
	driver.Want(reported[1], "ok")
}
