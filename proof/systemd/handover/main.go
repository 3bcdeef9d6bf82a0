//go:build linux

// Command handover is the driver that checks package handover. It starts, reloads and stops units that run the server
// in server/, while clients send it requests.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/systemd/driver"
)

func main() {
	driver.Main(map[string]func() error{"hangup": hangup}, checks)
}

// hangup sends SIGHUP to a process, as kill -HUP would.
func hangup() error {
	pid, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	return unix.Kill(pid, unix.SIGHUP)
}

var checks = map[string]func() error{
	"reload under load":                           checkReload,
	"25 reloads under load":                       checkReloads,
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
	"the store after SIGKILL":                     checkStore,
	"the store of systemd's own $FDSTORE":         checkStoreOfSystemd,
	"listeners are added and removed":             checkAdd,
	"the unit of the how-to":                      checkHowTo,
	"a socket unit":                               checkSocketUnit,
	"a Unix listener":                             checkUnix,
	"a Unix listener in the store":                checkUnixStore,
	"a Unix socket unit":                          checkUnixSocketUnit,
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
	unixPlain     = unit{"unix", site{"unix", "/run/unix.http"}}
	unixStored    = unit{"unixstored", site{"unix", "/run/unixstored.http"}}
	unixActivated = unit{"unixactivated", site{"unix", "/run/unixactivated.http"}}
)

func instance(i int) unit { return tcp(fmt.Sprintf("instance@%d", i), 8009) }

// addedSite is a listener that a new version of the server adds.
var addedSite = site{"tcp", "127.0.0.1:8100"}

// with starts the unit, runs the check with the PID of its main process, and stops the unit.
func (u unit) with(check func(pid int) error) error {
	pid, err := u.start()
	if err == nil {
		err = check(pid)
	}
	return errors.Join(err, u.stop())
}

// loaded runs f while clients send requests. No connection may be refused, and no client may lose more requests than
// lose.
func (u unit) loaded(title string, lose int, f func() error) error {
	load, err := u.site.start()
	if err != nil {
		return err
	}
	err = f()
	return errors.Join(err, end(load, u.name+": "+title, lose))
}

// noRestart returns an error if systemd has restarted the unit.
func (u unit) noRestart() error { return u.restarts(0) }

func (u unit) restarts(n int) error {
	s, err := u.state()
	if err == nil && s.Restarts != n {
		err = fmt.Errorf("systemd has restarted %s %d times, want %d", u.name, s.Restarts, n)
	}
	return err
}

// reloads reloads the unit several times under load.
func (u unit) reloads(old int) error { return u.reloadTimes(old, 4) }

func (u unit) reloadTimes(old, n int) error {
	err := u.loaded(fmt.Sprint(n, " reloads"), 0, func() (err error) {
		for range n {
			if old, err = u.reload(old); err != nil {
				return err
			}
		}
		_, err = u.alone(0)
		return err
	})
	return errors.Join(err, u.noRestart())
}

func checkReload() error { return plain.with(plain.reloads) }

func checkReloads() error {
	return plain.with(func(old int) error { return plain.reloadTimes(old, 25) })
}

// checkNotifyReload verifies also that systemctl reload returns when the successor serves.
func checkNotifyReload() error {
	return notifyReload.with(func(old int) error {
		s, err := notifyReload.state()
		if err != nil {
			return err
		}
		if s.Type != "notify-reload" {
			return driver.ErrAbsent
		}
		if _, err := driver.Systemctl("reload", "notifyreload.service"); err != nil {
			return err
		}
		if s, err = notifyReload.state(); err != nil {
			return err
		}
		if s.MainPID == old {
			return errors.New("systemctl reload has returned, but the main process is the old one")
		}
		return notifyReload.reloads(s.MainPID)
	})
}

// failedReload reloads the unit with a version that does not serve, and verifies that the old process continues, and
// that the status says why.
func (u unit) failedReload(old int, word string) error {
	why := "exited before it served"
	if word == "fail" {
		why = "this version fails"
	}
	if err := u.install(word); err != nil {
		return err
	}
	if _, err := driver.Systemctl("reload", u.name+".service"); err != nil {
		return err
	}
	err := driver.Until(func() error {
		s, err := u.state()
		if err == nil && !strings.Contains(s.Status, why) {
			err = fmt.Errorf("the status of %s is %q, which does not contain %q", u.name, s.Status, why)
		}
		return err
	})
	if err := errors.Join(err, u.install("")); err != nil {
		return err
	}
	return u.continues(old)
}

// continues returns an error unless the only process of the unit is still the old one.
func (u unit) continues(old int) error {
	pid, err := u.alone(0)
	if err == nil && pid != old {
		err = fmt.Errorf("%s has the process %d instead of %d", u.name, pid, old)
	}
	return err
}

// checkRefused reloads units that would end with the old process. It continues, and says what to set.
func checkRefused() error {
	for _, u := range []unit{simple, execType} {
		err := u.with(func(old int) error {
			if _, err := driver.Systemctl("reload", u.name+".service"); err != nil {
				return err
			}
			err := driver.Until(func() error {
				text, err := os.ReadFile("/run/" + u.name + ".error")
				if err == nil && !strings.Contains(string(text), "set Type=notify") {
					err = fmt.Errorf("the upgrade returned %q", text)
				}
				return err
			})
			return errors.Join(err, u.continues(old), u.noRestart())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkFail() error {
	return plain.with(func(old int) error {
		err := plain.loaded("a successor fails, and another serves", 0, func() error {
			if err := plain.failedReload(old, "fail"); err != nil {
				return err
			}
			if _, err := plain.reload(old); err != nil {
				return err
			}
			_, err := plain.alone(old)
			return err
		})
		if err := errors.Join(err, plain.noRestart()); err != nil {
			return err
		}
		s, err := plain.state()
		if err == nil && s.Status != "" {
			err = fmt.Errorf("the status after a successful upgrade is %q", s.Status)
		}
		return err
	})
}

// begin makes the unit start a successor that differs in what the word says, and returns its PID.
func (u unit) begin(word string) (pid int, err error) {
	file := "/run/" + u.name + ".pid"
	_ = os.Remove(file)
	if err := u.install(word); err != nil {
		return 0, err
	}
	if _, err := driver.Systemctl("reload", "--no-block", u.name+".service"); err != nil {
		return 0, err
	}
	err = driver.Until(func() error {
		text, err := os.ReadFile(file)
		if err == nil {
			pid, err = strconv.Atoi(string(text))
		}
		return err
	})
	return pid, errors.Join(err, u.install(""))
}

// prepare makes the unit start a successor that waits before Ready.
func (u unit) prepare(old int) (pid int, err error) {
	if pid, err = u.begin("wait"); err != nil {
		return 0, err
	}
	return pid, u.runs(pid, old)
}

func checkSuccessorDies() error {
	return plain.with(func(old int) error {
		return plain.loaded("a successor is killed while it prepares", 0, func() error {
			successor, err := plain.prepare(old)
			if err != nil {
				return err
			}
			if err := kill(successor); err != nil {
				return err
			}
			err = driver.Until(func() error { return plain.runs(old) })
			if err != nil {
				return err
			}
			return errors.Join(plain.continues(old), plain.noRestart())
		})
	})
}

// checkPredecessorDies kills the old process, which is the main process, while its successor prepares. systemd then
// stops the successor, and starts a new process.
func checkPredecessorDies() error {
	return plain.with(func(old int) error {
		successor, err := plain.prepare(old)
		if err != nil {
			return err
		}
		pid, err := plain.crash(old)
		if err == nil && pid == successor {
			err = errors.New("systemd has not stopped the successor")
		}
		return errors.Join(err, plain.restarts(1))
	})
}

// checkStop restarts and stops a unit while a successor prepares.
func checkStop() error {
	return plain.with(func(old int) error {
		if _, err := plain.prepare(old); err != nil {
			return err
		}
		if _, err := driver.Systemctl("restart", "plain.service"); err != nil {
			return err
		}
		pid, err := plain.alone(old)
		if err != nil {
			return err
		}
		_, err = plain.prepare(pid)
		return err // the unit is stopped now
	})
}

// checkGenerations lets three generations of the server drain at the same time, and end one after the other.
func checkGenerations() error {
	return plain.with(func(pid int) error {
		var all []*held
		pids := []int{pid}
		for range 3 {
			h, err := plain.hold()
			if err != nil {
				return err
			}
			if h.pid != pid {
				return fmt.Errorf("%d answers instead of %d", h.pid, pid)
			}
			all = append(all, h)
			if pid, err = plain.reload(pid); err != nil {
				return err
			}
			pids = append(pids, pid)
			if err := plain.runs(pids...); err != nil {
				return err
			}
		}
		for i, h := range all {
			if err := h.release(); err != nil {
				return fmt.Errorf("the request that generation %d has accepted: %w", i+1, err)
			}
			if err := driver.Until(func() error { return plain.runs(pids[i+1:]...) }); err != nil {
				return err
			}
		}
		return plain.noRestart()
	})
}

// checkCrash kills the new main process while the old one waits for a client that never ends its request.
func checkCrash() error {
	return stored.with(func(old int) error {
		if _, err := stored.hold(); err != nil {
			return err
		}
		return stored.loaded("SIGKILL while another process drains", 1, func() error {
			crashed, err := stored.reload(old)
			if err != nil {
				return err
			}
			if err := stored.runs(old, crashed); err != nil {
				return err
			}
			_, err = stored.crash(crashed)
			return errors.Join(err, stored.restarts(1))
		})
	})
}

// checkCrashAtOnce reloads the unit with a version that exits as soon as Ready has returned. systemd may not know yet
// that it is the main process. Then the old process continues, because no other one would start otherwise.
func checkCrashAtOnce() error {
	return plain.with(func(int) error {
		for range 3 {
			crashed, err := plain.begin("crash")
			if err != nil {
				return err
			}
			err = driver.Until(func() error {
				if unix.Kill(crashed, 0) == nil {
					return fmt.Errorf("the successor %d has not crashed", crashed)
				}
				return nil
			})
			if err != nil {
				return err
			}
			pid, err := plain.alone(crashed)
			if err != nil {
				return err
			}
			if _, err := plain.reload(pid); err != nil {
				return err
			}
		}
		return nil
	})
}

func checkMemory() error {
	return memory.with(func(old int) error {
		err := memory.loaded("a successor is killed for lack of memory", 0, func() error {
			return memory.failedReload(old, "eat")
		})
		return errors.Join(err, memory.noRestart())
	})
}

// crash kills the main process of the unit, and waits for another one.
func (u unit) crash(old int) (pid int, err error) {
	if err := kill(old); err != nil {
		return 0, err
	}
	return u.alone(old)
}

// killed is crash under load.
func (u unit) killed(old int) (pid int, err error) {
	err = u.loaded("SIGKILL", 1, func() error {
		pid, err = u.crash(old)
		return err
	})
	return pid, errors.Join(err, u.restarts(1))
}

// storeKeeps kills the main process, reloads the unit, and kills the main process again.
func (u unit) storeKeeps(old int) error {
	pid, err := u.killed(old)
	if err != nil {
		return err
	}
	if _, err := u.reload(pid); err != nil {
		return err
	}
	if pid, err = u.alone(0); err != nil {
		return err
	}
	return u.loaded("SIGKILL after a reload", 1, func() error {
		_, err = u.crash(pid)
		return err
	})
}

func checkStore() error { return stored.with(stored.storeKeeps) }

// checkHowTo runs the unit of docs/howto-handover.md.
func checkHowTo() error {
	return app.with(func(pid int) error {
		if err := app.reloads(pid); err != nil {
			return err
		}
		pid, err := app.alone(0)
		if err != nil {
			return err
		}
		return app.storeKeeps(pid)
	})
}

// checkStoreOfSystemd runs a unit that does not set FDSTORE itself.
func checkStoreOfSystemd() error {
	return storedDefault.with(func(old int) error {
		s, err := storedDefault.state()
		if err != nil {
			return err
		}
		if s.Stored == 0 {
			return driver.ErrAbsent
		}
		return storedDefault.storeKeeps(old)
	})
}

// stores waits until the unit's store has n descriptors.
func (u unit) stores(n int) error {
	return driver.Until(func() error {
		s, err := u.state()
		if err == nil && s.Stored != n {
			err = fmt.Errorf("systemd stores %d descriptors of %s, want %d", s.Stored, u.name, n)
		}
		return err
	})
}

// checkAdd upgrades several times to a version with another listener and back. In both, the store has exactly what the
// server uses.
func checkAdd() error {
	return stored.with(func(pid int) error {
		s, err := stored.state()
		if err != nil {
			return err
		}
		for range 3 {
			if err := stored.install("add:" + addedSite.network + ":" + addedSite.address); err != nil {
				return err
			}
			if pid, err = stored.reload(pid); err != nil {
				return err
			}
			if err := stored.stores(s.Stored + 1); err != nil {
				return err
			}
			added, err := addedSite.start()
			if err != nil {
				return err
			}
			err = stored.loaded("SIGKILL with an added listener", 1, func() error {
				pid, err = stored.crash(pid)
				return err
			})
			if err := errors.Join(err, end(added, "the added listener", 1)); err != nil {
				return err
			}
			if err := stored.install(""); err != nil {
				return err
			}
			if pid, err = stored.reload(pid); err != nil {
				return err
			}
			if err := stored.stores(s.Stored); err != nil {
				return err
			}
		}
		return nil
	})
}

// activatedBy starts the socket unit of u, and runs the check.
func (u unit) activatedBy(check func(old int) error) error {
	socket := u.name + ".socket"
	if _, err := driver.Systemctl("start", socket); err != nil {
		return err
	}
	_, err := u.ask()
	if err == nil {
		err = u.with(check)
	}
	_, stopped := driver.Systemctl("stop", socket)
	return errors.Join(err, stopped)
}

// restarted restarts the unit under load, so that its clients are only delayed.
func (u unit) restarted(old int) (pid int, err error) {
	err = u.loaded("systemctl restart", 1, func() error {
		if _, err := driver.Systemctl("restart", u.name+".service"); err != nil {
			return err
		}
		pid, err = u.alone(old)
		return err
	})
	return pid, err
}

// keepsSocket reloads, restarts and kills a unit whose socket systemd keeps.
func (u unit) keepsSocket(pid int) error {
	if err := u.reloads(pid); err != nil {
		return err
	}
	pid, err := u.alone(0)
	if err != nil {
		return err
	}
	if pid, err = u.restarted(pid); err != nil {
		return err
	}
	_, err = u.killed(pid)
	return err
}

func checkSocketUnit() error     { return activated.activatedBy(activated.keepsSocket) }
func checkUnixSocketUnit() error { return unixActivated.activatedBy(unixActivated.keepsSocket) }
func checkUnixStore() error      { return unixStored.with(unixStored.keepsSocket) }

// checkUnix runs a unit whose socket systemd does not keep. SIGKILL leaves its file.
func checkUnix() error {
	return unixPlain.with(func(pid int) error {
		if err := unixPlain.reloads(pid); err != nil {
			return err
		}
		pid, err := unixPlain.alone(0)
		if err != nil {
			return err
		}
		if _, err := driver.Systemctl("restart", "unix.service"); err != nil {
			return err
		}
		if pid, err = unixPlain.alone(pid); err != nil {
			return err
		}
		_, err = unixPlain.crash(pid)
		return err
	})
}

// checkTemplate starts instances of a template one after the other. Each takes over from the previous one.
func checkTemplate() error {
	const n = 10
	pid, err := instance(0).start()
	if err != nil {
		return err
	}
	err = instance(0).loaded(fmt.Sprint(n, " upgrades of template units"), 0, func() error {
		for i := range n {
			old := pid
			if pid, err = instance(i + 1).start(); err != nil {
				return err
			}
			if pid == old {
				return fmt.Errorf("%d still answers", pid)
			}
		}
		return nil
	})
	for i := range n {
		err = errors.Join(err, driver.Until(func() error {
			s, err := instance(i).state()
			if err == nil && (s.Active != "inactive" || s.Result != "success" || s.Restarts != 0) {
				err = fmt.Errorf("instance@%d is %s (%s), and systemd has restarted it %d times", i, s.Active, s.Result, s.Restarts)
			}
			return err
		}))
	}
	return errors.Join(err, instance(n).noRestart(), instance(n).stop())
}

func checkUser() error {
	return user.with(func(pid int) error {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return err
		}
		if !strings.Contains(string(status), "\nUid:\t65534\t") {
			return errors.New("the server does not run as the user 65534")
		}
		return user.reloads(pid)
	})
}

// checkWatchdog verifies that systemd is satisfied with the successor's messages, and notices when they end.
func checkWatchdog() error {
	const interval = 2 * time.Second // as in the unit
	return watchdog.with(func(pid int) error {
		var err error
		if pid, err = watchdog.reload(pid); err != nil {
			return err
		}
		time.Sleep(5 * interval) // without messages, systemd would kill it
		if err := errors.Join(watchdog.runs(pid), watchdog.noRestart()); err != nil {
			return err
		}
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			return err
		}
		_, err = watchdog.alone(pid)
		return errors.Join(err, watchdog.restarts(1))
	})
}
