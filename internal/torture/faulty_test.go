//go:build linux

package torture

import (
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// What holds the torture itself: operations with each kind of fault, which it has to
// find, and that every call of the API stands in its table.

// faultyOperation is one that breaks the law, and the words that say how.
type faultyOperation struct {
	operation
	words string
}

var errSilent = errors.New("something failed")

// asks is a system call that can fail.
func (t *subject) asks() error { return Second(scm.PeerCred(t.sock)) }

var faultyOperations = []faultyOperation{
	{operation{name: "faulty leak", call: func(t *subject) error {
		fd := t.dup(t.cargo)
		if err := t.asks(); err != nil {
			return err
		}
		return unix.Close(fd)
	}}, "left open"},
	{operation{name: "faulty close twice", call: func(t *subject) error {
		fd, err := unix.FcntlInt(uintptr(t.cargo), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		_, _ = unix.Close(fd), unix.Close(fd)
		return t.asks()
	}}, "closed what was not open"},
	{operation{name: "faulty close of another's", call: func(t *subject) error {
		err := t.asks()
		if err != nil {
			_ = unix.Close(t.cargo)
		}
		return err
	}}, "closed what was not the call's"},
	{operation{name: "faulty close that is repeated", call: func(t *subject) error {
		fd, err := unix.FcntlInt(uintptr(t.cargo), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil && unix.Close(fd) != nil {
			err = unix.Close(fd)
		}
		return err
	}, shrugs: closeShrugs}, "closed twice"},
	{operation{name: "faulty success", call: func(t *subject) error {
		_ = t.asks()
		return nil
	}}, "the call succeeded"},
	{operation{name: "faulty retry", call: func(t *subject) error {
		_, err := scm.WriteFD(t.sock, []byte("hello"), t.cargo)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) {
			_, err = scm.WriteFD(t.sock, []byte("hello"), t.cargo)
		}
		return err
	}, sends: hello}, "the call succeeded"},
	{operation{name: "faulty silence", call: func(t *subject) error {
		if t.asks() != nil {
			return errSilent
		}
		return nil
	}}, "the error does not wrap it"},
	{operation{name: "faulty order", sends: hello, call: func(t *subject) error {
		_, err := scm.WriteFD(t.sock, []byte("hello"), t.cargo)
		return errors.Join(err, t.asks())
	}}, "1 calls succeeded, and the partner received"},
	{operation{name: "faulty halves", networks: unixOnly, sends: hello, call: func(t *subject) error {
		if _, err := scm.WriteFD(t.sock, []byte("he"), t.cargo); err != nil {
			return err
		}
		return scm.Send(t.sock, &scm.Message{Buffers: [][]byte{[]byte("llo")}}, 0)
	}}, "of a sender that was killed"},
	{operation{name: "faulty loss", comes: hello, call: func(t *subject) error {
		_, fd, err := scm.ReadFD(t.sock, make([]byte, 5))
		if err == nil {
			t.numbers = append(t.numbers, fd)
			if err = t.asks(); err == nil {
				t.held = append(t.held, number(fd))
			}
		}
		return err
	}}, "numbers were returned with an error"},
	{operation{name: "faulty end", sends: hello, call: func(t *subject) error {
		_, err := scm.WriteFD(t.sock, []byte("hello"), t.cargo)
		if err != nil {
			_ = unix.Shutdown(t.sock, unix.SHUT_RDWR)
		}
		return err
	}}, "the call cannot be made afterwards"},
	{operation{name: "faulty number", call: func(t *subject) error {
		err := t.asks()
		if err == nil {
			t.numbers = append(t.numbers, t.sock)
		}
		return err
	}}, "was returned and is not a new number"},
}

func faulty() (operations []operation) {
	for _, f := range faultyOperations {
		operations = append(operations, f.operation)
	}
	return operations
}

// quiet are the functions that make no system call. The error types' methods are
// not among them: they are not given anything to ask about.
var quiet = map[string]func(t *subject){
	"Conn.NetConn":              func(t *subject) { t.conn.NetConn() },
	"Conn.SetUnlinkOnClose":     func(t *subject) { t.conn.SetUnlinkOnClose(true) },
	"Listener.Addr":             func(t *subject) { t.server.Addr() },
	"Listener.SetUnlinkOnClose": func(t *subject) { t.server.SetUnlinkOnClose(true) },
	"Message.Truncated":         func(*subject) { _ = (&scm.Message{}).Truncated() },
	"TruncatedError.Error":      func(*subject) { _ = (&scm.TruncatedError{}).Error() },
	"TruncatedError.Unwrap":     func(*subject) { _ = (&scm.TruncatedError{}).Unwrap() },
	"ExpectError.Error":         func(*subject) { _ = (&scm.ExpectError{}).Error() },
	"ExpectError.Unwrap":        func(*subject) { _ = (&scm.ExpectError{}).Unwrap() },
}

// allQuiet calls them all.
var allQuiet = operation{name: "quiet", setUp: func(t *subject) {
	t.connects()
	withServer(t)
}, call: func(t *subject) error {
	for _, call := range quiet {
		call(t)
	}
	return nil
}}

// sources is where the package is.
const sources = "../.."

// exported are the functions of the package, as this build has them,
// and the methods of its types.
func exported() (names []string) {
	GinkgoHelper()
	pkg, err := build.ImportDir(sources, 0)
	Expect(err).NotTo(HaveOccurred())
	for _, name := range append(pkg.GoFiles, pkg.CgoFiles...) {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(sources, name), nil, 0)
		Expect(err).NotTo(HaveOccurred())
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
		It("finds what is wrong with "+f.name, func() {
			CannotEmulate(fdtest.Traced)
			network := "unixpacket"
			if f.networks != nil {
				network = f.networks[0]
			}
			_, wrong := f.torture(FindStrace(), network, false)
			Expect(wrong).To(ContainElement(ContainSubstring(f.words)))
		})
	}

	It("has every function of the package that makes a system call in its table", func() {
		if _, err := os.Stat(filepath.Join(sources, "scm.go")); err != nil {
			Skip("the sources are not here: " + err.Error())
		}
		var tortured []string
		for _, op := range operations {
			tortured = append(append(tortured, op.function()), op.also...)
		}
		all := exported()
		Expect(len(all)).To(BeNumerically(">", 50))
		for _, name := range all {
			Expect(slices.Contains(tortured, name)).NotTo(Equal(quiet[name] != nil),
				"%s stands in the table of operations or in that of quiet functions, and not in both", name)
		}
		Expect(all).To(ContainElements(slices.Collect(maps.Keys(quiet))))
	})

	It("has only those outside of it that make none", func() {
		CannotEmulate(fdtest.Traced)
		o := allQuiet.play(FindStrace(), "unix", fault{})
		Expect(o.violations(allQuiet)).To(BeEmpty())
		Expect(o.record.calls).To(BeEmpty())
	})
})
