//go:build linux

// Command handover is the driver that checks package handover. It starts, reloads and stops units that run the server
// in server/, while clients send it requests.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/systemd/driver"
)

func main() {
	driver.Main(map[string]func(){"hangup": hangup}, checks)
}

// hangup sends SIGHUP to a process, as kill -HUP would.
func hangup() {
	pid := must.Get(strconv.Atoi(os.Args[2]))
	must.OK(unix.Kill(pid, unix.SIGHUP))
}

var checks = map[string]func(){
	"reload under load":                           func() { plain.with(plain.reloads) },
	"25 reloads under load":                       func() { plain.with(func(old int) { plain.reloadTimes(old, 25) }) },
	"20 reloads of httpdrain.ListenAndServe":      func() { usual.with(func(old int) { usual.reloadTimes(old, 20) }) },
	"event streams of httpdrain.ListenAndServe":   func() { usual.with(checkEvents) },
	"Type=notify-reload under load":               checkNotifyReload,
	"a successor fails":                           checkFail,
	"Type=simple and Type=exec refuse an upgrade": checkRefused,
	"a successor dies while it prepares":          checkSuccessorDies,
	"the predecessor dies before it is replaced":  checkPredecessorDies,
	"restart and stop while a successor prepares": checkStop,
	"three generations drain at once":             checkGenerations,
	"a successor crashes during a drain":          checkCrash,
	"a successor crashes at once":                 checkCrashAtOnce,
	"OOMPolicy=continue":                          checkMemory,
	"the store after SIGKILL":                     func() { stored.with(stored.storeKeeps) },
	"the store of systemd's own $FDSTORE":         checkStoreOfSystemd,
	"listeners are added and removed":             checkAdd,
	"the unit of the how-to":                      checkHowTo,
	"a socket unit":                               func() { activated.activatedBy(activated.keepsSocket) },
	"a Unix listener":                             checkUnix,
	"a Unix listener in the store":                func() { unixStored.with(unixStored.keepsSocket) },
	"a Unix socket unit":                          func() { unixActivated.activatedBy(unixActivated.keepsSocket) },
	"template units":                              checkTemplate,
	"User= and ProtectSystem=strict":              checkUser,
	"WatchdogSec=":                                checkWatchdog,
}

func tcp(name string, port int) unit {
	return unit{name, site{"tcp", fmt.Sprint("127.0.0.1:", port)}}
}

// The units, with the addresses of their files.
var (
	plain         = tcp("plain", 8001)
	notifyReload  = tcp("notifyreload", 8002)
	memory        = tcp("memory", 8003)
	stored        = tcp("stored", 8004)
	storedDefault = tcp("storeddefault", 8005)
	activated     = tcp("activated", 8006)
	user          = tcp("user", 8007)
	watchdog      = tcp("watchdog", 8008)
	app           = tcp("app", 8010)
	simple        = tcp("simple", 8011)
	execType      = tcp("exec", 8012)
	usual         = tcp("usual", 8013)
	unixPlain     = unit{"unix", site{"unix", "/run/unix.http"}}
	unixStored    = unit{"unixstored", site{"unix", "/run/unixstored.http"}}
	unixActivated = unit{"unixactivated", site{"unix", "/run/unixactivated.http"}}
)

func instance(i int) unit { return tcp(fmt.Sprintf("instance@%d", i), 8009) }

// addedSite is a listener that a new version of the server adds.
var addedSite = site{"tcp", "127.0.0.1:8100"}

// with starts the unit, runs the check with the PID of its main process, and stops the unit.
func (u unit) with(check func(pid int)) {
	err := must.Try(func() { check(u.start()) })
	must.OK(errors.Join(err, must.Try(u.stop)))
}

// loaded runs f while clients send requests. No connection may be refused, and no client may lose more requests than
// lose.
func (u unit) loaded(title string, lose int, f func()) {
	load := u.site.start()
	err := must.Try(f)
	must.OK(errors.Join(err, end(load, u.name+": "+title, lose)))
}

// restarts fails unless systemd has restarted the unit n times.
func (u unit) restarts(n int) {
	if s := u.state(); s.Restarts != n {
		must.Failf("systemd has restarted %s %d times, want %d", u.name, s.Restarts, n)
	}
}

// reloads reloads the unit several times under load.
func (u unit) reloads(old int) { u.reloadTimes(old, 4) }

func (u unit) reloadTimes(old, n int) {
	u.loaded(fmt.Sprint(n, " reloads"), 0, func() {
		for range n {
			old = u.reload(old)
		}
		u.alone(0)
	})
	u.restarts(0)
}

// checkEvents reloads and restarts the usual unit while it has event streams. The old process ends them, and exits long
// before the limit of its drain, an hour.
func checkEvents(pid int) {
	for _, verb := range []string{"reload", "reload", "reload", "restart"} {
		old, streams := pid, usual.streams()
		usual.systemctl(verb)
		pid = usual.alone(old)
		for _, s := range streams {
			driver.Want(string(must.Get(io.ReadAll(s.Body))), fmt.Sprintln(old))
		}
	}
	usual.restarts(0)
}

// checkNotifyReload verifies also that systemctl reload returns when the successor serves.
func checkNotifyReload() {
	notifyReload.with(func(old int) {
		if notifyReload.state().Type != "notify-reload" {
			must.OK(driver.ErrAbsent)
		}
		notifyReload.systemctl("reload")
		pid := notifyReload.state().MainPID
		if pid == old {
			must.Failf("systemctl reload has returned, but the main process is the old one")
		}
		notifyReload.reloads(pid)
	})
}

// failedReload reloads the unit with a version that does not serve, and verifies that the old process continues, and
// that the status says why.
func (u unit) failedReload(old int, word string) {
	why := "exited before it served"
	if word == "fail" {
		why = "this version fails"
	}
	u.install(word)
	u.systemctl("reload")
	err := must.Try(func() {
		driver.Until(func() {
			if s := u.state(); !strings.Contains(s.Status, why) {
				must.Failf("the status of %s is %q, which does not contain %q", u.name, s.Status, why)
			}
		})
	})
	u.install("")
	must.OK(err)
	u.continues(old)
}

// continues fails unless the only process of the unit is still the old one.
func (u unit) continues(old int) {
	if pid := u.alone(0); pid != old {
		must.Failf("%s has the process %d instead of %d", u.name, pid, old)
	}
}

// checkRefused reloads units that would end with the old process. It continues, and says what to set.
func checkRefused() {
	for _, u := range []unit{simple, execType} {
		u.with(func(old int) {
			u.systemctl("reload")
			driver.Until(func() {
				text := must.Get(os.ReadFile("/run/" + u.name + ".error"))
				if !strings.Contains(string(text), "set Type=notify") {
					must.Failf("the upgrade returned %q", text)
				}
			})
			u.continues(old)
			u.restarts(0)
		})
	}
}

func checkFail() {
	plain.with(func(old int) {
		plain.loaded("a successor fails, and another serves", 0, func() {
			plain.failedReload(old, "fail")
			plain.reload(old)
			plain.alone(old)
		})
		plain.restarts(0)
		if s := plain.state(); s.Status != "" {
			must.Failf("the status after a successful upgrade is %q", s.Status)
		}
	})
}

// begin makes the unit start a successor that differs in what the word says, and returns its PID.
func (u unit) begin(word string) (pid int) {
	file := "/run/" + u.name + ".pid"
	_ = os.Remove(file)
	u.install(word)
	u.systemctl("reload", "--no-block")
	err := must.Try(func() {
		driver.Until(func() { pid = must.Get(strconv.Atoi(string(must.Get(os.ReadFile(file))))) })
	})
	u.install("")
	must.OK(err)
	return pid
}

// prepare makes the unit start a successor that waits before Ready.
func (u unit) prepare(old int) (pid int) {
	pid = u.begin("wait")
	u.runs(pid, old)
	return pid
}

func checkSuccessorDies() {
	plain.with(func(old int) {
		plain.loaded("a successor is killed while it prepares", 0, func() {
			kill(plain.prepare(old))
			driver.Until(func() { plain.runs(old) })
			plain.continues(old)
			plain.restarts(0)
		})
	})
}

// checkPredecessorDies kills the old process, which is the main process, while its successor prepares. systemd then
// stops the successor, and starts a new process.
func checkPredecessorDies() {
	plain.with(func(old int) {
		successor := plain.prepare(old)
		if plain.crash(old) == successor {
			must.Failf("systemd has not stopped the successor")
		}
		plain.restarts(1)
	})
}

// checkStop restarts and stops a unit while a successor prepares.
func checkStop() {
	plain.with(func(old int) {
		plain.prepare(old)
		plain.systemctl("restart")
		plain.prepare(plain.alone(old)) // the unit is stopped now
	})
}

// checkGenerations lets three generations of the server drain at the same time, and end one after the other.
func checkGenerations() {
	plain.with(func(pid int) {
		var all []*held
		pids := []int{pid}
		for range 3 {
			h := plain.hold()
			if h.pid != pid {
				must.Failf("%d answers instead of %d", h.pid, pid)
			}
			all = append(all, h)
			pid = plain.reload(pid)
			pids = append(pids, pid)
			plain.runs(pids...)
		}
		for i, h := range all {
			if err := h.release(); err != nil {
				must.Failf("the request that generation %d has accepted: %w", i+1, err)
			}
			driver.Until(func() { plain.runs(pids[i+1:]...) })
		}
		plain.restarts(0)
	})
}

// checkCrash kills the new main process while the old one waits for a client that never ends its request.
func checkCrash() {
	stored.with(func(old int) {
		stored.hold()
		stored.loaded("SIGKILL while another process drains", 1, func() {
			crashed := stored.reload(old)
			stored.runs(old, crashed)
			stored.crash(crashed)
			stored.restarts(1)
		})
	})
}

// checkCrashAtOnce reloads the unit with a version that exits as soon as Ready has returned. systemd may not know yet
// that it is the main process. Then the old process continues, because no other one would start otherwise.
func checkCrashAtOnce() {
	plain.with(func(int) {
		for range 3 {
			crashed := plain.begin("crash")
			driver.Until(func() {
				if unix.Kill(crashed, 0) == nil {
					must.Failf("the successor %d has not crashed", crashed)
				}
			})
			plain.reload(plain.alone(crashed))
		}
	})
}

func checkMemory() {
	memory.with(func(old int) {
		memory.loaded("a successor is killed for lack of memory", 0, func() {
			memory.failedReload(old, "eat")
		})
		memory.restarts(0)
	})
}

// crash kills the main process of the unit, and waits for another one.
func (u unit) crash(old int) (pid int) {
	kill(old)
	return u.alone(old)
}

// killed is crash under load.
func (u unit) killed(old int) (pid int) {
	u.loaded("SIGKILL", 1, func() { pid = u.crash(old) })
	u.restarts(1)
	return pid
}

// storeKeeps kills the main process, reloads the unit, and kills the main process again.
func (u unit) storeKeeps(old int) {
	u.reload(u.killed(old))
	pid := u.alone(0)
	u.loaded("SIGKILL after a reload", 1, func() { u.crash(pid) })
}

// checkHowTo runs the unit of docs/handover.md.
func checkHowTo() {
	app.with(func(pid int) {
		app.reloads(pid)
		app.storeKeeps(app.alone(0))
	})
}

// checkStoreOfSystemd runs a unit that does not set FDSTORE itself.
func checkStoreOfSystemd() {
	storedDefault.with(func(old int) {
		if storedDefault.state().Stored == 0 {
			must.OK(driver.ErrAbsent)
		}
		storedDefault.storeKeeps(old)
	})
}

// stores waits until the unit's store has n descriptors.
func (u unit) stores(n int) {
	driver.Until(func() {
		if s := u.state(); s.Stored != n {
			must.Failf("systemd stores %d descriptors of %s, want %d", s.Stored, u.name, n)
		}
	})
}

// checkAdd upgrades several times to a version with another listener and back. In both, the store has exactly what the
// server uses.
func checkAdd() {
	stored.with(func(pid int) {
		n := stored.state().Stored
		for range 3 {
			stored.install("add:" + addedSite.network + ":" + addedSite.address)
			pid = stored.reload(pid)
			stored.stores(n + 1)
			added := addedSite.start()
			err := must.Try(func() {
				stored.loaded("SIGKILL with an added listener", 1, func() { pid = stored.crash(pid) })
			})
			must.OK(errors.Join(err, end(added, "the added listener", 1)))
			stored.install("")
			pid = stored.reload(pid)
			stored.stores(n)
		}
	})
}

// activatedBy starts the socket unit of u, and runs the check.
func (u unit) activatedBy(check func(old int)) {
	socket := u.name + ".socket"
	driver.Systemctl("start", socket)
	err := must.Try(func() {
		u.ask()
		u.with(check)
	})
	stopped := must.Try(func() { driver.Systemctl("stop", socket) })
	must.OK(errors.Join(err, stopped))
}

// keepsSocket reloads, restarts and kills a unit whose socket systemd keeps. Its clients are only delayed.
func (u unit) keepsSocket(pid int) {
	u.reloads(pid)
	pid = u.alone(0)
	u.loaded("systemctl restart", 1, func() {
		u.systemctl("restart")
		pid = u.alone(pid)
	})
	u.killed(pid)
}

// checkUnix runs a unit whose socket systemd does not keep. SIGKILL leaves its file.
func checkUnix() {
	unixPlain.with(func(pid int) {
		unixPlain.reloads(pid)
		pid = unixPlain.alone(0)
		unixPlain.systemctl("restart")
		unixPlain.crash(unixPlain.alone(pid))
	})
}

// checkTemplate starts instances of a template one after the other. Each takes over from the previous one.
func checkTemplate() {
	const n = 10
	pid := instance(0).start()
	instance(0).loaded(fmt.Sprint(n, " upgrades of template units"), 0, func() {
		for i := range n {
			old := pid
			if pid = instance(i + 1).start(); pid == old {
				must.Failf("%d still answers", pid)
			}
		}
	})
	for i := range n {
		driver.Until(func() {
			s := instance(i).state()
			if s.Active != "inactive" || s.Result != "success" || s.Restarts != 0 {
				must.Failf("instance@%d is %s (%s), and systemd has restarted it %d times", i, s.Active, s.Result, s.Restarts)
			}
		})
	}
	instance(n).restarts(0)
	instance(n).stop()
}

func checkUser() {
	user.with(func(pid int) {
		status := must.Get(os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)))
		if !strings.Contains(string(status), "\nUid:\t65534\t") {
			must.Failf("the server does not run as the user 65534")
		}
		user.reloads(pid)
	})
}

// checkWatchdog verifies that systemd is satisfied with the successor's messages, and notices when they end.
func checkWatchdog() {
	const interval = 2 * time.Second // as in the unit
	watchdog.with(func(pid int) {
		for range 8 { // the first message of each successor arrives before systemd knows that it is the main process
			pid = watchdog.reload(pid)
		}
		time.Sleep(5 * interval) // without messages, systemd would kill it
		watchdog.runs(pid)
		watchdog.restarts(0)
		must.OK(unix.Kill(pid, unix.SIGSTOP))
		watchdog.alone(pid)
		watchdog.restarts(1)
	})
}
