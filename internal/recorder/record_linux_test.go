package recorder

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// mayTrace tells once whether this process may trace at all.
var mayTrace = sync.OnceValue(func() error {
	_, err := Record(childCommand("none"), Options{})
	return err
})

// needsPtrace skips a test where nothing can be traced; under CI that is an error.
func needsPtrace(t *testing.T) {
	t.Helper()
	err := mayTrace()
	var forbidden *ForbiddenError
	if err == nil || supported && !errors.As(err, &forbidden) {
		return
	}
	fdtest.Missing(t, err.Error())
}

// recorded runs a child, which has to end well.
func recorded(t *testing.T, cmd *exec.Cmd, o Options) (calls []Call, stdout string) {
	t.Helper()
	needsPtrace(t)
	var out bytes.Buffer
	cmd.Stdout = &out
	calls, err := Record(cmd, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return calls, out.String()
}

// ways are the two in which a program is stopped at its calls.
func ways(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("with a filter", func(t *testing.T) { test(t, Options{}) })
	t.Run("without a filter", func(t *testing.T) { test(t, Options{NoFilter: true}) })
}

// byName are the calls, each "sendmsg" or so, of those that match.
func byName(calls []Call, name string) (list []*Call) {
	for i := range calls {
		if calls[i].Name() == name {
			list = append(list, &calls[i])
		}
	}
	return list
}

func TestEveryByte(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, stdout := recorded(t, childCommand("pass"), o)
		if len(calls) != 2 || calls[0].Name() != "sendmsg" || calls[1].Name() != "recvmsg" {
			t.Fatalf("recorded %v", calls)
		}
		if c := calls[0]; c.Result != 8 || c.Errno != 0 || c.flags() != unix.MSG_NOSIGNAL {
			t.Errorf("recorded %+v", c)
		}
		lines := 0
		for line := range strings.Lines(stdout) {
			f := strings.Fields(line)
			if len(f) < 4 || f[0] == "numbers" {
				continue
			}
			lines++
			c := &calls[0]
			if f[0] == "recv" {
				c = &calls[1]
			}
			blobs := c.Entry
			if f[1] == "exit" {
				blobs = c.Exit
			}
			what := map[string]What{"msghdr": Header, "iovec": Iovecs, "payload": Payload, "control": Control}[f[2]]
			for i, want := range f[3:] {
				if got := find(blobs, what, 0, i).data(); !bytes.Equal(got, unhex(want)) {
					t.Errorf("%s %s %s %d: recorded %x, want %s", f[0], f[1], f[2], i, got, want)
				}
			}
		}
		if lines != 16 {
			t.Errorf("the child printed %d lines:\n%s", lines, stdout)
		}
	})
}

func TestFiles(t *testing.T) {
	calls, stdout := recorded(t, childCommand("pass"), Options{})
	var a, b, file, got int32
	_, after, _ := strings.Cut(stdout, "numbers")
	if _, err := fmt.Sscan(after, &a, &b, &file, &got); err != nil {
		t.Fatal(err)
	}
	socket := calls[0].file(a, false)
	if socket == nil || socket.Kind != "unix stream" || !strings.HasPrefix(socket.Name, "socket:[") {
		t.Errorf("the socket is %+v", socket)
	}
	want := File{FD: file, Kind: "character device", Name: "/dev/null", Access: "write", CloseOnExec: true}
	if f := calls[0].file(file, false); f == nil || *f != want {
		t.Errorf("sent %+v, want %+v", f, want)
	}
	want.FD, want.AtExit = got, true
	if f := calls[1].file(got, true); f == nil || *f != want {
		t.Errorf("received %+v, want %+v", f, want)
	}
	text := fmt.Sprintf(`^recvmsg\(%d<unix stream socket:\[\d+\]>, "payload!", SCM_RIGHTS \[%d<character device /dev/null, write> close-on-exec\], MSG_CMSG_CLOEXEC\) = 8 MSG_CMSG_CLOEXEC$`, b, got)
	if line := calls[1].Text(); !regexp.MustCompile(text).MatchString(line) {
		t.Errorf("%s, want %s", line, text)
	}
}

// Where the kernel ends the program for a call, the number that it leaves in the
// place of the result is none.
func TestRefused(t *testing.T) {
	needsPtrace(t)
	calls, err := Record(childCommand("refused"), Options{NoFilter: true})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code() != 128+int(unix.SIGSYS) {
		t.Errorf("the program ended with %v", err)
	}
	if len(calls) != 1 || !calls[0].Unfinished || !strings.HasSuffix(calls[0].Text(), "= ? unfinished") {
		t.Errorf("recorded %v", calls)
	}
}

// A signal that the program has sent itself does not hide what it receives.
func TestPretends(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, _ := recorded(t, childCommand("pretends"), o)
		if len(calls) != 2 || !strings.Contains(calls[1].Text(), "SCM_RIGHTS") {
			t.Errorf("%d calls, the last %s", len(calls), calls[len(calls)-1].Text())
		}
	})
}

func TestBatch(t *testing.T) {
	calls, _ := recorded(t, childCommand("batch"), Options{})
	if len(calls) != 2 || calls[0].Name() != "sendmmsg" || calls[1].Name() != "recvmmsg" {
		t.Fatalf("recorded %v", calls)
	}
	for i, c := range calls {
		if c.messages() != 3+i || c.done() != 3 {
			t.Errorf("%s: %d messages, %d done", c.Name(), c.messages(), c.done())
		}
		for m := range 3 {
			data, length := c.payload(m)
			if want := strings.Repeat("x", m+1); string(data) != want[:m+1] || length != m+1 {
				t.Errorf("%s: message %d is %q, %d bytes", c.Name(), m, data, length)
			}
			control := c.sent(m)
			if i == 1 {
				control = c.received(m)
			}
			list, rest := parseControl(c.Arch, control)
			if len(list) != 1 || len(list[0].descriptors()) != 1 || len(rest) != 0 {
				t.Errorf("%s: message %d carries %v", c.Name(), m, list)
			}
		}
	}
	timeout := unix.Timespec{Sec: 1000, Nsec: 5}
	if got := buffer(calls[1].Entry, 4).data(); !bytes.Equal(got, bytesOf(&timeout)) {
		t.Errorf("the timeout is %x", got)
	}
	if text := calls[1].Text(); !strings.Contains(text, `{room for 8+`) {
		t.Errorf("the fourth message: %s", text)
	}
}

// path is the way to a process from its root, by order of birth: 0, 1 is the second child
// of the first root.
func (p *Process) path() []int {
	if p.parent == nil {
		return []int{p.birth}
	}
	return append(p.parent.path(), p.birth)
}

func TestTree(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, _ := recorded(t, childCommand("fork"), o)
		// A Go program has children of its own besides, to try out pidfds.
		var tree [][]int
		for _, stream := range newSide(headsOf(calls), inMemory).streams {
			if len(stream) != 2 {
				t.Errorf("process %v made %d calls", stream[0].process.path(), len(stream))
			}
			tree = append(tree, stream[0].process.path())
		}
		below := func(path, parent []int) bool {
			return len(path) == len(parent)+1 && slices.Equal(path[:len(parent)], parent)
		}
		if len(tree) != 4 || !below(tree[1], tree[0]) || !below(tree[2], tree[0]) || !below(tree[3], tree[2]) {
			t.Errorf("processes %v", tree)
		}
	})
}

// A process belongs below the one that made it, whoever its parent is.
func TestBrother(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, _ := recorded(t, childCommand("brother"), o)
		if len(calls) != 4 {
			t.Fatalf("recorded %v", calls)
		}
		if maker, made := calls[0].Process, calls[2].Process; made.parent != maker || maker.parent != nil {
			t.Errorf("processes %v, %v", maker.path(), made.path())
		}
	})
}

// One that stopped before its maker could tell is put right by what that tells.
func TestMade(t *testing.T) {
	tracer := newTracer(Options{})
	const maker, made = 1 << 30, 1<<30 + 1 // no process has these numbers
	p := tracer.add(maker, tracer.root(maker)).process
	p.bear(7)
	early := tracer.appear(made).process
	if early.parent != nil {
		t.Errorf("nobody knew, and it is %v", early.path())
	}
	for range 2 {
		tracer.made(p, made)
		if got := tracer.threads[made].process; got != early || !slices.Equal(got.path(), []int{0, 1}) {
			t.Errorf("it is %v", got.path())
		}
	}
}

func TestExec(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, _ := recorded(t, childCommand("exec"), o)
		if len(calls) != 4 {
			t.Fatalf("recorded %v", calls)
		}
		pid := calls[0].Process.PID
		if calls[0].Thread == pid || calls[2].Process.PID != pid {
			t.Errorf("threads %d, %d of processes %d, %d", calls[0].Thread, calls[2].Thread, pid, calls[2].Process.PID)
		}
	})
}

func TestThreads(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, _ := recorded(t, childCommand("threads"), o)
		threads := map[int]bool{}
		for _, c := range calls {
			threads[c.Thread] = true
			if c.Process != calls[0].Process {
				t.Errorf("%d is another process", c.Thread)
			}
		}
		if len(calls) != 16 || len(threads) != 8 {
			t.Errorf("%d calls of %d threads", len(calls), len(threads))
		}
	})
}

// Of threads that are busy all the time no call is missed.
func TestBusyThreads(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, stdout := recorded(t, childCommand("busy"), o)
		recorded := map[int]int{}
		for _, c := range calls {
			recorded[c.Thread]++
		}
		lines := 0
		for line := range strings.Lines(stdout) {
			var tid, made int
			if _, err := fmt.Sscan(line, &tid, &made); err != nil || recorded[tid] != made {
				t.Errorf("%d recorded of thread %d, which made %d, %v", recorded[tid], tid, made, err)
			}
			lines++
		}
		if lines != 6 || len(recorded) != 6 {
			t.Errorf("%v, the child said %q", recorded, stdout)
		}
	})
}

// Changes are taken in turn. What was told of a thread before its number went
// to another is forgotten.
func TestChanges(t *testing.T) {
	tracer := newTracer(Options{})
	for i, tid := range []int{1, 2, 1, 3} {
		tracer.push(tid, unix.WaitStatus(i))
	}
	for _, want := range []change{{2, 1}, {1, 2}, {3, 3}} {
		if tid, status, err := tracer.wait(); tid != want.tid || status != want.status || err != nil {
			t.Errorf("thread %d, %d, %v; want %v", tid, status, err, want)
		}
	}
}

func TestExitStatus(t *testing.T) {
	needsPtrace(t)
	for _, c := range []struct {
		child string
		arg   int
		code  int
	}{
		{"status", 7, 7},
		{"status", 255, 255},
		{"signal", int(unix.SIGTERM), 128 + 15},
		{"signal", int(unix.SIGKILL), 128 + 9},
	} {
		_, err := Record(childCommand(c.child, strconv.Itoa(c.arg)), Options{})
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code() != c.code {
			t.Errorf("%s %d: %v, want %d", c.child, c.arg, err, c.code)
		}
	}
	if _, err := Record(exec.Command("/nonexistent/command"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such command: %v", err)
	}
	if _, err := Record(exec.Command("/dev/null"), Options{}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("no command: %v", err)
	}
}

func TestSignal(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGTERM, unix.SIGCONT} {
		needsPtrace(t)
		cmd := childCommand("signal", strconv.Itoa(int(sig)), "handle")
		out, to := io.Pipe()
		cmd.Stdout = to
		started := make(chan *os.Process, 1)
		said := make(chan string)
		go func() {
			p := <-started
			lines := bufio.NewReader(out)
			_, _ = lines.ReadString('\n')
			_ = p.Signal(sig)
			line, _ := lines.ReadString('\n')
			said <- line
		}()
		ended := make(chan error)
		go func() {
			_, err := Record(cmd, Options{Started: func(p *os.Process) { started <- p }})
			ended <- err
		}()
		if line := <-said; line != "got it\n" {
			t.Errorf("%v: the child said %q", sig, line)
		}
		if err := <-ended; err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// A program that stops is seen to stop by its parent, and does stop.
func TestGroupStop(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, stdout := recorded(t, childCommand("stop"), o)
		if stdout != "stopped, continued, ended\n" || len(calls) != 2 {
			t.Errorf("%s, %d calls", stdout, len(calls))
		}
	})
}

// A call that a signal interrupts is made again, and counts once.
func TestRestart(t *testing.T) {
	plain, _ := recorded(t, childCommand("restart"), Options{})
	calls, _ := recorded(t, childCommand("restart", "signal"), Options{})
	receipts := byName(calls, "recvmsg")
	if len(receipts) != 2 || !interrupted(receipts[0].Errno) || receipts[1].Result != 8 {
		t.Errorf("recorded %v", calls)
	}
	if d := DiffSaid(plain, calls); d != nil {
		t.Error(d)
	}
}

func TestHostile(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, _ := recorded(t, childCommand("hostile"), o)
		if len(calls) != 14 {
			t.Fatalf("%d calls", len(calls))
		}
		for i := range calls {
			c := &calls[i]
			if c.Unread != nil {
				t.Errorf("%s: %v", c.Name(), c.Unread)
			}
			if c.Text() == "" || c.Raw() == "" {
				t.Errorf("call %d: no text", i)
			}
			if _, err := c.JSON(true); err != nil {
				t.Errorf("%s: %v", c, err)
			}
		}
		half := find(calls[13].Entry, Payload, 0, 0)
		if len(half.Data) != 2 || half.Size != 4 || calls[13].Errno != unix.EFAULT {
			t.Errorf("half a payload: %+v, %v", half, calls[13].Errno)
		}
		if after := find(calls[13].Entry, Payload, 0, 1); string(after.Data) != "34567" {
			t.Errorf("the payload behind it: %+v", after)
		}
		if d := Diff(calls, calls); d != nil {
			t.Errorf("with itself: %v", d)
		}
	})
}

func TestLimit(t *testing.T) {
	calls, _ := recorded(t, childCommand("large"), Options{})
	c := byName(calls, "sendmsg")[0]
	data, length := c.payload(0)
	if len(data) != 1<<16+1023 || length != len(data) {
		t.Errorf("%d bytes of %d", len(data), length)
	}
	for i, v := range data[:1<<16] {
		if v != byte(i%251) {
			t.Fatalf("byte %d is %d", i, v)
		}
	}
	calls, _ = recorded(t, childCommand("large"), Options{Limit: 10})
	c = byName(calls, "sendmsg")[0]
	if b := find(c.Entry, Payload, 0, 0); len(b.Data) != 10 || b.Size != 1<<16 {
		t.Errorf("%d bytes of %d", len(b.Data), b.Size)
	}
	if text := c.Text(); !strings.Contains(text, fmt.Sprintf("… of %d", 1<<16+1023)) {
		t.Error(text)
	}
}

func TestSections(t *testing.T) {
	names := func(calls []Call) string {
		var list []string
		for _, c := range calls {
			list = append(list, fmt.Sprintf("%d:%s", c.Section, c.Name()))
		}
		return strings.Join(list, " ")
	}
	const want = "1:sendmsg 1:recvmsg 2:getpid 2:close 2:close 2:fcntl 2:write 2:read"
	var both [][]Call
	ways(t, func(t *testing.T, o Options) {
		o.Sections = true
		calls, _ := recorded(t, childCommand("sections"), o)
		if got := strings.ReplaceAll(names(calls), "fcntl64", "fcntl"); got != want {
			t.Fatalf("recorded %s, want %s", got, want)
		}
		if c := calls[4]; c.Errno != unix.EBADF || c.error() != "EBADF" {
			t.Errorf("%v", &c)
		}
		if c := calls[6]; string(buffer(c.Entry, 1).data()) != "insid" {
			t.Errorf("written %q", buffer(c.Entry, 1).data())
		}
		if c := calls[7]; string(buffer(c.Exit, 1).data()[:c.Result]) != "insidbetween"[:c.Result] && c.Result <= 0 {
			t.Errorf("read %q", buffer(c.Exit, 1).data())
		}
		both = append(both, calls)
	})
	if len(both) == 2 {
		if d := Diff(both[0], both[1]); d != nil {
			t.Error(d)
		}
	}
	more, _ := recorded(t, childCommand("sections", "extra"), Options{Sections: true})
	if len(both) > 0 {
		d := Diff(both[0], more)
		if d == nil || d.Field != "the call" || d.TextA != "recvmsg" || d.TextB != "getsockopt" || d.Call != 2 {
			t.Errorf("an additional call: %v", d)
		}
		d = Diff(more, both[0])
		if d == nil || d.TextA != "getsockopt" || d.TextB != "recvmsg" {
			t.Errorf("a missing call: %v", d)
		}
	}
}

// Two recordings at once do not take each other's children, nor those of the
// rest of the process.
func TestSideBySide(t *testing.T) {
	needsPtrace(t)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			calls, err := Record(childCommand("fork"), Options{})
			if err != nil || len(calls) != 8 {
				t.Errorf("%d calls, %v", len(calls), err)
			}
		})
		wait.Go(func() {
			if err := childCommand("none").Run(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

// Calls without ancillary data are left out if they are not wanted.
func TestOnlyAncillary(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		texts := func(o Options) (list []string) {
			calls, _ := recorded(t, childCommand("plain"), o)
			for _, c := range calls {
				list = append(list, digits.ReplaceAllString(c.Text(), "N"))
			}
			return list
		}
		all := texts(o)
		o.Ancillary = true
		some := texts(o)
		want := slices.DeleteFunc(all, func(text string) bool { return !strings.Contains(text, "SCM_RIGHTS") })
		if !slices.Equal(some, want) || len(some) != 2 || len(all) != 6 {
			t.Errorf("recorded %q, want %q", some, want)
		}
	})
}

var digits = regexp.MustCompile(`[0-9]+`)

// A brief record reads as the whole one does.
func TestBrief(t *testing.T) {
	for _, child := range []string{"pass", "batch", "large"} {
		whole, _ := recorded(t, childCommand(child), Options{})
		brief, _ := recorded(t, childCommand(child), Options{Brief: true})
		if len(whole) != len(brief) {
			t.Fatalf("%s: %d calls, %d in brief", child, len(whole), len(brief))
		}
		inode := regexp.MustCompile(`:\[[0-9]+\]`)
		text := func(c *Call) string { return inode.ReplaceAllString(c.Text(), ":[N]") }
		size := func(c *Call) (n int) {
			for _, b := range slices.Concat(c.Entry, c.Exit) {
				n += len(b.Data)
			}
			return n
		}
		for i := range whole {
			if a, b := text(&whole[i]), text(&brief[i]); a != b {
				t.Errorf("%s: %s\nin brief: %s", child, a, b)
			}
			if child == "pass" && whole[i].sig.receives() && size(&brief[i]) >= size(&whole[i]) {
				t.Errorf("%s: %d bytes, %d in brief", whole[i].Name(), size(&whole[i]), size(&brief[i]))
			}
		}
	}
}

// While a receive waits, a brief record keeps the array of its iovecs, and nothing more
// of each buffer.
func TestWaitingReceive(t *testing.T) {
	var payload [1]byte
	iov := make([]unix.Iovec, maxVector)
	for i := range iov {
		iov[i].Base = &payload[0]
		iov[i].SetLen(1)
	}
	messages := make([]struct {
		hdr unix.Msghdr
		_   uint32 // msg_len
	}, maxVector)
	for i := range messages {
		messages[i].hdr.Iov = &iov[0]
		messages[i].hdr.SetIovlen(len(iov))
	}
	a := archs[slices.IndexFunc(archs, func(a *Arch) bool { return a.Name == runtime.GOARCH })]
	c := call(a, "recvmmsg", 0, built{}, built{}, 0)
	c.Thread, c.Entry, c.Exit = os.Getpid(), nil, nil
	c.args[1], c.args[2], c.args[4] = uint64(uintptr(unsafe.Pointer(&messages[0]))), maxVector, 0
	r := reader{limit: TextBytes, brief: true}
	c.capture(&r)
	if c.Unread != nil {
		t.Skipf("memory of this process: %v", c.Unread)
	}
	if len(c.Entry) != 2*maxVector {
		t.Errorf("%d pieces of memory at the entry, want a header and the iovecs of each message", len(c.Entry))
	}
	if room := c.room(0); room != maxVector {
		t.Errorf("room for %d bytes", room)
	}
	c.Result = 2
	messages[0].hdr.Iov = nil // the kernel has read it before
	c.captureAgain(&r)
	for i := range 3 {
		if n, want := len(ofMessage(c.Exit, i)), []int{maxVector, maxVector, 0}[i]; n != want {
			t.Errorf("%d pieces of message %d at the exit, want %d", n, i, want)
		}
	}
	runtime.KeepAlive(messages)
	runtime.KeepAlive(iov)
}

// What is handed to Handle is not kept.
func TestHandle(t *testing.T) {
	var names []string
	calls, _ := recorded(t, childCommand("pass"), Options{Handle: func(c *Call) { names = append(names, c.Name()) }})
	if len(calls) != 0 || strings.Join(names, " ") != "sendmsg recvmsg" {
		t.Errorf("%v, %d kept", names, len(calls))
	}
}

// A program for another word size is recorded by its own layout.
func TestOtherWidth(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 runs programs of another width here")
	}
	needsPtrace(t)
	bin := t.TempDir() + "/child"
	build := exec.Command("go", "test", "-c", "-o", bin, ".")
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := childCommand("pass")
	cmd.Path = bin
	calls, stdout := recorded(t, cmd, Options{})
	if len(calls) != 2 || calls[0].Arch.Name != "386" || len(calls[0].Entry[0].Data) != 28 {
		t.Fatalf("recorded %v", calls)
	}
	want := regexp.MustCompile(`send entry control ([0-9a-f]+)`).FindStringSubmatch(stdout)
	if got := find(calls[0].Entry, Control, 0, 0).data(); !bytes.Equal(got, unhex(want[1])) {
		t.Errorf("control %x, want %s", got, want[1])
	}
	if !strings.Contains(calls[1].Text(), `"payload!", SCM_RIGHTS [`) {
		t.Error(calls[1].Text())
	}
}

// Nothing of how it was started is left in the program.
func TestUnchanged(t *testing.T) {
	needsPtrace(t)
	capabilities, err := strconv.ParseUint(status("self")["CapEff"], 16, 64)
	if err != nil || capabilities&(1<<unix.CAP_SYS_ADMIN) == 0 {
		t.Skip("without CAP_SYS_ADMIN the filter takes no_new_privs")
	}
	plain, err := childCommand("privileges").Output()
	if err != nil {
		t.Fatal(err)
	}
	ways(t, func(t *testing.T, o Options) {
		var below []byte
		o.Started = func(p *os.Process) { below = belowStack(t, p.Pid) }
		_, stdout := recorded(t, childCommand("privileges"), o)
		if len(below) == 0 || len(bytes.Trim(below, "\x00")) > 0 {
			t.Errorf("below the stack: %x", below)
		}
		want := string(plain)
		if !o.NoFilter {
			want = strings.Replace(want, "Seccomp: 0", "Seccomp: 2", 1)
		}
		if stdout != want {
			t.Errorf("recorded\n%s\nby itself\n%s", stdout, want)
		}
	})
}

// belowStack is what lies there before the first instruction.
func belowStack(t *testing.T, pid int) []byte {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	text, err := os.ReadFile(filepath.Join(proc, "syscall")) // number, stack pointer, instruction pointer
	if err != nil {
		t.Error(err)
		return nil
	}
	words := strings.Fields(string(text))
	sp, err := strconv.ParseInt(words[len(words)-2], 0, 64)
	if err != nil {
		t.Error(err)
		return nil
	}
	b := make([]byte, 8192)
	mem, err := os.Open(filepath.Join(proc, "mem"))
	if err == nil {
		_, err = mem.ReadAt(b, sp-int64(len(b)))
		err = errors.Join(err, mem.Close())
	}
	if err != nil {
		t.Error(err)
	}
	return b
}

// The ends of other children are left to those who wait for them, even if the
// recorder happens on the thread that has started them.
func TestForeignChild(t *testing.T) {
	needsPtrace(t)
	const threads = 8
	started, all, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	for range threads {
		go func() {
			defer func() { done <- struct{}{} }()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			cmd := childCommand("none")
			err := cmd.Start()
			started <- struct{}{}
			<-all
			if err != nil {
				t.Error(err)
				return
			}
			// From here on the thread is free, and has a child.
			runtime.UnlockOSThread()
			for range 3 {
				if _, err := Record(childCommand("none"), Options{}); err != nil {
					t.Error(err)
				}
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			runtime.LockOSThread()
		}()
	}
	for range threads {
		<-started
	}
	close(all)
	for range threads {
		<-done
	}
}

// A filter of the program's own that asks for a tracer is answered by this one.
// Where the recorder has no filter, there is none for it.
func TestOwnFilter(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		o.Sections = true
		calls, _ := recorded(t, childCommand("traced"), o)
		if len(calls) != 1 || calls[0].Name() != "getpid" {
			t.Fatalf("recorded %v", calls)
		}
		if c := &calls[0]; o.NoFilter && c.Errno != unix.ENOSYS || !o.NoFilter && c.Result != int64(c.Process.PID) {
			t.Errorf("recorded %v", c)
		}
	})
}

// Whoever is killed just after it has made a child leaves it to the recorder,
// which lets it run and sees its end.
func TestKilledParent(t *testing.T) {
	if runtime.GOARCH == "386" {
		t.Skip("the shell is amd64's")
	}
	ways(t, func(t *testing.T, o Options) {
		needsPtrace(t)
		for n := range 40 {
			cmd := exec.Command("sh", "-c", "while echo; do (:) & done")
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout = w
			o.Started = func(p *os.Process) {
				go func() {
					_, _ = io.ReadFull(r, make([]byte, 10+n))
					_ = p.Kill()
				}()
			}
			_, err = Record(cmd, o)
			var exit *ExitError
			if !errors.As(err, &exit) || exit.Status.Signal() != unix.SIGKILL {
				t.Errorf("the shell ended with %v", err)
			}
			_, _ = r.Close(), w.Close()
		}
	})
}
