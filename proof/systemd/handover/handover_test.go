//go:build linux

package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/webtest"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/systemd/driver"
)

func TestEveryPlannedCheckExists(t *testing.T) {
	if err := must.Try(func() { driver.Verify("plan.txt", checks) }); err != nil {
		t.Error(err)
	}
}

// The address and the socket of a unit are in its file, but the driver knows them too.
func TestUnitsHaveTheAddressesOfTheirFiles(t *testing.T) {
	units := map[string]unit{"instance@.service": instance(0)}
	for _, u := range []unit{plain, notifyReload, memory, stored, storedDefault, activated, user, watchdog, app, simple, execType, usual, unixPlain, unixStored, unixActivated} {
		units[u.name+".service"] = u
	}
	files, err := filepath.Glob("units/*.service")
	if err != nil || len(files) != len(units) {
		t.Errorf("%d files, %d units: %v", len(files), len(units), err)
	}
	line := regexp.MustCompile(`(?m)^ExecStart=/server /run/(\S+)/socket (\S+) (\S+)$`)
	for _, file := range files {
		u := units[filepath.Base(file)]
		text, err := os.ReadFile(file)
		fdtest.Must(t, err)
		name, _, _ := strings.Cut(u.name, "@")
		match := line.FindStringSubmatch(string(text))
		if match == nil || match[1] != name || match[2] != u.network || match[3] != u.address {
			t.Errorf("%s: got %q, want %q", file, match, u)
		}
		if !strings.Contains(string(text), "\nRuntimeDirectory="+name+"\n") {
			t.Errorf("%s: no RuntimeDirectory=%s", file, name)
		}
	}
}

// app.service is the unit of the how-to, with the names of the machine.
func TestHowToHasTheUnit(t *testing.T) {
	page, err := os.ReadFile("../../../docs/handover.md")
	fdtest.Must(t, err)
	unit, err := os.ReadFile("units/app.service")
	fdtest.Must(t, err)
	text := strings.NewReplacer(
		"/server /run/app/socket tcp 127.0.0.1:8010", "/usr/local/bin/app /run/app/handover.sock :8080",
		"/handover hangup", "kill -HUP",
		"65534", "app",
	).Replace(string(unit))
	text = "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n\n"
	if !strings.Contains(string(page), text) {
		t.Errorf("docs/handover.md does not have the unit\n%s", text)
	}
}

func TestParseState(t *testing.T) {
	got := parseState("Type=notify\nMainPID=12\nNRestarts=1\nNFileDescriptorStore=2\nActiveState=active\nSubState=running\nResult=success\nStatusText=a=b c\nControlGroup=/system.slice/a.service\n")
	want := state{12, 1, 2, "active", "running", "success", "a=b c", "/system.slice/a.service", "notify"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if must.Try(func() { parseState("MainPID=\n") }) == nil {
		t.Error("no error for an empty PID")
	}
}

func TestHold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fdtest.Must(t, err)
	server := webtest.NewHTTP()
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }()
	s := site{"tcp", l.Addr().String()}
	h := s.hold()
	if h.pid != os.Getpid() {
		t.Errorf("process %d has the request", h.pid)
	}
	if err := h.release(); err != nil {
		t.Error(err)
	}
	load := s.start()
	if err := end(load, "a load", 0); err != nil || len(load.Answers()) != 1 {
		t.Errorf("%v; got answers from %v, want one process", err, load.Answers())
	}
}
