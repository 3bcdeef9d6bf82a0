package reference

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// Main serves on standard input and output, and ends the process.
func Main(name string) {
	// All calls are made by the first thread: a signal finds it on any kernel.
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() { // another has taken the main goroutine: once more from the start
		fmt.Fprintln(os.Stderr, unix.Exec("/proc/self/exe", os.Args, os.Environ()))
		os.Exit(1)
	}
	signal.Ignore(unix.SIGPIPE)
	// A signal that is caught interrupts a call that waits, where it has a timeout.
	signal.Notify(make(chan os.Signal, 1), unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM)
	if err := serve(name, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(name string, in io.Reader, out io.Writer) error {
	return peer.Serve(peer.Library{
		Name:    name,
		Version: "0",
		Can:     "stream,dgram,seqpacket,multi,iov,flags",
		Open:    func(sock int) (peer.Socket, error) { return socket(sock), nil },
		More:    answer,
	}, in, out)
}

// socket is the runner as a library: raw system calls, nothing that is judged.
type socket int

func (s socket) Send(m peer.Message) (int, error) {
	return raw.Send(int(s), m.Buffers, m.FDs, m.Flags)
}

func (s socket) Recv(r peer.Room) (got peer.Received, err error) {
	n, fds, flags, err := raw.Recv(int(s), r.Buffers, r.FDs, r.Flags)
	if err != nil {
		return got, err
	}
	return peer.Received{N: n, Payload: r.Filled(n), FDs: fds, Flags: flags, HasFlags: true}, nil
}

// args are the fields of a call, which contract.CheckValues has read. The first error in
// making of them what the call takes is kept: a call with one is not made.
type args struct {
	peer.Case
	fields map[string]string
	err    error
}

// calls make the calls of Forms.
var calls = map[string]func(a *args) (string, error){
	"sendmsg": sendmsg, "recvmsg": recvmsg, "sendmmsg": sendmmsg, "recvmmsg": recvmmsg,
	"read": read, "write": write, "splice": splice, "sendfile": sendfile,
	"socket": newSocket, "socketpair": newPair, "bind": bind, "listen": listen, "connect": connect, "accept": accept,
	"sockname": sockname, "peername": peername, "shutdown": shutdown, "setsockopt": setsockopt, "getsockopt": getsockopt,
	"peercred": peercred, "peerpidfd": peerpidfd, "queued": queued,
	"dup": dup, "poll": poll, "fcntl": fcntl, "seal": seal, "lock": lock, "lseek": lseek, "truncate": truncate, "stat": stat,
	"mmap": mmap, "epoll": epoll, "epollwait": epollwait, "pidof": pidof, "signal": sendSignal, "setns": setns,
	"inherited": inherited, "adopt": adopt,
	"open": open, "link": link, "unlink": unlink, "mkdir": mkdir, "rename": rename, "chmod": chmod, "chown": chown, "chdir": chdir,
	"setuid": setuid,
}

// answer makes the call that a line tells, or returns "" for one that is none.
func answer(c peer.Case, line string) string {
	l, err := contract.ParseLine(line)
	form, ok := contract.Forms()[l.Verb]
	if err != nil || !ok || len(l.Words) > 0 {
		return ""
	}
	for key := range l.Fields {
		if !form.Word(key) {
			return ""
		}
	}
	if err := contract.CheckValues(l, l); err != nil {
		return "err lib " + err.Error()
	}
	a := &args{Case: c, fields: l.Fields}
	text, err := calls[l.Verb](a)
	switch {
	case a.err != nil:
		return "err lib " + a.err.Error()
	case err != nil:
		return peer.FormatError(err)
	case text == "":
		return "ok"
	}
	return "ok " + text
}

func (a *args) bad(key string) {
	if a.err == nil {
		a.err = fmt.Errorf("%s=%s", key, a.fields[key])
	}
}

func (a *args) has(key string) bool { _, ok := a.fields[key]; return ok }

// text is a field that may be left out.
func (a *args) text(key, absent string) string {
	if v, ok := a.fields[key]; ok {
		return v
	}
	return absent
}

func (a *args) number(key string, absent int) int {
	v, ok := a.fields[key]
	if !ok {
		return absent
	}
	n, _ := strconv.ParseInt(v, 0, 64)
	return int(n)
}

func (a *args) fd() int { return a.number("fd", -1) }

// two are the numbers of fds=.
func (a *args) two() (int, int) {
	one, two, _ := strings.Cut(a.fields["fds"], ",")
	x, _ := strconv.Atoi(one)
	y, _ := strconv.Atoi(two)
	return x, y
}

// sock is the socket that the call is about: that of the case, if none is named.
func (a *args) sock() int { return a.number("sock", a.Sock()) }

// words are the values of a list of names, together; "-" is none of them.
func (a *args) words(key string, values map[string]int) int { return bitsOf(a.text(key, "-"), values) }

func bitsOf(list string, values map[string]int) (bits int) {
	for w := range strings.SplitSeq(list, ",") {
		bits |= values[w]
	}
	return bits
}

// names turns bits into the names of a list, in its order.
func names(bits int, values []string, of map[string]int) string {
	var list []string
	for _, v := range values {
		if bits&of[v] != 0 {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ",")
}

// held is the answer with a new number, which is the case's from now on.
func (a *args) held(fd int, err error) (string, error) {
	if err != nil {
		return "", err
	}
	a.Hold(fd)
	return fmt.Sprintf("fd=%d", fd), nil
}
