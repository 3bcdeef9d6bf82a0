//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/proof/systemd/driver"
)

func TestEveryPlannedCheckExists(t *testing.T) {
	if err := driver.Verify("plan.txt", checks); err != nil {
		t.Error(err)
	}
}

// The address and the socket of a unit are in its file, but the driver knows them too.
func TestUnitsHaveTheAddressesOfTheirFiles(t *testing.T) {
	units := map[string]unit{"instance@.service": instance(0)}
	for _, u := range []unit{plain, notifyReload, memory, stored, storedDefault, activated, user, watchdog, app, simple, execType, unixPlain, unixStored, unixActivated} {
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
		if err != nil {
			t.Fatal(err)
		}
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
	page, err := os.ReadFile("../../../docs/howto-handover.md")
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile("units/app.service")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(
		"/server /run/app/socket tcp 127.0.0.1:8010", "/usr/local/bin/app /run/app/handover.sock :8080",
		"/handover hangup", "kill -HUP",
		"65534", "app",
	).Replace(string(unit))
	text = "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n\n"
	if !strings.Contains(string(page), text) {
		t.Errorf("docs/howto-handover.md does not have the unit\n%s", text)
	}
}

func TestParseState(t *testing.T) {
	got, err := parseState("Type=notify\nMainPID=12\nNRestarts=1\nNFileDescriptorStore=2\nActiveState=active\nSubState=running\nResult=success\nStatusText=a=b c\nControlGroup=/system.slice/a.service\n")
	want := state{12, 1, 2, "active", "running", "success", "a=b c", "/system.slice/a.service", "notify"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseState("MainPID=\n"); err == nil {
		t.Error("no error for an empty PID")
	}
}

// serve answers like the server, with the process ID 7, unless f answers.
func serve(t *testing.T, f func(w http.ResponseWriter) bool) site {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f(w) {
			return
		}
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_, _ = fmt.Fprintln(w, 7)
		if r.Header.Get("Hold") != "" {
			_ = control.Flush()
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintln(w, "done")
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return site{"tcp", server.Listener.Addr().String()}
}

func TestLoad(t *testing.T) {
	s := serve(t, func(http.ResponseWriter) bool { return false })
	load, err := s.start()
	if err != nil {
		t.Fatal(err)
	}
	if err := load.end("a load", 0); err != nil {
		t.Error(err)
	}
	for _, c := range load.clients {
		if c.asked == 0 || !reflect.DeepEqual(c.pids, map[int]bool{7: true}) {
			t.Errorf("%s: %d requests, answers from %v", c.kind, c.asked, c.pids)
		}
	}
}

func TestLoadNoticesLoss(t *testing.T) {
	for what, f := range map[string]func(http.ResponseWriter) bool{
		"no answer": func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) },
		"half an answer": func(w http.ResponseWriter) bool {
			_, _ = fmt.Fprintln(w, 7)
			return true
		},
	} {
		for _, c := range newClients(serve(t, f)) {
			c.send()
			if c.lost != 1 || c.refused != 0 {
				t.Errorf("%s: %s: %d lost, %d refused", what, c.kind, c.lost, c.refused)
			}
			load := load{stop: func() {}, clients: []*client{c}}
			if load.end("a loss", 0) == nil || load.end("a loss", 1) != nil {
				t.Errorf("%s: %s: a loss is an error if it is allowed, or is none if it is not", what, c.kind)
			}
		}
	}
}

func TestLoadNoticesRefusal(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := site{"tcp", l.Addr().String()}
	_ = l.Close()
	for _, s := range []site{refusing, {"unix", filepath.Join(t.TempDir(), "none")}} {
		for _, c := range newClients(s) {
			c.send()
			if c.lost != 0 || c.refused != 1 {
				t.Errorf("%s: %s: %d lost, %d refused: %v", s.network, c.kind, c.lost, c.refused, c.errors)
			}
			if (&load{stop: func() {}, clients: []*client{c}}).end("a refusal", 1) == nil {
				t.Errorf("%s: a refusal is no error", c.kind)
			}
		}
		if _, err := s.start(); err == nil {
			t.Error("a load has started without a server")
		}
	}
}

func TestHold(t *testing.T) {
	s := serve(t, func(http.ResponseWriter) bool { return false })
	h, err := s.hold()
	if err != nil {
		t.Fatal(err)
	}
	if h.pid != 7 {
		t.Errorf("process %d has the request", h.pid)
	}
	if err := h.release(); err != nil {
		t.Error(err)
	}
}
