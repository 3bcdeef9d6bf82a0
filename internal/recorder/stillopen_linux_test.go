package recorder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/ringtest"
)

// flags32 are the flags with which the C compiler builds for 386. A static program needs no 32-bit libraries.
var flags32 = []string{"-m32", "-I/usr/include/x86_64-linux-gnu", "-static"}

// receiverVariable is an environment variable for machines without a compiler. It contains the path of
// testdata/receiver.c, built statically.
const receiverVariable = "SCM_RECORDER_RECEIVER"

// receiver builds testdata/receiver.c.
func receiver(t *testing.T, flags ...string) string {
	t.Helper()
	needsPtrace(t)
	if built := os.Getenv(receiverVariable); built != "" && len(flags) == 0 {
		return built
	}
	cc := compiler(t)
	path := filepath.Join(fdtest.ShortDir(t), "receiver")
	args := slices.Concat(cc[1:], []string{"-O1", "-D_GNU_SOURCE", "-pthread", "-o", path}, flags, []string{"testdata/receiver.c"})
	if out, err := exec.Command(cc[0], args...).CombinedOutput(); err != nil {
		if len(flags) > 0 {
			fdtest.Missing(t, "gcc -m32", "the compiler cannot build for 386")
		}
		t.Fatalf("build the receiver: %v\n%s", err, out)
	}
	return path
}

// receivers runs a test with the receiver built for each architecture that this one can trace.
func receivers(t *testing.T, test func(t *testing.T, path string)) {
	if runtime.GOARCH != "386" {
		t.Run("native", func(t *testing.T) { test(t, receiver(t)) })
	}
	if slices.Contains(recordable, i386) {
		t.Run("386", func(t *testing.T) { test(t, receiver(t, flags32...)) })
	}
}

// stillOpen records a command, and returns what is still open and what the command printed.
func stillOpen(t *testing.T, cmd *exec.Cmd, o Options) (list []*StillOpen, stdout string) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	o.StillOpen = func(found *StillOpen) { list = append(list, found) }
	_, err := Record(cmd, o)
	var exit *ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Status.Signal() != unix.SIGKILL) {
		t.Fatalf("record %q: %v\n%s", cmd.Args, err, &out)
	}
	return list, out.String()
}

// An openFD is a line of the list that the receiver prints.
type openFD struct {
	pid, fd int
	name    string
}

// listed parses the lists that the receiver has printed. The values are true for descriptors that are not
// close-on-exec.
func listed(t *testing.T, stdout string) map[openFD]bool {
	t.Helper()
	open := map[openFD]bool{}
	for line := range strings.Lines(stdout) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(f) < 3 {
			t.Fatalf("the receiver printed %q", line)
		}
		value, closeOnExec := strings.CutPrefix(f[1], "x")
		pid, err := strconv.Atoi(f[0])
		fd, err2 := strconv.Atoi(value)
		if err := errors.Join(err, err2); err != nil {
			t.Fatalf("the receiver printed %q: %v", line, err)
		}
		open[openFD{pid, fd, f[2]}] = !closeOnExec
	}
	return open
}

var socketInode = regexp.MustCompile(`socket:\[\d+\]`)

// normalized returns the texts of reports, without process IDs and the inodes of sockets.
func normalized(list []*StillOpen) (texts []string) {
	for _, o := range list {
		text := socketInode.ReplaceAllString(o.Text(), "socket")
		if o.Process.parent != nil {
			text = "child " + text
		}
		text = strings.Replace(text, fmt.Sprintf(" of process %d", o.Receipt.Process.PID), " of another process", 1)
		texts = append(texts, text)
	}
	return texts
}

const (
	hosts  = "open:a:/etc/hosts "
	passwd = "open:b:/etc/passwd "
	one    = "open:a:DIR/one " // which has the inode of DIR/two
	from   = ", descriptor 1 of 1 from recvmsg(4<unix stream socket>)"
	from1  = ", descriptor 1 of 2 from recvmsg(4<unix stream socket>)"
	from2  = ", descriptor 2 of 2 from recvmsg(4<unix stream socket>)"
)

var stillOpenTests = []struct {
	name  string
	steps string
	want  []string
}{
	{"closes all", hosts + passwd + "send:ab close:a close:b recvx:ab close:a close:b", nil},
	{"closes all, and keeps its own", hosts + "send:a recvx:b close:b", nil},
	{"closes its own", hosts + "send:a recvx:b close:a", []string{
		"exit: still open 6<regular /etc/hosts, read>" + from,
	}},
	{"leaks one of two", hosts + passwd + "send:ab close:a close:b recvx:ab close:a", []string{
		"exit: still open 6<regular /etc/passwd, read>" + from2,
	}},
	{"leaks one of two, and passes both on", hosts + passwd + "send:ab close:a close:b recv:ab fork exec end close:a", []string{
		"child exec /usr/bin/true: passed on 5<regular /etc/hosts, read>" + from1 + " of another process",
		"child exec /usr/bin/true: passed on 6<regular /etc/passwd, read>" + from2 + " of another process",
		"child exit: still open 5<regular /etc/hosts, read>" + from1 + " of another process",
		"child exit: still open 6<regular /etc/passwd, read>" + from2 + " of another process",
		"exit: still open 6<regular /etc/passwd, read>" + from2,
	}},
	{"executes another program", hosts + "send:a close:a recv:a exec", []string{
		"exec /usr/bin/true: passed on 5<regular /etc/hosts, read>" + from,
		"exit: still open 5<regular /etc/hosts, read>" + from,
	}},
	{"passes on nothing", hosts + "send:a recvx:b exec", nil},
	{"passes on its own, and not the received one", hosts + "dup:a:20 send:a recvx:b exec", nil},
	{"moves a descriptor", hosts + "send:a close:a recvx:b move:b:20", []string{
		"exit: still open 20<regular /etc/hosts, read>, received as 5" + from,
	}},
	{"passes on a duplicate", hosts + "send:a close:a recvx:b dup:b:20 exec", []string{
		"exec /usr/bin/true: passed on 20<regular /etc/hosts, read>, received as 5" + from,
		"exit: still open 20<regular /etc/hosts, read>, received as 5" + from,
	}},
	{"moves it, and has the file twice already", hosts + "dup:a:30 send:a recvx:b move:b:20", []string{
		"exit: still open 20<regular /etc/hosts, read>, received as 6" + from,
	}},
	{"receives a file twice, and closes the second", hosts + "send:a recvx:b send:a recvx:c close:c", []string{
		"exit: still open 6<regular /etc/hosts, read>" + from,
	}},
	{"receives a file twice, and closes the first", hosts + "send:a recvx:b send:a recvx:c close:b", []string{
		"exit: still open 7<regular /etc/hosts, read>" + from,
	}},
	{"receives a file again after it has closed it", hosts + "send:a send:a recvx:b close:b recvx:b close:b", nil},
	{"opens a received file again, which looks the same", hosts + "send:a close:a recvx:b close:b " + passwd + hosts, []string{
		"exit: still open 6<regular /etc/hosts, read>, received as 5" + from,
	}},
	{"moves one and uses its value for the same file", one + "send:a close:a recvx:a move:a:20 write:c:DIR/one open:b:DIR/one send:b close:b recvx:b close:b", []string{
		"exit: still open 20<regular DIR/one, read>, received as 5" + from,
	}},
	{"moves one and receives a duplicate of what uses its value", one + "send:a close:a recvx:a move:a:20 write:c:DIR/one send:c recvx:b close:b", []string{
		"exit: still open 20<regular DIR/one, read>, received as 5" + from,
	}},
	{"uses the value for another file", hosts + "send:a close:a recvx:a close:a " + passwd, nil},
	{"opens the file for writing", "open:a:/dev/null send:a close:a recvx:a close:a write:b:/dev/null", nil},
	{"receives an anonymous file", "eventfd:a eventfd:b send:a close:a recvx:a", []string{
		"exit: perhaps still open 5<anon_inode:[eventfd], read-write>" + from,
	}},
	{"passes on an anonymous file", "eventfd:a send:a recv:b exec", []string{
		"exec /usr/bin/true: perhaps passed on 6<anon_inode:[eventfd], read-write>" + from,
		"exit: perhaps still open 6<anon_inode:[eventfd], read-write>" + from,
	}},
	{"moves an anonymous file", "eventfd:a send:a recvx:b move:b:20", nil},
	{"closes an anonymous file, and opens another with the same value", "eventfd:a send:a close:a recvx:a close:a eventfd:a", []string{
		"exit: perhaps still open 5<anon_inode:[eventfd], read-write>" + from,
	}},
	{"closes an anonymous file", "eventfd:a eventfd:b send:a close:a recvx:a close:a", nil},
	{"closes an anonymous file, and opens another", "eventfd:a send:a recvx:b close:b eventfd:c dup:c:20 close:c", nil},
	{"has a child that closes it", hosts + "send:a close:a recvx:a fork close:a end close:a", nil},
	{"has a child that keeps it", hosts + "send:a close:a recvx:a fork end close:a", []string{
		"child exit: still open 5<regular /etc/hosts, read>" + from + " of another process",
	}},
	{"has a child that receives", hosts + "send:a fork recvx:b end", []string{
		"child exit: still open 6<regular /etc/hosts, read>" + from,
	}},
	{"shares its table", hosts + "send:a close:a share recvx:a end", []string{
		"exit: still open 5<regular /etc/hosts, read>" + from + " of another process",
	}},
	{"shares its table with a child that closes it", hosts + "send:a close:a recvx:a share close:a end", nil},
	{"has a child that stops sharing its table, and keeps it", hosts + "send:a close:a recvx:a share unshare end close:a", []string{
		"child exit: still open 5<regular /etc/hosts, read>" + from + " of another process",
	}},
	{"stops sharing its table, and receives", hosts + "send:a close:a unshare recvx:a", []string{
		"exit: still open 5<regular /etc/hosts, read>" + from,
	}},
	{"receives in both tables", hosts + "send:a send:a close:a share unshare recvx:a end recvx:a close:a", []string{
		"child exit: still open 5<regular /etc/hosts, read>" + from,
	}},
	{"shares its table with a child that executes a program", hosts + "send:a close:a recv:a share exec end close:a", []string{
		"child exec /usr/bin/true: passed on 5<regular /etc/hosts, read>" + from + " of another process",
		"child exit: still open 5<regular /etc/hosts, read>" + from + " of another process",
	}},
	{"keeps one in a large table", "open:c:/etc/group dup:c:1200 " + hosts + "send:a recvx:b", []string{
		"exit: still open 7<regular /etc/hosts, read>" + from,
	}},
	{"receives twice in a large table", "open:c:/etc/group dup:c:1200 " + hosts + "send:a send:a recvx:b close:b recvx:b close:b", nil},
	{"moves one in a large table", "open:c:/etc/group dup:c:1200 " + hosts + "send:a recvx:b move:b:20", nil},
	{"opens another terminal", "open:a:/dev/ptmx send:a close:a recvx:a close:a open:a:/dev/ptmx", []string{
		"exit: perhaps still open 5<character device /dev/ptmx, read>" + from,
	}},
	{"opens another terminal at another value", "open:a:/dev/ptmx send:a close:a recvx:a close:a " + passwd + "open:a:/dev/ptmx", nil},
	{"keeps a file that is deleted later", one + "send:a close:a recvx:a unlink:DIR/one", []string{
		"exit: perhaps still open 5<regular DIR/one (deleted), read>" + from,
	}},
	{"keeps a deleted file", one + "send:a close:a unlink:DIR/one recvx:a", []string{
		"exit: still open 5<regular DIR/one (deleted), read>" + from,
	}},
	{"opens a file with another name and the same inode", one + "send:a close:a recvx:a close:a open:a:DIR/two", []string{
		"exit: perhaps still open 5<regular DIR/two, read>" + from,
	}},
	{"opens a file with the inode of a deleted one", one + "send:a close:a unlink:DIR/one recvx:a close:a open:a:DIR/two", nil},
	{"opens a file with the inode of a deleted one at another value", one + "send:a close:a unlink:DIR/one recvx:a close:a " + passwd + "open:a:DIR/two", nil},
	{"keeps a fixed file", hosts + "send:a recvx:b ring:b close:b", []string{
		"exit: still open 6<regular /etc/hosts, read>, a fixed file of an io_uring" + from,
	}},
	{"closes the io_uring", hosts + "send:a recvx:b ring:b close:b close:r", nil},
	{"keeps another fixed file", hosts + passwd + "send:a recvx:c ring:b close:c", nil},
	{"keeps one that is also a fixed file", hosts + "send:a recvx:b ring:b", []string{
		"exit: still open 6<regular /etc/hosts, read>" + from,
	}},
	{"keeps two of three fixed files, and uses the value again", hosts + "send:a send:a send:a recvx:b ring:b close:b recvx:b close:b recvx:b ring:b close:b", []string{
		"exit: still open 6<regular /etc/hosts, read>, a fixed file of an io_uring" + from,
		"exit: still open 6<regular /etc/hosts, read>, a fixed file of an io_uring" + from,
	}},
	{"keeps a fixed file, and a descriptor with its value", hosts + "send:a send:a recvx:b ring:b close:b recvx:b", []string{
		"exit: still open 6<regular /etc/hosts, read>, a fixed file of an io_uring" + from,
		"exit: still open 6<regular /etc/hosts, read>" + from,
	}},
	{"keeps a fixed file, and moves another", hosts + "send:a send:a recvx:b ring:b close:b recvx:b move:b:20", []string{
		"exit: still open 6<regular /etc/hosts, read>, a fixed file of an io_uring" + from,
		"exit: still open 20<regular /etc/hosts, read>, received as 6" + from,
	}},
	{"keeps a fixed file that is deleted later", one + "send:a recvx:b ring:b close:b unlink:DIR/one", []string{
		"exit: perhaps still open 6<regular DIR/one (deleted), read>, a fixed file of an io_uring" + from,
	}},
	{"keeps an anonymous fixed file", "eventfd:a send:a recvx:b ring:b close:b", []string{
		"exit: perhaps still open 6<anon_inode:[eventfd], read-write>, a fixed file of an io_uring" + from,
	}},
	{"executes another program with a fixed file", hosts + "send:a recvx:b ring:b close:b exec", nil},
	{"is killed", hosts + "send:a close:a recvx:a kill", []string{
		"exit: still open 5<regular /etc/hosts, read>" + from,
	}},
}

// Every received descriptor that is open at the end, or that an exec passes on, is reported, and no other
// descriptor has one. The receiver itself lists what is open.
func TestStillOpen(t *testing.T) {
	program, err := filepath.EvalSymlinks("/bin/true") // on Alpine, busybox
	if err != nil {
		fdtest.Missing(t, "/bin/true", err.Error())
	}
	ptmx, err := filepath.EvalSymlinks("/dev/ptmx")
	if err != nil {
		fdtest.Missing(t, "/dev/ptmx", err.Error())
	}
	receivers(t, func(t *testing.T, path string) {
		ways(t, func(t *testing.T, o Options) {
			for _, threads := range []string{"", "threads:4 ", "other "} {
				for _, c := range stillOpenTests {
					t.Run(threads+c.name, func(t *testing.T) {
						if strings.Contains(c.steps, "ring:") {
							needsRing(t)
						}
						dir := t.TempDir()
						fdtest.Must(t, errors.Join(os.WriteFile(dir+"/one", nil, 0o666), os.Link(dir+"/one", dir+"/two")))
						steps := strings.ReplaceAll(threads+c.steps, "DIR", dir)
						list, stdout := stillOpen(t, exec.Command(path, strings.Fields(steps)...), o)
						got := normalized(list)
						want := slices.Clone(c.want)
						for i := range want {
							want[i] = strings.NewReplacer("/usr/bin/true", program, "DIR", dir, "/dev/ptmx", ptmx).Replace(want[i])
						}
						if !slices.Equal(got, want) {
							t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
						}
						open := listed(t, stdout)
						for _, o := range list {
							inherited, listed := open[openFD{o.Process.PID, int(o.File.FD), o.File.Name}]
							if !o.Fixed && (!listed || o.Exec && !inherited) {
								t.Errorf("%s\nis not in\n%s", o.Text(), stdout)
							}
						}
					})
				}
			}
		})
	})
}

// needsRing skips a test that needs an io_uring.
func needsRing(t *testing.T) {
	t.Helper()
	ring, err := ringtest.New(1)
	if err != nil {
		t.Skip("the kernel does not permit an io_uring: ", err)
	}
	_ = unix.Close(ring)
}

// A descriptor that may be a fixed file of an io_uring, which the kernel does not show, has not been closed for sure.
func TestFollowABusyRing(t *testing.T) {
	release := fusetest.BusyRing(t)
	tid, closed := unix.Getpid(), receivedFD{seen: seenFile{id: fileID{FileID: procfs.FileID{Ino: 1, Type: unix.S_IFREG}}}}
	table := &descriptorTable{received: []receivedFD{closed}}
	if err := table.update(tid); !errors.Is(err, unix.EBUSY) || len(table.received) != 1 {
		t.Errorf("got %v and %v, want EBUSY, and the descriptor", err, table.received)
	}
	release()
	if err := table.update(tid); err != nil || len(table.received) != 0 {
		t.Errorf("got %v and %v, want no descriptor", err, table.received)
	}
}

// A file system that has given the inode of a deleted file to another one soon after can be recognized by the time of
// creation.
func TestReplaced(t *testing.T) {
	first, second := unix.StatxTimestamp{Sec: 1}, unix.StatxTimestamp{Sec: 1, Nsec: 4_000_000}
	for _, c := range []struct {
		was, now seenFile
		want     bool
	}{
		{seenFile{born: first, name: "/a"}, seenFile{born: first, name: "/a"}, false},
		{seenFile{born: first, name: "/a"}, seenFile{born: first, name: "/b"}, false},
		{seenFile{born: first, name: "/a"}, seenFile{born: second, name: "/a"}, true},
		{seenFile{born: first, name: "/a"}, seenFile{name: "/a"}, false},
		{seenFile{name: "/a"}, seenFile{born: first, name: "/a"}, false},
		{seenFile{name: "/a"}, seenFile{name: "/a (deleted)"}, false},
		{seenFile{name: "/a (deleted)"}, seenFile{name: "/b (deleted)"}, true},
		{seenFile{name: "/x/a (deleted)"}, seenFile{name: "/y/a (deleted)"}, false},
		{seenFile{name: "/a (deleted)"}, seenFile{name: "/a"}, true},
	} {
		if got := c.was.replaced(c.now); got != c.want {
			t.Errorf("%+v, then %+v: %v", c.was, c.now, got)
		}
	}
}

// A receive does not read the details of all descriptors that were received before it.
func TestFollowReadsFewDetails(t *testing.T) {
	const noThread = 1 << 30
	null, zero := procfs.FileID{Ino: 1, Type: unix.S_IFCHR}, procfs.FileID{Ino: 2, Type: unix.S_IFCHR}
	received := func(fd int32, id procfs.FileID) receivedFD {
		return receivedFD{seen: seenFile{fd: fd, id: fileID{FileID: id}}}
	}
	table := &descriptorTable{received: []receivedFD{received(5, null), received(6, null), received(7, zero)}}
	table.others = map[procfs.FileID][]int32{null: {8, 9}}
	_ = table.follow(procfs.Table{TID: noThread}, map[procfs.FileID]bool{null: true},
		map[int]procfs.FileID{5: null, 9: null, 10: null}, false)
	var kept []int32
	for _, r := range table.received {
		kept = append(kept, r.seen.fd)
	}
	if !slices.Equal(kept, []int32{5, 7}) || !slices.Equal(table.others[null], []int32{9, 10}) {
		t.Errorf("received are %v, and others %v", kept, table.others)
	}
}

// A received descriptor is found at the value to which the program has moved or duplicated it, and no other one is
// taken for it.
func TestFindReceived(t *testing.T) {
	dir, tid := t.TempDir(), os.Getpid()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	fdtest.Must(t, errors.Join(os.WriteFile(one, nil, 0o666), os.WriteFile(two, nil, 0o666)))
	openAt := func(fd int, path string) {
		file, err := os.Open(path)
		fdtest.Must(t, err)
		defer file.Close()
		fdtest.Must(t, unix.Dup3(int(file.Fd()), fd, unix.O_CLOEXEC))
	}
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 40) // os.Open returns lower ones
	fdtest.Must(t, err)
	defer unix.Close(fd)
	moved, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 50)
	fdtest.Must(t, err)
	fdtest.Must(t, unix.Close(moved))
	other, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 60)
	fdtest.Must(t, err)
	defer unix.Close(other)
	openAt(other, two)
	for _, c := range []struct {
		name   string
		change func()
		fd     int
		want   bool
	}{
		{"as received", func() {}, fd, true},
		{"moved", func() { fdtest.Must(t, errors.Join(unix.Dup3(fd, moved, unix.O_CLOEXEC), unix.Close(fd))) }, moved, true},
		{"duplicated", func() { fdtest.Must(t, unix.Dup3(fd, moved, unix.O_CLOEXEC)) }, moved, true},
		{"the same file, opened again", func() { openAt(moved, one) }, moved, false},
		{"another file at the value", func() { openAt(fd, two) }, fd, false},
		{"another file, and the received one moved", func() {
			fdtest.Must(t, unix.Dup3(fd, moved, unix.O_CLOEXEC))
			openAt(fd, two)
		}, fd, false},
	} {
		if _, err := procfs.Kcmp(tid, 0, tid, 0); err != nil && c.name == "duplicated" {
			t.Log("not run without kcmp: a duplicate")
			continue
		}
		openAt(fd, one)
		table := new(descriptorTable)
		for i, fd := range []int{fd, other} {
			seen, err := identify(tid, fd)
			fdtest.Must(t, err)
			table.received = append(table.received, receivedFD{receipt: Receipt{seq: i}, seen: seen})
		}
		received := slices.Clone(table.received)
		c.change()
		if r := table.find(tid, int32(c.fd)); (r != nil) != c.want || r != nil && r.seq != 0 {
			t.Errorf("%s: found %+v, want the first one: %v", c.name, r, c.want)
		}
		same := slices.EqualFunc(table.received, received, func(a, b receivedFD) bool { return a.seen == b.seen })
		if !same || len(table.others) > 0 {
			t.Errorf("%s: the table has changed: %+v", c.name, table)
		}
		_ = unix.Close(moved)
	}
}

// A file has another identity than a deleted one with the same name, whose inode number it may have, and keeps it when
// it is renamed.
func TestIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	of := func(path string) string {
		file, err := os.Open(path)
		fdtest.Must(t, err)
		defer file.Close()
		return new(lookup).file(os.Getpid(), int32(file.Fd()), true).identity
	}
	fdtest.Must(t, os.WriteFile(path, nil, 0o666))
	first := of(path)
	fdtest.Must(t, os.Rename(path, path+"2"))
	renamed := of(path + "2")
	fdtest.Must(t, errors.Join(os.Remove(path+"2"), os.WriteFile(path, nil, 0o666)))
	second := of(path)
	if _, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0); err != nil {
		t.Skip("this file system has no handles:", err)
	}
	if first == "" || renamed != first || second == first {
		t.Errorf("got %q, renamed %q, and another file %q; want the first two the same", first, renamed, second)
	}
}

// The descriptors of a process that is not dumpable can be read only with CAP_SYS_PTRACE. The same is true of
// its memory, so the recorder does not know what such a process has received.
func TestStillOpenUnread(t *testing.T) {
	receivers(t, stillOpenUnread)
}

func stillOpenUnread(t *testing.T, path string) {
	for _, c := range []struct{ name, steps, want string }{
		{"before the receive", hosts + "send:a close:a hide recvx:a", ""},
		{"after the receive", hosts + "send:a close:a recvx:a hide", "exit: perhaps still open 5<not looked up: EACCES>" + from},
	} {
		t.Run(c.name, func(t *testing.T) {
			if capable(unix.CAP_SYS_PTRACE) {
				c.want = "exit: still open 5<regular /etc/hosts, read>" + from
			}
			list, _ := stillOpen(t, exec.Command(path, strings.Fields(c.steps+" quit")...), Options{})
			if got := strings.Join(normalized(list), "\n"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Attach reports descriptors that were received while it was attached. The tracer can miss the exit stop
// of a thread that is killed just when the tracer resumes it from another stop, so the test has several attempts.
func TestStillOpenAttached(t *testing.T) {
	for _, name := range []string{"steps", "parent", "grandchild", "leaderless", "apart"} {
		t.Run(name, func(t *testing.T) {
			const attempts = 5
			for n := 1; ; n++ {
				received, list := attachedToTheEnd(t, name)
				if received == 0 || len(list) != received {
					t.Fatalf("received %d, still open %v", received, normalized(list))
				}
				if !slices.ContainsFunc(list, func(o *StillOpen) bool { return !o.File.Open() }) {
					return
				}
				if n == attempts {
					t.Fatalf("not looked up: %v", normalized(list))
				}
			}
		})
	}
}

// attachedToTheEnd attaches to a child, or to the child of one, until it ends. It returns how many descriptors
// the process has received in that time, and what is still open.
func attachedToTheEnd(t *testing.T, name string) (received int, list []*StillOpen) {
	t.Helper()
	s := startSteps(t, strings.Replace(name, "grandchild", "parent", 1))
	pid := s.cmd.Process.Pid
	if name == "grandchild" {
		grandchildren, err := procfs.Children(pid)
		if err != nil || len(grandchildren) != 1 {
			t.Fatalf("grandchildren %v, %v", grandchildren, err)
		}
		pid = grandchildren[0]
	}
	// A thread can end without an exit stop until it has stopped for the first time.
	ready, ended := make(chan struct{}, 100), make(chan error, 1)
	tr := newTracer(Options{StillOpen: func(o *StillOpen) { list = append(list, o) }})
	tr.o.Handle = func(c *Call) {
		received += len(c.ReceivedFDs())
		for _, th := range tr.threads {
			if !th.complete {
				return
			}
		}
		ready <- struct{}{}
	}
	go ownthread.Run(func() { ended <- tr.attach(context.Background(), pid) })
	for n := 0; len(ready) == 0; n++ {
		s.pass("try" + strconv.Itoa(n))
	}
	s.pass("during")
	fdtest.Must(t, s.in.Close())
	s.expect("end")
	fdtest.Must(t, <-ended)
	_ = s.cmd.Wait() // the recorder has waited for the process
	_ = s.cmd.Process.Release()
	return received, list
}

// A thread that was being created when its process was killed can appear after all others have ended.
func TestStillOpenIsReportedOnce(t *testing.T) {
	reported := 0
	tr := newTracer(Options{StillOpen: func(*StillOpen) { reported++ }})
	process, table := new(Process), &descriptorTable{received: make([]receivedFD, 1)}
	for tid := range 3 {
		tr.leaveTable(tr.add(tid, process, table), true)
	}
	if reported != 1 {
		t.Errorf("reported %d times", reported)
	}
}

// If it is unknown which threads share a descriptor table, the recorder says so once.
func TestStillOpenWithoutKcmp(t *testing.T) {
	needsPtrace(t)
	ownthread.Run(func() { // the filter applies to this thread and its children
		const fails = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		if err := errors.Join(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), install([]unix.SockFilter{
			load(offNr), unless(unix.SYS_KCMP, 1), answer(fails), answer(unix.SECCOMP_RET_ALLOW),
		})); err != nil {
			t.Error(err)
			return
		}
		var why []error
		received := 0
		tr := newTracer(Options{
			StillOpen:     func(*StillOpen) { received++ },
			TablesUnknown: func(err error) { why = append(why, err) },
		})
		cmd := childCommand("threads")
		err := tr.start(cmd)
		if err == nil {
			err = tr.loop()
		}
		_ = cmd.Wait() // the tracer has waited for the process
		_ = cmd.Process.Release()
		if err != nil || received == 0 || len(why) != 1 || !errors.Is(why[0], unix.EPERM) {
			t.Errorf("%v, received %d, and reports %v; want some received, and EPERM once", err, received, why)
		}
	})
}

// Of three threads, one has stopped sharing the table. When another ends, its table is not compared with that of each
// thread, because there is one that shares it. When that one ends, it is the last of its table.
func TestLastOfATable(t *testing.T) {
	if _, err := procfs.SameTable(os.Getpid(), os.Getpid()); err != nil {
		t.Skip("kcmp: ", err)
	}
	tr, process := newTracer(Options{}), new(Process)
	table := &descriptorTable{received: make([]receivedFD, 1)}
	first := tr.add(os.Getpid(), process, table)
	ownthread.Run(func() {
		last := tr.add(unix.Gettid(), process, table)
		ownthread.Run(func() {
			if err := unix.Unshare(unix.CLONE_FILES); err != nil {
				t.Error(err)
				return
			}
			apart := tr.add(unix.Gettid(), process, table)
			tr.leaveTable(first, false)
			if apart.table != table || table.threads != 2 || len(table.received) != 1 {
				t.Errorf("after the first: %+v, and the thread apart has %+v", table, apart.table)
			}
			tr.leaveTable(last, false)
			if apart.table == table || table.threads != 0 || len(table.received)+1 != len(apart.table.received) {
				t.Errorf("after the last: %+v, and the thread apart has %+v", table, apart.table)
			}
		})
	})
}

// The parent that appear finds in /proc can have another thread whose table the new process has copied.
func TestMadeCorrectsTable(t *testing.T) {
	const noThread = 1 << 30
	tr, process := newTracer(Options{}), new(Process)
	creator := tr.add(noThread, process, &descriptorTable{received: make([]receivedFD, 1)})
	wrong := tr.add(noThread+1, process, new(descriptorTable))
	for _, p := range []*Process{process, process.newChild(noThread + 2)} {
		th := tr.add(noThread+2, p, wrong.table)
		th.guessed = true
		tr.made(creator, th.tid)
		if len(th.table.received) != 1 || wrong.table.threads != 1 {
			t.Errorf("child %v: the table has %d received descriptors, and %d threads have the wrong one; want 1 and 1",
				p != process, len(th.table.received), wrong.table.threads)
		}
	}
}

func TestStillOpenText(t *testing.T) {
	process, other := &Process{PID: 7}, &Process{PID: 8}
	socket := File{FD: 4, Kind: "unix stream", Name: "socket:[1]"}
	file := File{FD: 9, Kind: "regular", Name: "/a\xff", Access: "read"}
	receipt := Receipt{Process: process, Thread: 70, Call: "recvmmsg", Socket: socket, FD: 9, Index: 2, Count: 3}
	for _, c := range []struct {
		o    StillOpen
		text string
		json string
	}{
		{StillOpen{Process: process, File: file, Receipt: receipt},
			`exit: still open 9<regular "/a\xff", read>, descriptor 2 of 3 from recvmmsg(4<unix stream socket:[1]>)`,
			`"event":"exit","pid":7,"descriptor":{"fd":9,"open":true,"kind":"regular","file":"/a\ufffd","file_hex":"2f61ff","access":"read","close_on_exec":false}`},
		{StillOpen{Process: other, Exec: true, Program: "/b, x", File: File{FD: 10, Errno: unix.ESRCH}, Receipt: receipt},
			`exec "/b, x": perhaps passed on 10<not looked up: ESRCH>, received as 9, descriptor 2 of 3 from recvmmsg(4<unix stream socket:[1]>) of process 7`,
			`"event":"exec","pid":8,"program":"/b, x","perhaps":true,"descriptor":{"fd":10,"open":null,"unread":"ESRCH"}`},
		{StillOpen{Process: process, File: File{FD: 9, Kind: "eventfd", Name: "anon_inode:[eventfd]", Access: "read-write"}, Receipt: receipt},
			`exit: perhaps still open 9<anon_inode:[eventfd], read-write>, descriptor 2 of 3 from recvmmsg(4<unix stream socket:[1]>)`,
			`"event":"exit","pid":7,"perhaps":true,"descriptor":{"fd":9,"open":true,"kind":"eventfd","file":"anon_inode:[eventfd]","access":"read-write","close_on_exec":false}`},
	} {
		if got := c.o.Text(); got != c.text {
			t.Errorf("got\n%s\nwant\n%s", got, c.text)
		}
		object, err := c.o.JSON()
		received := `,"received":{"pid":7,"tid":70,"call":"recvmmsg","socket":{"fd":4,"open":true,"kind":"unix stream","file":"socket:[1]"},"fd":9,"index":2,"count":3}`
		// Newer versions of package json do not escape U+FFFD.
		escaped := strings.ReplaceAll(string(object), "\ufffd", `\ufffd`)
		if want := "{" + c.json + received + "}"; err != nil || escaped != want || !json.Valid(object) {
			t.Errorf("got\n%s, %v\nwant\n%s", object, err, want)
		}
	}
}

// A thread that is killed while it is stopped stops again before it ends. The kernel then no longer reports
// which process the thread has created.
func TestKilledInEvent(t *testing.T) {
	needsPtrace(t)
	fdtest.Program(t, "sh")
	ownthread.Run(func() {
		cmd := exec.Command("sh", "-c", "(:) & wait")
		tr := newTracer(Options{StillOpen: func(*StillOpen) {}})
		if err := tr.start(cmd); err != nil {
			t.Error(err)
			return
		}
		defer func() {
			if err := tr.loop(); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait() // the tracer has waited for the process
			_ = cmd.Process.Release()
		}()
		for {
			tid, status, err := tr.wait()
			if err != nil {
				t.Error(err)
				return
			}
			forked := !tr.starting && (event(status) == unix.PTRACE_EVENT_FORK || event(status) == unix.PTRACE_EVENT_CLONE)
			if !forked {
				_ = tr.handle(tid, status) // the loop reports errors
				continue
			}
			child, ok := eventMessage(tid)
			if !ok {
				t.Error("before the end: no process")
			}
			if status, err := procfs.ReadStatus(child); err != nil || status.Field("PPid") != strconv.Itoa(tid) {
				t.Errorf("before the end: %d, whose parent is not %d: %v\n%s", child, tid, err, status)
			}
			_ = cmd.Process.Kill()
			for !inExitStop(tid) {
				runtime.Gosched()
			}
			if child, ok := eventMessage(tid); ok {
				t.Errorf("after the thread was killed: %d", child)
			}
			_ = tr.handle(tid, status)
			return
		}
	})
}
