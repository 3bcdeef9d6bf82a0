//go:build linux

package torture

import (
	"context"
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// These specs test the torture itself. Each faulty operation has a defect that the checks
// must find, and every exported function must be listed in one of the two tables.

// faultyOperation is an operation with a defect, and a part of the finding about it.
type faultyOperation struct {
	operation
	finding string
}

var errSilent = errors.New("something failed")

// failingCall makes a system call into which a fault is injected.
func (t *fixture) failingCall() error { return Second(scm.PeerCred(t.sock)) }

var faultyOperations = []faultyOperation{
	{operation{name: "an operation that leaks a descriptor", call: func(t *fixture) error {
		fd := t.dup(t.cargo)
		if err := t.failingCall(); err != nil {
			return err
		}
		return unix.Close(fd)
	}}, "left open"},
	{operation{name: "an operation that closes a descriptor twice", call: func(t *fixture) error {
		fd, err := unix.FcntlInt(uintptr(t.cargo), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		_, _ = unix.Close(fd), unix.Close(fd)
		return t.failingCall()
	}}, "closed a descriptor that was not open"},
	{operation{name: "an operation that closes its caller's descriptor", call: func(t *fixture) error {
		err := t.failingCall()
		if err != nil {
			_ = unix.Close(t.cargo)
		}
		return err
	}}, "closed a descriptor that does not belong to the call"},
	{operation{name: "an operation that repeats a failed close", call: func(t *fixture) error {
		fd, err := unix.FcntlInt(uintptr(t.cargo), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil && unix.Close(fd) != nil {
			err = unix.Close(fd)
		}
		return err
	}, ignored: closeIgnored}, "closed twice"},
	{operation{name: "an operation that ignores an error", call: func(t *fixture) error {
		_ = t.failingCall()
		return nil
	}}, "the call succeeded despite the injected error"},
	{operation{name: "an operation that retries after every error", call: func(t *fixture) error {
		_, err := scm.WriteFD(t.sock, []byte("hello"), t.cargo)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) {
			_, err = scm.WriteFD(t.sock, []byte("hello"), t.cargo)
		}
		return err
	}, sends: hello}, "the call succeeded despite the injected error"},
	{operation{name: "an operation whose error does not wrap the errno", call: func(t *fixture) error {
		if t.failingCall() != nil {
			return errSilent
		}
		return nil
	}}, "the error does not wrap the injected errno"},
	{operation{name: "an operation that makes a call that can fail after sending", sends: hello, call: func(t *fixture) error {
		_, err := scm.WriteFD(t.sock, []byte("hello"), t.cargo)
		return errors.Join(err, t.failingCall())
	}}, "1 calls succeeded, but the partner received"},
	{operation{name: "an operation that sends one message in two calls", networks: unixOnly, sends: hello, call: func(t *fixture) error {
		if _, err := scm.WriteFD(t.sock, []byte("he"), t.cargo); err != nil {
			return err
		}
		return scm.Send(t.sock, &scm.Message{Buffers: [][]byte{[]byte("llo")}}, 0)
	}}, "from a killed sender"},
	{operation{name: "an operation that returns a descriptor with an error", receives: hello, call: func(t *fixture) error {
		_, fd, err := scm.ReadFD(t.sock, make([]byte, 5))
		if err == nil {
			t.returned = append(t.returned, fd)
			if err = t.failingCall(); err == nil {
				t.closers = append(t.closers, fdFile(fd))
			}
		}
		return err
	}}, "descriptors were returned with an error"},
	{operation{name: "an operation that shuts the socket down after an error", sends: hello, call: func(t *fixture) error {
		_, err := scm.WriteFD(t.sock, []byte("hello"), t.cargo)
		if err != nil {
			_ = unix.Shutdown(t.sock, unix.SHUT_RDWR)
		}
		return err
	}}, "a second call fails"},
	{operation{name: "an operation that returns a descriptor of its caller", call: func(t *fixture) error {
		err := t.failingCall()
		if err == nil {
			t.returned = append(t.returned, t.sock)
		}
		return err
	}}, "was returned, but was open before"},
}

func faultyOps() (operations []operation) {
	for _, f := range faultyOperations {
		operations = append(operations, f.operation)
	}
	return operations
}

// noSystemCall calls the exported functions that make no system call.
var noSystemCall = map[string]func(t *fixture){
	"Conn.NetConn":              func(t *fixture) { t.conn.NetConn() },
	"Conn.SyscallConn":          func(t *fixture) { _, _ = t.conn.SyscallConn() },
	"Conn.SetUnlinkOnClose":     func(t *fixture) { t.conn.SetUnlinkOnClose(true) },
	"Listener.Addr":             func(t *fixture) { t.server.Addr() },
	"Conn.WithContext":          func(t *fixture) { t.conn.WithContext(context.Background()) },
	"Listener.WithContext":      func(t *fixture) { t.server.WithContext(context.Background()) },
	"Conn.SetDeadline":          func(t *fixture) { _ = t.conn.SetDeadline(time.Time{}) },
	"Conn.SetReadDeadline":      func(t *fixture) { _ = t.conn.SetReadDeadline(time.Time{}) },
	"Conn.SetWriteDeadline":     func(t *fixture) { _ = t.conn.SetWriteDeadline(time.Time{}) },
	"Listener.SetDeadline":      func(t *fixture) { _ = t.server.SetDeadline(time.Time{}) },
	"Conn.LocalAddr":            func(t *fixture) { t.conn.LocalAddr() },
	"Listener.SetUnlinkOnClose": func(t *fixture) { t.server.SetUnlinkOnClose(true) },
	"Message.Truncated":         func(*fixture) { _ = (&scm.Message{}).Truncated() },
	"TruncatedError.Error":      func(*fixture) { _ = (&scm.TruncatedError{}).Error() },
	"TruncatedError.Unwrap":     func(*fixture) { _ = (&scm.TruncatedError{}).Unwrap() },
	"ExpectError.Error":         func(*fixture) { _ = (&scm.ExpectError{}).Error() },
	"ExpectError.Unwrap":        func(*fixture) { _ = (&scm.ExpectError{}).Unwrap() },
}

// allWithoutSystemCall calls every function in noSystemCall.
var allWithoutSystemCall = operation{name: "all functions without system calls", setUp: func(t *fixture) {
	t.makeConn()
	withServer(t)
}, call: func(t *fixture) error {
	for _, call := range noSystemCall {
		call(t)
	}
	return nil
}}

// sourceDir is the directory of package scm.
const sourceDir = "../.."

// exported returns the exported functions and methods of the package in this build.
func exported() (names []string) {
	GinkgoHelper()
	pkg := OK(build.ImportDir(sourceDir, 0))
	for _, name := range append(pkg.GoFiles, pkg.CgoFiles...) {
		file := OK(parser.ParseFile(token.NewFileSet(), filepath.Join(sourceDir, name), nil, 0))
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				typ := f.Recv.List[0].Type
				if star, ok := typ.(*ast.StarExpr); ok {
					typ = star.X
				}
				receiver := typ.(*ast.Ident)
				if !receiver.IsExported() {
					continue
				}
				name = receiver.Name + "." + name
			}
			names = append(names, name)
		}
	}
	return names
}

var _ = Describe("the torture", Label("torture"), func() {
	for _, f := range faultyOperations {
		It("detects "+f.name, func() {
			CannotEmulate(fdtest.Traced)
			network := "unixpacket"
			if f.networks != nil {
				network = f.networks[0]
			}
			_, wrong := f.runAllFaults(FindStrace(), network, false)
			Expect(wrong).To(ContainElement(ContainSubstring(f.finding)))
		})
	}

	It("lists every exported function, either as an operation, as one of difftest or as one without system calls", func() {
		if _, err := os.Stat(filepath.Join(sourceDir, "scm.go")); err != nil {
			Skip("the sources are not here: " + err.Error())
		}
		tortured := slices.Clone(inDifftest)
		for _, op := range operations {
			tortured = append(append(tortured, op.function()), op.also...)
		}
		all := exported()
		Expect(len(all)).To(BeNumerically(">", 50))
		for _, name := range all {
			Expect(slices.Contains(tortured, name)).NotTo(Equal(noSystemCall[name] != nil),
				"%s must be listed in operations (operations_test.go), inDifftest or noSystemCall, and not in two", name)
		}
		Expect(all).To(ContainElements(slices.Collect(maps.Keys(noSystemCall))))
	})

	It("excludes only functions that make no system call", func() {
		CannotEmulate(fdtest.Traced)
		o := allWithoutSystemCall.runChild(FindStrace(), "unix", fault{})
		Expect(o.violations(allWithoutSystemCall)).To(BeEmpty())
		Expect(o.record.calls).To(BeEmpty())
	})
})
