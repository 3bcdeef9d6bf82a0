//go:build linux

package scm_test

import (
	"fmt"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// Where a buffer lies must make no difference. cgo looks at what it is given,
// and panics at memory that holds pointers to Go memory; these specs run with
// its default check, and internal/repotest runs them with GOEXPERIMENT=cgocheck2
// and with checkptr.

// neighbour is a buffer that lies beside pointers to Go memory.
type neighbour struct {
	before *int
	buf    [16]byte
	fds    [2]int
	after  *neighbour
}

var (
	global        [16]byte
	globalPointer = &neighbour{before: new(int), after: new(neighbour)}
	globalMessage scm.Message
	globalNumbers [2]int
	globalStruct  = neighbour{before: new(int), after: new(neighbour)}
)

// through passes p and a descriptor from a buffer to itself, by both kinds of call.
func (f *fixture) through(p []byte) {
	GinkgoHelper()
	for i := range p {
		p[i] = byte(i)
	}
	sent := f.file()
	Expect(scm.WriteFD(f.a, p, sent)).To(Equal(len(p)))
	clear(p)
	f.readsFD(p, len(p), sent)
	f.holdsCount(p)

	m := scm.Message{Buffers: [][]byte{p}, FDs: []int{sent}}
	Expect(scm.Send(f.a, &m, 0)).To(Succeed())
	clear(p)
	Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
	Expect(m.N).To(Equal(len(p)))
	f.takes(m.FDs[:m.NFD], sent)
	f.holdsCount(p)
}

func (f *fixture) holdsCount(p []byte) {
	GinkgoHelper()
	for i := range p {
		Expect(p[i]).To(BeEquivalentTo(i))
	}
}

var _ = DescribeTableSubtree("memory", Label("memory"), func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("on the stack", func() {
		var p [16]byte
		f.through(p[:])
	})

	It("on a stack that has just grown", func() {
		var deep func(n int)
		deep = func(n int) {
			var p [1024]byte
			if n > 0 {
				deep(n - 1)
			}
			p[0] = byte(n)
			Expect(scm.WriteFD(f.a, p[:16], f.a)).To(Equal(16))
			n2, fd, err := scm.ReadFD(f.b, p[16:32])
			Expect(err).NotTo(HaveOccurred())
			f.Own(fd)
			Expect(n2).To(Equal(16))
			Expect(p[16]).To(Equal(byte(n)))
		}
		done := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(done)
			deep(64)
		}()
		<-done
	})

	It("on the heap, while the collector runs", func() {
		for range 3 {
			f.through(make([]byte, 16))
			runtime.GC()
		}
	})

	It("global", func() { f.through(global[:]) })

	It("in a struct beside pointers, on the stack", func() {
		s := neighbour{before: new(int), after: new(neighbour)}
		f.through(s.buf[:])
	})

	It("in a struct beside pointers, on the heap", func() {
		s := &neighbour{before: new(int), after: new(neighbour)}
		f.through(s.buf[:])
		runtime.KeepAlive(s)
	})

	It("in a struct beside pointers, global", func() {
		f.through(globalPointer.buf[:])
		f.through(globalStruct.buf[:])
	})

	It("in a map's value, an interface, and a slice of structs beside pointers", func() {
		many := []neighbour{{before: new(int)}, {before: new(int)}}
		f.through(many[1].buf[:])
		boxed := any(&many[0]).(*neighbour)
		f.through(boxed.buf[3:9])
		byName := map[string]*neighbour{"x": boxed}
		f.through(byName["x"].buf[15:])
	})

	It("outside Go", func() {
		p, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		Expect(err).NotTo(HaveOccurred())
		defer func() { Expect(unix.Munmap(p)).To(Succeed()) }()
		f.through(p[4096-16:])
	})

	It("nil and empty", func() {
		s := &neighbour{before: new(int), after: new(neighbour)}
		for _, p := range [][]byte{nil, {}, s.buf[:0], s.buf[16:], make([]byte, 0, 8)} {
			sent := f.file()
			Expect(scm.WriteFD(f.a, p, sent)).To(Equal(0))
			m := scm.Message{Buffers: [][]byte{p, p}, FDs: []int{sent}}
			Expect(scm.Send(f.a, &m, 0)).To(Succeed())
			if typ == unix.SOCK_STREAM {
				isEmpty(f.b)
				continue
			}
			f.readsFD(p, 0, sent)
			Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
			f.takes(m.FDs[:m.NFD], sent)
		}
	})

	for _, n := range []int{8, 9, 100} {
		It(fmt.Sprintf("of %d buffers, each elsewhere", n), func() {
			var stack [16]byte
			places := [][]byte{stack[:], global[:], globalPointer.buf[:], make([]byte, 16), (&neighbour{before: new(int)}).buf[:]}
			out := scm.Message{FDs: []int{f.file()}}
			in := scm.Message{FDs: make([]int, 1)}
			for i := range n {
				place := places[i%len(places)]
				out.Buffers = append(out.Buffers, place)
				in.Buffers = append(in.Buffers, make([]byte, 16), nil)
			}
			in.Buffers = in.Buffers[:2*n-1]
			for i := range stack {
				for _, p := range places {
					p[i] = byte(i)
				}
			}
			Expect(scm.Send(f.a, &out, 0)).To(Succeed())
			Expect(out.N).To(Equal(16 * n))
			Expect(scm.Recv(f.b, &in, 0)).To(Succeed())
			f.takes(in.FDs[:in.NFD], out.FDs...)
			Expect(in.N).To(Equal(16 * n))
			for i := range n {
				f.holdsCount(in.Buffers[2*i])
			}
			runtime.KeepAlive(out)
		})
	}

	It("of the numbers and of the message, beside pointers", func() {
		s := &neighbour{before: new(int), after: new(neighbour)}
		s.fds = [2]int{f.file(), f.file()}
		sent := []int{s.fds[0], s.fds[1]}
		holder := &struct {
			before *int
			m      scm.Message
			after  *neighbour
		}{new(int), scm.Message{Buffers: [][]byte{s.buf[:]}, FDs: s.fds[:]}, s}
		Expect(scm.Send(f.a, &holder.m, 0)).To(Succeed())
		Expect(scm.Recv(f.b, &holder.m, 0)).To(Succeed())
		f.takes(holder.m.FDs[:holder.m.NFD], sent...)

		globalNumbers = [2]int{sent[0], sent[1]}
		globalMessage = scm.Message{Buffers: [][]byte{global[:]}, FDs: globalNumbers[:]}
		Expect(scm.Send(f.a, &globalMessage, 0)).To(Succeed())
		Expect(scm.Recv(f.b, &globalMessage, 0)).To(Succeed())
		f.takes(globalMessage.FDs[:globalMessage.NFD], sent...)
	})
}, everyType)
