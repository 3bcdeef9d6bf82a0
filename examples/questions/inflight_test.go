//go:build linux

package questions

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

// writeFiles waits while too many descriptors are in flight. The poller cannot wait for this.
func writeFiles(conn *scm.Conn, p []byte, files ...*os.File) error {
	_, err := conn.WriteFiles(p, files...)
	for errors.Is(err, unix.ETOOMANYREFS) { // nothing was sent
		time.Sleep(10 * time.Millisecond)
		_, err = conn.WriteFiles(p, files...)
	}
	return err
}

const (
	mayHave  = 64 // descriptors in flight, in sendTooMany
	perWrite = 10
)

// sendTooMany sends descriptors until there are too many, and one more message once the others have been received.
func sendTooMany() error {
	if os.Getuid() == 0 { // root may have any number in flight
		if err := errors.Join(syscall.Setgid(54321), syscall.Setuid(54321)); err != nil {
			return err
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: mayHave, Max: mayHave}); err != nil {
		return err
	}
	a, b, err := scm.Pair("unixpacket")
	if err != nil {
		return err
	}
	files := slices.Repeat([]*os.File{os.Stdin}, perWrite)
	sent := 0
	for err == nil {
		if _, err = a.WriteFiles([]byte("x"), files...); err == nil {
			sent++
		}
	}
	fmt.Println(sent*perWrite, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range sent + 1 {
			_, received, err := b.ReadFiles(make([]byte, 1), perWrite)
			if err != nil {
				log.Fatal(err)
			}
			for _, f := range received {
				_ = f.Close()
			}
		}
	}()
	err = errors.Join(writeFiles(a, []byte("x"), files...), a.Close())
	<-done
	return err
}

func TestTooManyInFlight(t *testing.T) {
	out, stderr, err := program.Start(t, program.Command("in flight")).Wait()
	var sent int
	if n, _ := fmt.Sscan(out, &sent); n != 1 || err != nil || !strings.HasSuffix(out, ": too many references: cannot splice\n") {
		t.Errorf("printed %q and %q, and ended with %v; want a count and ETOOMANYREFS", out, stderr, err)
	}
	// The message that exceeds the limit is sent. Other processes of the same user can have some in flight too.
	if most := mayHave + perWrite - mayHave%perWrite; sent > most || os.Getuid() == 0 && sent != most {
		t.Errorf("%d descriptors were sent, want %d", sent, most)
	}
}

// The command on the page finds the receiving socket.
func TestDescriptorsInFlightAreShown(t *testing.T) {
	page := program.Must(os.ReadFile("../../docs/questions.md"))
	_, command, _ := strings.Cut(string(page), "\n    $ grep ")
	command, _, found := strings.Cut(command, "\n")
	a, b, err := scm.Pair("unix")
	if err := errors.Join(err, writeFiles(a, []byte("x"), os.Stdin, os.Stdin, os.Stdin)); err != nil || !found {
		t.Fatalf("%v; the command is on the page: %v", err, found)
	}
	defer func() { _, _ = a.Close(), b.Close() }()
	raw := program.Must(b.SyscallConn())
	var line string
	fdtest.Must(t, raw.Control(func(fd uintptr) { line = fmt.Sprintf("/proc/%d/fdinfo/%d:scm_fds: 3\n", os.Getpid(), fd) }))
	out, err := exec.Command("sh", "-c", "grep "+command).Output()
	if !strings.Contains("\n"+string(out), "\n"+line) {
		t.Errorf("%s: %q does not contain %q: %v", command, out, line, err)
	}
}
