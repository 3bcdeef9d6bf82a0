//go:build linux

package scm_test

import (
	"context"
	"crypto/tls"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	gotypes "go/types"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// failed matches the error of a system call of that name that failed with errno.
func failed(call string, errno unix.Errno) types.GomegaMatcher {
	return WithTransform(func(err error) (e os.SyscallError) {
		if found := new(os.SyscallError); errors.As(err, &found) {
			e = *found
		}
		return e
	}, Equal(os.SyscallError{Syscall: call, Err: errno}))
}

// failsWith checks that the system call of that name failed with errno.
func failsWith(err error, call string, errno unix.Errno) {
	GinkgoHelper()
	Expect(err).To(failed(call, errno))
}

// writeFails calls WriteFD, which must fail.
func writeFails(sock int, p []byte, fd int, errno unix.Errno) {
	GinkgoHelper()
	n, err := scm.WriteFD(sock, p, fd)
	failsWith(err, "sendmsg", errno)
	Expect(n).To(Equal(-1))
}

// readFails calls ReadFD, which must fail.
func readFails(sock int, errno unix.Errno) {
	GinkgoHelper()
	n, fd, err := scm.ReadFD(sock, make([]byte, 1))
	failsWith(err, "recvmsg", errno)
	Expect([]int{n, fd}).To(Equal([]int{-1, -1}))
}

// sendFails calls Send, which must fail and leave N at 0.
func sendFails(sock int, payload string, errno unix.Errno, fds ...int) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{[]byte(payload)}, FDs: fds, N: 7}
	failsWith(scm.Send(sock, &m, 0), "sendmsg", errno)
	Expect(m.N).To(Equal(0))
}

// recvFails calls Recv, which must fail and clear its results.
func recvFails(sock int, errno unix.Errno) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), N: 7, NFD: 7, Flags: 7}
	failsWith(scm.Recv(sock, &m, 0), "recvmsg", errno)
	Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
}

// allFail makes each of the four calls on a socket. All must fail.
func (f *fixture) allFail(sock int, errno unix.Errno) {
	GinkgoHelper()
	fd := f.file()
	writeFails(sock, []byte("x"), fd, errno)
	readFails(sock, errno)
	sendFails(sock, "x", errno, fd)
	recvFails(sock, errno)
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("every call that fails returns an *os.SyscallError, and clears N, NFD and Flags", func() {
		f.allFail(-1, unix.EBADF)
	})

	It("every call fails with EBADF for a descriptor that does not fit into an int32, even if its low 32 bits are an open descriptor", func() {
		if strconv.IntSize == 32 {
			Skip("int has 32 bits here: there is no such number")
		}
		for _, upper := range []int64{1 << 32, -1 << 32, 1 << 40, math.MinInt64} {
			alias := func(fd int) int { return int(upper + int64(fd)) }
			file := f.file()
			writeFails(f.a, []byte("x"), alias(file), unix.EBADF)
			sendFails(f.a, "x", unix.EBADF, file, alias(file))
			f.allFail(alias(f.a), unix.EBADF)
			isEmpty(f.b)
		}
	})

	It("after an interrupted recvmmsg has left error 512 (ERESTARTSYS) on the socket, one call fails with EINTR", func() {
		f.a, f.b = f.pair(typ)
		fd := f.file()
		for _, next := range []func(){
			func() { readFails(f.b, unix.EINTR) },
			func() { recvFails(f.b, unix.EINTR) },
			func() { writeFails(f.b, []byte("x"), fd, unix.EINTR) },
			func() { sendFails(f.b, "x", unix.EINTR, fd) },
		} {
			f.sends("x")
			leavesRestartSys(f.b)
			next()
			for _, sock := range []int{f.a, f.b} {
				_, _, err := unix.Recvfrom(sock, make([]byte, 1), unix.MSG_DONTWAIT)
				Expect(err).To(MatchError(unix.EAGAIN))
			}
		}
	})
}, everyType)

// leavesRestartSys receives the one queued message from a blocking socket with recvmmsg(2), which a signal interrupts
// while it waits for a second one. Linux leaves its internal error 512 (ERESTARTSYS) in the socket, and returns it from
// the next call, of any process that holds the socket.
func leavesRestartSys(sock int) {
	GinkgoHelper()
	CannotEmulate("qemu-user makes recvmsg(2) calls instead of recvmmsg(2)")
	var headers [2]struct {
		hdr unix.Msghdr
		len uint32
	}
	for i := range headers {
		iov := unix.Iovec{Base: new(byte)}
		iov.SetLen(1)
		headers[i].hdr.Iov = &iov
		headers[i].hdr.SetIovlen(1)
	}
	interrupted(func() {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(sock), uintptr(unsafe.Pointer(&headers)), 2, 0, 0, 0)
		Expect([]int{int(n), int(errno)}).To(Equal([]int{1, 0}))
	})
}

// interrupted sends signals to the thread that makes the call until the call returns.
func interrupted(call func()) {
	GinkgoHelper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, tid := unix.Getpid(), unix.Gettid()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-done:
				return
			default:
				_ = unix.Tgkill(pid, tid, unix.SIGURG) // the runtime's handler for it does nothing
				runtime.Gosched()
			}
		}
	}()
	defer wg.Wait()
	defer close(done)
	call()
}

var _ = It("a send over TCP succeeds, but Linux drops the descriptors", func() {
	f := connect(unix.SOCK_STREAM)
	near, far := tcpPair()
	f.a, f.b = FDOf(near), FDOf(far)
	Expect(unix.SetNonblock(f.b, false)).To(Succeed())
	fd := f.file()
	Expect(scm.WriteFD(f.a, []byte("tcp"), fd)).To(Equal(3))
	f.readsNone(make([]byte, 3), 3)
	f.sends("tcp", fd)
	f.receives(3, 1, 0, "tcp", 0)
})

var _ = It("a send to a closed connection does not kill the process with SIGPIPE, even if the socket is standard output", func() {
	f := connect(unix.SOCK_STREAM)
	a, b := f.pair(unix.SOCK_STREAM)
	f.CloseNow(b)
	cmd := ChildCommand("epipe")
	cmd.Stdout = asFile(a)
	RunChild(cmd)
})

var _ = Child("epipe", func([]string) {
	writeFails(1, []byte("x"), 0, unix.EPIPE)
	sendFails(1, "x", unix.EPIPE, 0)
})

// quiet calls f, which returns no error for a bad argument.
func quiet(f func()) error {
	f()
	return nil
}

var _ = It("every function returns an error that names a bad argument, does not panic and leaves the same descriptors open", func() {
	CannotEmulate("qemu-user rejects socket options that it does not know before it looks at the descriptor")
	const far = math.MaxInt32 // no descriptor
	ctx, p, f, path := context.Background(), []byte("x"), pipes(1)[0], socketPath()
	c, _ := pair("unix")
	many := make([]int, scm.MaxFDs+1)
	crowd := &scm.Message{Buffers: [][]byte{p}, FDs: many}
	short := func(nfd int) *scm.Message { return &scm.Message{FDs: []int{-1}, NFD: nfd} }
	wrong := scm.Config{Expect: &scm.Expect{Min: 2, Max: 1}}
	var conn *scm.Conn
	var listener *scm.Listener
	var message *scm.Message
	literal := &scm.Listener{UnixListener: listen(scm.Config{}, "unix", AbstractName()).UnixListener}
	open := fdtest.Open()
	type texts = map[string]error // by what the error contains; "" for no error
	rows := map[string]texts{
		"CloseFDs":                       {"": quiet(func() { scm.CloseFDs(-1, far) })},
		"NewFile":                        {"bad file descriptor": Second(scm.NewFile(-1, "x"))},
		"Nonblock":                       {"file is nil": Second(scm.Nonblock(nil)), "file has no desc": Second(scm.Nonblock(withoutRaw{}))},
		"SetNonblock":                    {"file is nil": scm.SetNonblock((*os.File)(nil), true)},
		"PassCred":                       {"bad file descriptor": scm.PassCred(far, true)},
		"PassPIDFD":                      {"bad file descriptor": scm.PassPIDFD(far, true)},
		"PassRights":                     {"bad file descriptor": scm.PassRights(far, true)},
		"PeerCred":                       {"bad file descriptor": Second(scm.PeerCred(far))},
		"PeerPIDFD":                      {"bad file descriptor": Second(scm.PeerPIDFD(far))},
		"ReadFD":                         {"recvmsg: bad file descriptor": Third(scm.ReadFD(far, p))},
		"WriteFD":                        {"sendmsg: bad file descriptor": Second(scm.WriteFD(FDOf(c), p, far))},
		"Recv":                           {"Message is nil": scm.Recv(FDOf(c), nil, 0), "253 desc": scm.Recv(FDOf(c), crowd, 0)},
		"Send":                           {"Message is nil": scm.Send(FDOf(c), nil, 0), "253 desc": scm.Send(FDOf(c), crowd, 0)},
		"Expect.Recv":                    {"Message is nil": scm.Expect{}.Recv(FDOf(c), nil, 0), "Expect requires": wrong.Expect.Recv(far, short(0), 0)},
		"Expect.Enforce":                 {"bad file descriptor": scm.Expect{Max: 1}.Enforce([]int{far})},
		"Message.Close":                  {"": quiet(func() { message.Close(); short(2).Close(); short(-1).Close() })},
		"Message.Files":                  {"Message is nil": Second(message.Files()), "NFD is 2": Second(short(2).Files()), "NFD is -1": Second(short(-1).Files())},
		"Message.Truncated":              {"": quiet(func() { message.Truncated() })},
		"ExpectError.Error":              {"": quiet(func() { _ = new(scm.ExpectError).Error() })},
		"ExpectError.Unwrap":             {"": new(scm.ExpectError).Unwrap()},
		"TruncatedError.Error":           {"": quiet(func() { _ = new(scm.TruncatedError).Error() })},
		"TruncatedError.Unwrap":          {"": new(scm.TruncatedError).Unwrap()},
		"Dial Config.Dial":               {"network x": Second(scm.Dial(ctx, "x", path)), "missing addr": Second(scm.Dial(ctx, "unix", "")), "Expect": Second(wrong.Dial(ctx, "unix", path))},
		"Listen Config.Listen":           {"network unixgram": Second(scm.Listen(ctx, "unixgram", path)), "mode 020000000000 has bits other than permissions": Second(scm.Config{Mode: os.ModeDir}.Listen(ctx, "unix", path))},
		"ListenPacket":                   {"network unix": Second(scm.ListenPacket(ctx, "unix", path))},
		"Config.ListenPacket":            {"Expect": Second(wrong.ListenPacket(ctx, "unixgram", path))},
		"DialPacket Config.DialPacket":   {"network unix": Second(scm.DialPacket(ctx, "unix", path, path)), "Expect": Second(wrong.DialPacket(ctx, "unixgram", path, path))},
		"Pair Config.Pair":               {"network x": Third(scm.Pair("x")), "Expect": Third(wrong.Pair("unix"))},
		"NewConn Config.NewConn":         {"connection is nil": Second(scm.NewConn(nil)), "use scm.NewConn": Second(scm.NewConn(&scm.Conn{})), "Expect": Second(wrong.NewConn(c))},
		"NewConnFD Config.NewConnFD":     {"bad file descriptor": Second(scm.NewConnFD(far)), "Expect": Second(wrong.NewConnFD(FDOf(c)))},
		"NewConnFile Config.NewConnFile": {"file is nil": Second(scm.NewConnFile(nil)), "not a Unix socket": Second(scm.NewConnFile(f))},
		"NewListener Config.NewListener": {"listener is nil": Second(scm.NewListener(nil)), "use scm.NewListener": Second(scm.NewListener(&scm.Listener{}))},

		"Listener.Accept":           {"Listener is nil": Second(listener.Accept()), "use scm.NewListener": Second(literal.Accept())},
		"Listener.AcceptConn":       {"Listener is nil": Second(listener.AcceptConn()), "use scm.NewListener": Second(literal.AcceptConn())},
		"Listener.Addr":             {"": quiet(func() { listener.Addr(); new(scm.Listener).Addr() })},
		"Listener.Close":            {"Listener is nil": listener.Close(), "use scm.NewListener": literal.Close()},
		"Listener.SetDeadline":      {"Listener is nil": listener.SetDeadline(time.Time{})},
		"Listener.SetUnlinkOnClose": {"": quiet(func() { listener.SetUnlinkOnClose(true); literal.SetUnlinkOnClose(true) })},
		"Listener.WithContext":      {"Listener is nil": Second(listener.WithContext(ctx).Accept())},

		"Conn.LocalAddr":        {"": quiet(func() { conn.LocalAddr() })},
		"Conn.NetConn":          {"": quiet(func() { conn.NetConn() })},
		"Conn.Read":             {"Conn is nil": Second(conn.Read(p))},
		"Conn.ReadBuffers":      {"1024 buffers": Third(c.ReadBuffers(make([][]byte, 1025), 0)), "at least one byte": Third(c.ReadBuffers(nil, 0))},
		"Conn.ReadFDs":          {"253 desc": Third(c.ReadFDs(p, many))},
		"Conn.ReadFiles":        {"max is -1": Third(c.ReadFiles(p, -1)), "253 desc": Third(c.ReadFiles(p, len(many)))},
		"Conn.Recv":             {"Message is nil": c.Recv(nil, 0), "253 desc": c.Recv(crowd, 0)},
		"Conn.Send":             {"Message is nil": c.Send(nil, 0), "253 desc": c.Send(crowd, 0), "bad file descriptor": c.Send(&scm.Message{Buffers: [][]byte{p}, FDs: []int{-1}}, 0)},
		"Conn.SendConn":         {"connection is nil": c.SendConn(nil), "no SyscallConn": c.SendConn(&tls.Conn{})},
		"Conn.SendFile":         {"file is nil": c.SendFile("x", nil), "name too long": c.SendFile(strings.Repeat("x", 4096), f)},
		"Conn.SendListener":     {"listener is nil": c.SendListener(nil)},
		"Conn.SetDeadline":      {"Conn is nil": conn.SetDeadline(time.Time{})},
		"Conn.SetReadDeadline":  {"Conn is nil": conn.SetReadDeadline(time.Time{})},
		"Conn.SetWriteDeadline": {"Conn is nil": conn.SetWriteDeadline(time.Time{})},
		"Conn.SetUnlinkOnClose": {"": quiet(func() { conn.SetUnlinkOnClose(true); new(scm.Conn).SetUnlinkOnClose(true) })},
		"Conn.SyscallConn":      {"Conn is nil": Second(conn.SyscallConn()), "use scm.NewConn": Second(new(scm.Conn).SyscallConn())},
		"Conn.WithContext":      {"Conn is nil": Second(conn.WithContext(ctx).Write(p))},
		"Conn.Write":            {"Conn is nil": Second(conn.Write(p))},
		"Conn.WriteBuffers":     {"file 1 is nil": Second(c.WriteBuffers([][]byte{p}, f, nil))},
		"Conn.WriteFDs":         {"bad file descriptor": Second(c.WriteFDs(p, FDOf(f), -1)), "253 desc": Second(c.WriteFDs(p, many...))},
		"Conn.WriteFiles":       {"file 0 is nil": Second(c.WriteFiles(p, nil)), "253 desc": Second(c.WriteFiles(p, make([]*os.File, 254)...))},
	}
	for name, err := range everyCall(nil, f) {
		if rows["Conn."+name] == nil {
			rows["Conn."+name] = texts{}
		}
		rows["Conn."+name]["Conn is nil"] = err
	}
	for _, literal := range []*scm.Conn{{}, {UnixConn: c.UnixConn}} {
		for name, err := range everyCall(literal, f) {
			Expect(err).To(And(MatchError(os.ErrInvalid), MatchError(ContainSubstring("use scm.NewConn"))), name)
		}
	}
	Expect(fdtest.Open()).To(Equal(open))
	listed := map[string]bool{}
	for names, errs := range rows {
		for _, name := range strings.Fields(names) {
			listed[name] = true
		}
		for text, err := range errs {
			if text == "" {
				Expect(err).NotTo(HaveOccurred(), names)
				continue
			}
			Expect(err).To(MatchError(ContainSubstring(text)), names)
			if strings.HasSuffix(text, "is nil") || strings.HasPrefix(text, "use ") {
				Expect(err).To(MatchError(os.ErrInvalid), names)
			}
		}
	}
	for _, name := range exportedFunctions() {
		Expect(listed).To(HaveKey(name))
	}
})

// exportedFunctions returns the names of the exported functions and methods in the files of this package.
func exportedFunctions() (names []string) {
	GinkgoHelper()
	for _, file := range ok(filepath.Glob("*.go")) {
		for _, d := range ok(parser.ParseFile(token.NewFileSet(), file, nil, 0)).Decls {
			f, isFunction := d.(*ast.FuncDecl)
			if !isFunction || !f.Name.IsExported() || strings.HasSuffix(file, "_test.go") {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				receiver := strings.TrimPrefix(gotypes.ExprString(f.Recv.List[0].Type), "*")
				if !ast.IsExported(receiver) {
					continue
				}
				name = receiver + "." + name
			}
			names = append(names, name)
		}
	}
	Expect(len(names)).To(BeNumerically(">", 50))
	return names
}
