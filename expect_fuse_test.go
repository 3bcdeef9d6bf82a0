//go:build linux

package scm_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
)

// A partner can pass a file of a file system that it serves itself, and then
// not answer. This is such a one, in the form of linux/fuse.h: a folder with one
// file in it. It writes down what it is asked for, and nothing that it says may
// be kept by the kernel.

const (
	fuseLookup  = 1
	fuseGetattr = 3
	fuseOpen    = 14
	fuseRead    = 15
	fuseFlush   = 25
	fuseInit    = 26
	fusePoll    = 40
)

type fuseServer struct {
	mu      sync.Mutex
	asked   []uint32
	silent  uint32        // the request that is not answered until release
	waiting chan struct{} // has one for each of these
	release func()
	free    chan struct{}
}

// serveFuse mounts a file system on the folder, for as long as the spec runs. The
// server does not answer requests of the kind silent, until it is released.
func serveFuse(dir string, silent uint32) *fuseServer {
	GinkgoHelper()
	if bigEndian() {
		cannotEmulate(fdtest.HostByteOrder)
	}
	if os.Geteuid() != 0 {
		Skip("only root can mount FUSE")
	}
	if onGVisor() {
		Skip("gVisor's FUSE asks for more than this server knows")
	}
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		Skip("there is no FUSE here: " + err.Error())
	}
	err = unix.Mount("scm", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev))
	if err != nil {
		_ = unix.Close(dev)
		Skip("FUSE cannot be mounted here: " + err.Error())
	}
	s, done := &fuseServer{silent: silent, waiting: make(chan struct{}, 100), free: make(chan struct{})}, make(chan struct{})
	s.release = sync.OnceFunc(func() { close(s.free) })
	go func() {
		defer close(done)
		s.serve(dev)
	}()
	DeferCleanup(func() {
		s.release()
		// By force: the server learns of the end even if a file is still open.
		Expect(unix.Unmount(dir, unix.MNT_DETACH|unix.MNT_FORCE)).To(Succeed())
		<-done
		Expect(unix.Close(dev)).To(Succeed())
	})
	return s
}

// serve answers until the file system is unmounted.
func (s *fuseServer) serve(dev int) {
	order := binary.NativeEndian
	buf := make([]byte, 1<<17)
	var late sync.WaitGroup
	defer late.Wait()
	for {
		n, err := unix.Read(dev, buf)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil {
			return
		}
		opcode, unique := order.Uint32(buf[4:n]), order.Uint64(buf[8:n])
		s.mu.Lock()
		s.asked = append(s.asked, opcode)
		s.mu.Unlock()
		body, errno := fuseAnswer(opcode, order.Uint64(buf[16:n]))
		out := order.AppendUint32(nil, uint32(16+len(body)))
		out = order.AppendUint32(out, uint32(-int32(errno)))
		out = append(order.AppendUint64(out, unique), body...)
		if opcode != s.silent {
			_, _ = unix.Write(dev, out)
			continue
		}
		s.waiting <- struct{}{}
		late.Add(1)
		go func() {
			defer late.Done()
			<-s.free
			_, _ = unix.Write(dev, out)
		}()
	}
}

func fuseAnswer(opcode uint32, node uint64) (body []byte, errno unix.Errno) {
	const root, file = 1, 2
	words := func(values ...uint32) (b []byte) {
		for _, v := range values {
			b = binary.NativeEndian.AppendUint32(b, v)
		}
		return b
	}
	attr := func(node uint64) []byte {
		mode := uint32(unix.S_IFREG | 0o600)
		if node == root {
			mode = unix.S_IFDIR | 0o700
		}
		b := make([]byte, 48+12) // number, size, blocks and times
		binary.NativeEndian.PutUint64(b, node)
		binary.NativeEndian.PutUint64(b[8:], 1)
		return append(b, words(mode, 1, 0, 0, 0, 512, 0)...)
	}
	switch opcode {
	case fuseInit:
		return append(words(7, 31, 0, 0, 0, 4096), make([]byte, 40)...), 0
	case fuseLookup: // a node, and that it is valid for no time
		return append(words(file, 0, 0, 0, 0, 0, 0, 0, 0, 0), attr(file)...), 0
	case fuseGetattr:
		return append(words(0, 0, 0, 0), attr(node)...), 0
	case fuseOpen:
		return make([]byte, 16), 0
	}
	return nil, unix.ENOSYS // FLUSH is then not asked for again
}

// seen are the requests since the last call.
func (s *fuseServer) seen() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

var _ = Describe("Expect of a file that a partner serves", func() {
	It("asks the kernel and not the partner", func() {
		dir := GinkgoT().TempDir()
		server := serveFuse(dir, 0)
		f := connect(unix.SOCK_STREAM)
		open := func(flags int) int {
			fd, err := unix.Open(dir+"/file", flags|unix.O_CLOEXEC, 0)
			Expect(err).NotTo(HaveOccurred())
			f.Own(fd)
			return fd
		}
		// The kernel learns that FLUSH is not served.
		fd := open(unix.O_RDWR)
		copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Close(copied)).To(Succeed())
		byPath := open(unix.O_PATH)
		Expect(server.seen()).To(ContainElements(BeEquivalentTo(fuseOpen), BeEquivalentTo(fuseFlush)))

		for _, fd := range []int{fd, byPath} {
			for _, kind := range kinds() {
				got := copies(fd)
				server.seen()
				err := single(kind).Check(got)
				Expect(server.seen()).To(BeEmpty(), "requests, of which %d is GETATTR", fuseGetattr)
				if kind == "regular" {
					Expect(err).NotTo(HaveOccurred())
					Expect(unix.Close(got[0])).To(Succeed())
				} else {
					Expect(err).To(HaveOccurred())
				}
			}

			var st unix.Stat_t
			Expect(unix.Fstat(fd, &st)).To(Succeed())
			Expect(server.seen()).To(ConsistOf(BeEquivalentTo(fuseGetattr)), "what fstat asks for")
		}
		Expect(scm.Expect{Min: 1, Max: 1, Kind: "memfd"}.Check(copies(fd))).To(MatchError(
			"scm: wanted a memfd, got a regular file (read-write)"))
	})
})
