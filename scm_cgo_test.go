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

// The calls must accept a buffer anywhere in memory. cgo checks its arguments, and panics if they point to memory that
// contains pointers to Go memory. These specs run with its default check. make proof-release FULL=1 also runs them with
// GOEXPERIMENT=cgocheck2 and with checkptr.

// neighbour is a buffer next to pointers to Go memory.
type neighbour struct {
	before *int
	buf    [16]byte
	m      scm.Message
	fds    [2]int
	after  *neighbour
}

func newNeighbour() *neighbour { return &neighbour{before: new(int), after: new(neighbour)} }

var (
	global        [16]byte
	globalStruct  = *newNeighbour()
	globalPointer = newNeighbour()
)

// collected runs the garbage collector and returns a buffer on the heap.
func collected() []byte {
	runtime.GC()
	return make([]byte, 16)
}

// through sends p with a descriptor and receives both into p, with each pair of calls.
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
	f.receivedSame(m.FDs[:m.NFD], sent)
	f.holdsCount(p)
}

func (f *fixture) holdsCount(p []byte) {
	GinkgoHelper()
	for i := range p {
		Expect(p[i]).To(BeEquivalentTo(i))
	}
}

// passing begins the names of the specs that use through.
const passing = "WriteFD, ReadFD, Send and Recv accept "

var _ = DescribeTableSubtree("on", Label("memory"), func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It(passing+"a buffer on the stack, alone or in a struct that also holds pointers", func() {
		var p [16]byte
		f.through(p[:])
		s := neighbour{before: new(int), after: new(neighbour)}
		f.through(s.buf[:])
	})

	It("WriteFD and ReadFD accept buffers on a stack that has just grown", func() {
		var deep func(n int)
		deep = func(n int) {
			var p [1024]byte
			if n > 0 {
				deep(n - 1)
			}
			p[0] = byte(n)
			Expect(scm.WriteFD(f.a, p[:16], f.a)).To(Equal(16))
			n2, fd := both(scm.ReadFD(f.b, p[16:32]))
			f.Own(fd)
			Expect(n2).To(Equal(16))
			Expect(p[16]).To(Equal(byte(n)))
		}
		start(func() { deep(64) })()
	})

	for _, place := range []struct {
		where  string
		buffer func() []byte
	}{
		{"in a global variable", func() []byte { return global[:] }},
		{"in a global struct that also holds pointers", func() []byte { return globalStruct.buf[:] }},
		{"in a struct on the heap that also holds pointers", func() []byte { return newNeighbour().buf[:] }},
		{"in a slice of structs that also hold pointers", func() []byte { return []neighbour{{}, *newNeighbour()}[1].buf[15:] }},
		{"in a struct whose pointer is stored as an interface value in a map", func() []byte { return map[int]any{1: globalPointer}[1].(*neighbour).buf[3:9] }},
		{"on the heap, right after a garbage collection", collected},
	} {
		It(passing+"a buffer "+place.where, func() {
			for range 3 {
				f.through(place.buffer())
			}
		})
	}

	It(passing+"a buffer that Go did not allocate", func() {
		p := ok(unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON))
		defer func() { Expect(unix.Munmap(p)).To(Succeed()) }()
		f.through(p[4096-16:])
	})

	It(passing+"nil and empty buffers", func() {
		s := newNeighbour()
		for _, p := range [][]byte{nil, {}, s.buf[:0], s.buf[16:], make([]byte, 0, 8)} {
			if typ != unix.SOCK_STREAM {
				f.through(p)
				continue
			}
			Expect(scm.WriteFD(f.a, p, f.a)).To(Equal(0))
			Expect(scm.Send(f.a, &scm.Message{Buffers: [][]byte{p, p}, FDs: []int{f.a}}, 0)).To(Succeed())
			isEmpty(f.b)
		}
	})

	for _, n := range []int{8, 9, 100} {
		It(fmt.Sprintf("Send and Recv accept %d buffers in different kinds of memory", n), func() {
			var stack [16]byte
			places := [][]byte{stack[:], global[:], globalPointer.buf[:], make([]byte, 16), newNeighbour().buf[:]}
			for _, p := range places {
				for i := range p {
					p[i] = byte(i)
				}
			}
			out := scm.Message{FDs: []int{f.file()}}
			in := scm.Message{FDs: make([]int, 1)}
			for i := range n {
				out.Buffers = append(out.Buffers, places[i%len(places)])
				in.Buffers = append(in.Buffers, nil, make([]byte, 16))
			}
			Expect(scm.Send(f.a, &out, 0)).To(Succeed())
			Expect(out.N).To(Equal(16 * n))
			Expect(scm.Recv(f.b, &in, 0)).To(Succeed())
			f.receivedSame(in.FDs[:in.NFD], out.FDs...)
			Expect(in.N).To(Equal(16 * n))
			for _, p := range in.Buffers {
				f.holdsCount(p)
			}
			runtime.KeepAlive(out)
		})
	}

	It("Send and Recv accept a Message and descriptors in a struct that also holds pointers", func() {
		sent := f.files(2)
		for _, s := range []*neighbour{newNeighbour(), &globalStruct} {
			s.fds = [2]int(sent)
			s.m = scm.Message{Buffers: [][]byte{s.buf[:]}, FDs: s.fds[:]}
			Expect(scm.Send(f.a, &s.m, 0)).To(Succeed())
			Expect(scm.Recv(f.b, &s.m, 0)).To(Succeed())
			f.receivedSame(s.m.FDs[:s.m.NFD], sent...)
		}
	})
}, everyType)
