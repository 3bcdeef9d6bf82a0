package process

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// longCall returns the lines of a call with n payloads of a byte, as recorder.Call.Raw returns them.
func longCall(summary string, n int) []string {
	lines := []string{summary, "  nr 46 (x86_64), arguments 0x3 0x7f00 0x0", fmt.Sprintf("  iovecs, %d bytes at 0x7f00", 16*n)}
	for range n {
		lines = append(lines, "           iov_base          iov_len", "    entry  0070000000000000  0100000000000000")
	}
	for i := range n {
		lines = append(lines, fmt.Sprintf("  payload %d, 1 bytes at 0x7000", i), "           bytes", "    entry  00")
	}
	return append(lines, "  control, 24 bytes at 0x7f80", "           cmsg_len", "    entry  1400000000000000")
}

// count returns how many lines begin with a prefix.
func count(lines []string, prefix string) (n int) {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// A record that is not too long is complete.
func TestRecordIsComplete(t *testing.T) {
	rec := &Recording{}
	lines := longCall("1 sendmsg()", 50)
	rec.Add(lines)
	if got := rec.Take(); !slices.Equal(got, lines) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// A record shortens the memory of calls before it leaves anything else out.
func TestRecordShortensMemory(t *testing.T) {
	rec := &Recording{}
	for i := range 4 {
		rec.Add(longCall(fmt.Sprintf("%d sendmsg()", i), 1024))
	}
	row := "           iov_base          iov_len\n    entry  0070000000000000  0100000000000000\n"
	parts := func(first, last int) (text string) {
		for i := first; i <= last; i++ {
			text += fmt.Sprintf("  payload %d, 1 bytes at 0x7000\n           bytes\n    entry  00\n", i)
		}
		return text
	}
	want := "0 sendmsg()\n  nr 46 (x86_64), arguments 0x3 0x7f00 0x0\n  iovecs, 16384 bytes at 0x7f00\n" + strings.Repeat(row, 3) +
		"    … 1019 more rows\n" + strings.Repeat(row, 2) + parts(0, 3) + "  … 1018 more parts of the memory\n" + parts(1022, 1023) +
		"  control, 24 bytes at 0x7f80\n           cmsg_len\n    entry  1400000000000000"
	lines := rec.Take()
	if got := strings.Join(lines[:len(lines)/4], "\n"); got != want {
		t.Errorf("got\n%s", got)
	}
	if len(lines) != 4*len(strings.Split(want, "\n")) {
		t.Errorf("got %d lines", len(lines))
	}
}

// A record with many calls keeps the calls on the sockets of the case, and their memory, longest.
func TestRecordKeepsCallsOfCase(t *testing.T) {
	const ours, other = "1 sendmsg(3<unix stream socket:[4711]>)", "2 sendmsg(3<unix stream socket:[471]>)"
	rec := &Recording{sockets: []string{"socket:[4711]"}}
	for range 150 {
		rec.Add(longCall(other, 1))
	}
	for range 3 {
		rec.Add(longCall(ours, 1024))
	}
	lines := rec.Take()
	if count(lines, ours) != 3 || count(lines, other) != 150 || count(lines, "  control, ") < 3 || len(lines) > MostRecorded+1 {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	if i := slices.Index(lines, ours); i < 0 || lines[i+1] != longCall("", 1)[1] {
		t.Errorf("the memory of the case's calls is left out:\n%s", strings.Join(lines, "\n"))
	}
	for range 199 {
		rec.Add(longCall(other, 1))
		rec.Add(longCall(ours, 1024))
	}
	lines = rec.Take()
	if count(lines, ours) != mostCalls || count(lines, other) != 0 || len(lines) > MostRecorded+2 ||
		lines[len(lines)-1] != fmt.Sprintf("… and %d more calls", 150+3+2*199-mostCalls) {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	if l := lines[len(lines)-2]; !strings.HasPrefix(l, "… without the memory of ") {
		t.Errorf("the line before the last is %q, want that there is no memory", l)
	}
}

// The sockets of a peer's pool are those of the case.
func TestStartWatchesPool(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	fdtest.Must(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	name, err := procfs.ReadLink(procfs.Self, pair[0])
	fdtest.Must(t, err)
	ours := fmt.Sprintf("1 sendmsg(3<unix stream %s>)", name)
	rec := &Recording{With: func(cmd *exec.Cmd, started func(), call func([]string)) error {
		if err := onStarter(cmd.Start); err != nil {
			return err
		}
		started()
		for range 2 * mostCalls {
			call([]string{"1 sendmsg(3<unix stream socket:[1]>)"})
		}
		call([]string{ours})
		return cmd.Wait()
	}}
	proc, err := Start(scenario.Program("x", "true"), pair[:1], scenario.User{}, rec)
	fdtest.Must(t, err)
	<-proc.Gone
	_ = proc.Close()
	if lines := rec.Take(); !slices.Contains(lines, ours) {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
}

// A peer inherits no descriptor that the runner has inherited.
func TestStartClosesInherited(t *testing.T) {
	const inherited = 900
	fdtest.Must(t, unix.Dup3(0, inherited, 0))
	defer unix.Close(inherited)
	proc, err := Start(scenario.Program("x", "sh", "-c", "read line; test -e /proc/self/fd/900; echo $?"), nil, scenario.User{}, nil)
	fdtest.Must(t, err)
	defer proc.Close()
	if answer, err := proc.Ask(t.Context(), "hello", DefaultTimeout); answer != "1" {
		t.Errorf("got %q, %v, want 1: the descriptor is not open", answer, err)
	}
}
