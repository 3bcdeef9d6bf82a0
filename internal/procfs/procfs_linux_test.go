package procfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// noProcess is above the kernel's limit for pids.
const noProcess = 1 << 30

// must ends the test if there is an error. Package fdtest imports this one.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var p [2]int
	must(t, unix.Pipe2(p[:], unix.O_CLOEXEC))
	t.Cleanup(func() {
		_ = unix.Close(p[0])
		_ = unix.Close(p[1])
	})
	return p[0], p[1]
}

func TestOpenFDsOfSelf(t *testing.T) {
	r, w := pipe(t)
	for _, pid := range []int{Self, os.Getpid()} {
		fds, err := OpenFDs(pid)
		if err != nil {
			t.Fatalf("pid %d: %v", pid, err)
		}
		if !slices.IsSorted(fds) || !slices.Contains(fds, r) || !slices.Contains(fds, w) {
			t.Errorf("pid %d: got %v, want a sorted list with %d and %d", pid, fds, r, w)
		}
		for _, fd := range fds {
			// The descriptor with which it has read the folder is closed now.
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
				t.Errorf("pid %d: got descriptor %d, which is not open", pid, fd)
			}
		}
	}
}

// noLeader is set in the environment of a process that ends its first thread and then looks at itself.
const noLeader = "PROCFS_NO_LEADER"

func init() {
	if os.Getenv(noLeader) == "" {
		return
	}
	runtime.LockOSThread() // init runs on the first thread
	go func() {
		for {
			if s, err := ReadStatus(os.Getpid()); err != nil || s.HasEnded() {
				break
			}
			runtime.Gosched()
		}
		for _, pid := range []int{Self, os.Getpid()} {
			fds, err := OpenFDs(pid)
			name, linkErr := ReadLink(pid, 0)
			_, infoErr := ReadFDInfo(pid, 0)
			id, idErr := Identify(pid, 0)
			files, filesErr := Files(pid)
			same, kcmpErr := Kcmp(pid, 0, Self, 0)
			tables, tablesErr := Tables(os.Getpid())
			own, _ := IdentifyOwn(0)
			if !slices.Contains(fds, 0) || name != os.DevNull || id != own || files[0] != own || !same && kcmpErr == nil || kcmpErr == unix.EBADF || len(tables) != 1 || tables[0].Files[0] != own {
				fmt.Println(pid, fds, name, id, files, same, tables, err, linkErr, infoErr, idErr, filesErr, kcmpErr, tablesErr)
			}
		}
		os.Exit(0)
	}()
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // of this thread
}

// The kernel shows no descriptors of a thread that has ended, which can be the first one of a process.
func TestProcessWithoutFirstThread(t *testing.T) { printsNothing(t, noLeader) }

// printsNothing runs this program with a variable in its environment.
func printsNothing(t *testing.T, variable string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), variable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("with %s: ended with %v and printed %q, want nothing", variable, err, out)
	}
}

// emptyLeader is set in the environment of a process whose first thread closes everything, but not for another thread.
const emptyLeader = "PROCFS_EMPTY_LEADER"

func init() {
	if os.Getenv(emptyLeader) == "" {
		return
	}
	runtime.LockOSThread() // init runs on the first thread
	unshared, closed := make(chan error), make(chan error)
	go func() {
		runtime.LockOSThread()
		unshared <- unix.Unshare(unix.CLONE_FILES)
		pid, err := os.Getpid(), <-closed
		fds, listErr := OpenFDs(pid)
		files, filesErr := Files(pid)
		_, linkErr := ReadLink(pid, 0)
		_, infoErr := ReadFDInfo(pid, 0)
		_, idErr := Identify(pid, 0)
		_, kcmpErr := Kcmp(pid, 0, Self, 0)
		if len(fds) > 0 || len(files) > 0 || errors.Join(err, listErr, filesErr) != nil || !IsGone(linkErr) || !IsGone(infoErr) || !IsGone(idErr) || kcmpErr == nil {
			fmt.Println(fds, files, err, listErr, filesErr, linkErr, infoErr, idErr, kcmpErr)
		}
		os.Exit(0)
	}()
	err := <-unshared
	closed <- errors.Join(err, unix.CloseRange(0, 1<<32-1, 0))
	for {
		_ = unix.Nanosleep(&unix.Timespec{Sec: 3600}, nil) // time.Sleep opens the descriptors of the runtime's poller
	}
}

// A process has the descriptors of its first thread while that thread is running, even if it has none.
func TestProcessWhoseFirstThreadHasNone(t *testing.T) { printsNothing(t, emptyLeader) }

func TestOpenFDsOfAnotherProcess(t *testing.T) {
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	must(t, err)
	const count = 300 // more than the kernel returns at once
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer func() { _ = null.Close() }()
	for range count {
		cmd.ExtraFiles = append(cmd.ExtraFiles, null)
	}
	must(t, cmd.Start())
	var want []int
	for fd := range 3 + count {
		want = append(want, fd)
	}
	// During its exec the child still has other descriptors.
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		fds, err := OpenFDs(cmd.Process.Pid)
		if err != nil {
			t.Fatalf("process %d: %v", cmd.Process.Pid, err)
		}
		if slices.Equal(fds, want) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("got %v, want 0 to %d", fds, 2+count)
		}
	}
	if got, err := ReadLink(cmd.Process.Pid, 3); got != os.DevNull || err != nil {
		t.Errorf("ReadLink: got %q, %v", got, err)
	}
	children, err := Children(os.Getpid())
	if err != nil || !slices.Contains(children, cmd.Process.Pid) {
		t.Errorf("Children: got %v, %v, want %d among them", children, err, cmd.Process.Pid)
	}
	if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
	if Exists(cmd.Process.Pid) {
		t.Error("Exists is true after the end")
	}
}

func TestReadLink(t *testing.T) {
	r, _ := pipe(t)
	got, err := ReadLink(Self, r)
	if err != nil || !strings.HasPrefix(got, "pipe:[") {
		t.Errorf("got %q, %v", got, err)
	}
	// os.Readlink starts with a smaller buffer than the longest path.
	dir := t.TempDir()
	for len(dir) < 3000 {
		dir = filepath.Join(dir, strings.Repeat("d", 200))
	}
	must(t, os.MkdirAll(dir, 0o700))
	f, err := os.Open(dir)
	must(t, err)
	defer func() { _ = f.Close() }()
	if got, err := ReadLink(Self, int(f.Fd())); got != dir || err != nil {
		t.Errorf("got %d bytes, want %d: %v", len(got), len(dir), err)
	}
}

func TestReadFDInfo(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	fd := int(f.Fd())
	i, err := ReadFDInfo(Self, fd)
	if err != nil || i.Pos != 5 || i.Flags&unix.O_ACCMODE != unix.O_RDWR || !i.CloseOnExec() || i.PID != 0 {
		t.Errorf("got %+v, %v", i, err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	if i, err := ReadFDInfo(os.Getpid(), fd); err != nil || i.CloseOnExec() {
		t.Errorf("without FD_CLOEXEC: got %+v, %v", i, err)
	}
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Skip("this kernel has no pidfds: ", err)
	}
	defer func() { _ = unix.Close(pidfd) }()
	if i, err := ReadFDInfo(Self, pidfd); err != nil || i.PID != os.Getpid() {
		t.Errorf("pidfd: got %+v, %v", i, err)
	}
}

func TestParseFDInfo(t *testing.T) {
	for _, c := range []struct {
		text string
		want FDInfo
		err  error
	}{
		{"", FDInfo{}, nil},
		{"pos:\t7\nflags:\t02100002\nmnt_id:\t15\nino:\t42\n", FDInfo{7, 0o2100002, "42", 0}, nil},
		{"pos:\t0\nflags:\t02000002\nPid:\t-1\nNSpid:\t-1\n", FDInfo{0, 0o2000002, "", -1}, nil},
		{"pos:\t0\nflags:\t02\ntfd:        5 events:       19 data: 5  pos:9 ino:8 sdev:7\n", FDInfo{0, 2, "", 0}, nil},
		{"pos:\tx\n", FDInfo{}, unix.ENODATA},
		{"flags:\t9\n", FDInfo{}, unix.ENODATA},
		{"Pid:\t\n", FDInfo{}, unix.ENODATA},
	} {
		if got, err := parseFDInfo(c.text); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q: got %+v, %v, want %+v, %v", c.text, got, err, c.want, c.err)
		}
	}
}

func TestTasks(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tids, err := Tasks(Self)
	if err != nil || !slices.Contains(tids, unix.Gettid()) || !slices.IsSorted(tids) {
		t.Errorf("got %v, %v, want a sorted list with %d", tids, err, unix.Gettid())
	}
}

func TestStatus(t *testing.T) {
	s, err := ReadStatus(Self)
	must(t, err)
	if s.State() == 0 || s.HasEnded() || s.IsEnding() || s.Field("Pid") == "" || s.Field("id") != "" {
		t.Errorf("got\n%s", s)
	}
	if uid, gid, err := s.Owner(); uid != os.Geteuid() || gid != os.Getegid() || err != nil {
		t.Errorf("Owner: got %d, %d, %v", uid, gid, err)
	}
	if _, _, err := Status("").Owner(); err == nil {
		t.Error("an empty status has an owner")
	}
	for text, want := range map[string]struct{ ended, ending bool }{
		"": {},
		"Name:\tx\nState:\tS (sleeping)\nVmSize:\t    2548 kB\n": {},
		"Name:\tx\nState:\tR (running)\nPid:\t1":                 {ending: true},
		"Name:\tx\nState:\tZ (zombie)\n":                         {ended: true, ending: true},
		"Name:\tx\nState:\tX (dead)\nPid:\t1":                    {ended: true, ending: true},
	} {
		s := Status(text)
		if got := s.HasEnded(); got != want.ended {
			t.Errorf("%q: HasEnded is %t", text, got)
		}
		if got := s.IsEnding(); got != want.ending {
			t.Errorf("%q: IsEnding is %t", text, got)
		}
	}
}

// A status can be longer than the first read: Groups lists every supplementary group.
func TestReadTakesWholeFile(t *testing.T) {
	want := strings.Repeat("0123456789", 2000)
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, []byte(want), 0o600))
	if got, err := read(name); string(got) != want || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestReadSyscall(t *testing.T) {
	r, w := pipe(t)
	tid := make(chan int)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		tid <- unix.Gettid()
		_, _ = unix.Read(r, make([]byte, 1))
	}()
	reader := <-tid
	for end := time.Now().Add(time.Minute); ; runtime.Gosched() {
		call, ok, err := ReadSyscall(reader)
		if err != nil {
			t.Skip("the kernel does not report system calls: ", err)
		}
		if ok && call.Number == unix.SYS_READ && call.Args[0] == uint64(r) && call.Args[2] == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after a minute: %+v, %t", call, ok)
		}
	}
	if _, err := unix.Write(w, []byte{0}); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestIsGone(t *testing.T) {
	_, openErr := OpenFDs(noProcess)
	_, linkErr := ReadLink(Self, -1)
	_, infoErr := ReadFDInfo(Self, noProcess)
	_, tasksErr := Tasks(noProcess)
	_, statusErr := ReadStatus(noProcess)
	_, _, callErr := ReadSyscall(noProcess)
	for name, err := range map[string]error{
		"OpenFDs": openErr, "ReadLink": linkErr, "ReadFDInfo": infoErr, "Tasks": tasksErr,
		"ReadStatus": statusErr, "ReadSyscall": callErr,
	} {
		var path *os.PathError
		if !IsGone(err) || !errors.As(err, &path) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if children, err := Children(noProcess); children != nil || err != nil {
		t.Errorf("Children: got %v, %v", children, err)
	}
	if Exists(noProcess) || !Exists(os.Getpid()) || !Exists(Self) {
		t.Error("Exists is wrong")
	}
	if IsGone(nil) || IsGone(unix.EACCES) {
		t.Error("IsGone is true for another error")
	}
}

func TestCheck(t *testing.T) {
	self, err := os.Readlink("/proc/self")
	must(t, err)
	s, err := ReadStatus(Self)
	must(t, err)
	want := self == strconv.Itoa(os.Getpid()) && len(strings.Fields(s.Field("NSpid"))) <= 1
	if err := Check(); (err == nil) != want {
		t.Errorf("got %v, want an error: %t", err, !want)
	}
}

func TestLimitFor(t *testing.T) {
	for _, c := range []struct {
		open string
		free int
		want uint64
	}{
		{"", 0, 0},
		{"", 3, 3},
		{"0 1 2", 0, 3},
		{"0 1 2", 2, 5},
		{"2 0 1", 1, 4},
		{"0 1 2 5", 0, 3},   // 3 and 4 would be free
		{"0 1 2 5", 1, 4},   // 3
		{"0 1 2 5", 2, 5},   // 3 and 4
		{"0 1 2 5", 3, 7},   // 3, 4 and 6
		{"0 1 2 5 6", 3, 8}, // 3, 4 and 7
		{"0 1 2 5 7", 3, 7}, // 3, 4 and 6
		{"1000", 1, 1},
	} {
		var open []int
		for _, w := range strings.Fields(c.open) {
			n := 0
			fmt.Sscan(w, &n)
			open = append(open, n)
		}
		limit := LimitFor(slices.Clone(open), c.free)
		free := int(limit)
		for _, n := range open {
			if n < int(limit) {
				free--
			}
		}
		if limit != c.want || free != c.free {
			t.Errorf("open are %v: below %d are %d free; want %d, and %d", open, limit, free, c.want, c.free)
		}
	}
}
