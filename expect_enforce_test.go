//go:build linux

package scm_test

import (
	"os"
	"strconv"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A worker in an empty root has no /proc. An Expect works there, unless it needs the file's name.

var _ = It("in an empty root, Enforce accepts files whose kind needs no name, and cannot examine others", func() {
	cmd := ChildCommand("empty-root", GinkgoT().TempDir())
	if os.Geteuid() != 0 {
		cmd.SysProcAttr = inUserNamespace()
	}
	RunChild(cmd)
})

var _ = Child("empty-root", func(args []string) {
	pipe, eventfd := ok(pipeEnd(0)()), ok(unix.Eventfd(0, unix.EFD_CLOEXEC))
	Expect(unix.Chroot(args[0])).To(Succeed())
	Expect(unix.Chdir("/")).To(Succeed())
	Expect(single(scm.KindPipe).Enforce(copies(pipe))).To(Succeed())
	Expect(single("").Enforce(copies(eventfd))).To(Succeed())
	Expect(single(scm.KindMemfd).Enforce(copies(eventfd))).To(MatchError(HavePrefix("scm: wanted a memfd, got a file of unknown kind (")))
	for _, kind := range []scm.Kind{scm.KindRegular, scm.KindEventfd, scm.KindPIDFD} {
		Expect(single(kind).Enforce(copies(eventfd))).To(And(MatchError(unix.ENOENT),
			MatchError(ContainSubstring("got one that could not be examined: its kind is known only by its name in /proc: "))))
	}
})

// A sender can choose every name in /proc that begins with a slash. It needs no privileges to do so, because it can
// create a user namespace, and in that a mount namespace with a root of its own.

// forgers are how the sender gets a mount namespace, and the file system that it mounts as its root.
var forgers = []struct {
	name   string
	attr   func() *syscall.SysProcAttr
	fstype string
	data   string
}{
	{"any user with a tmpfs", inUserNamespace, "tmpfs", ""},
	{"any user with a tmpfs of huge pages", inUserNamespace, "tmpfs", "huge=always"},
	{"root with a tmpfs", asRoot, "tmpfs", ""},
	{"root with a hugetlbfs", asRoot, "hugetlbfs", ""},
}

// inUserNamespace lets a child act as root in a user namespace of its own. It skips the spec if that is not possible.
func inUserNamespace() *syscall.SysProcAttr {
	GinkgoHelper()
	attr, err := reexec.InUserNamespace()
	if err != nil {
		Skip(err.Error())
	}
	return attr
}

func asRoot() *syscall.SysProcAttr {
	GinkgoHelper()
	fdtest.NeedRoot(GinkgoTB(), "do this outside of a user namespace")
	return &syscall.SysProcAttr{}
}

var _ = Describe("Enforce does not trust the name of a file:", func() {
	for _, forger := range forgers {
		It("a regular file of "+forger.name+" that is named like a memfd does not count as one, and a namespace that is bound to a path is no regular file", func() {
			CannotEmulate("qemu-user creates no namespaces")
			f := connect(unix.SOCK_SEQPACKET)
			cmd := ChildCommand("forger", forger.fstype, forger.data, GinkgoT().TempDir())
			cmd.SysProcAttr = forger.attr()
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNS
			socket := os.NewFile(uintptr(copies(f.a)[0]), "socket")
			cmd.ExtraFiles = []*os.File{socket}
			reason := RunChild(cmd)
			Expect(socket.Close()).To(Succeed())
			if reason != "" {
				Skip(reason)
			}
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 3)}
			Expect(scm.Recv(f.b, &m, unix.MSG_DONTWAIT)).To(Succeed())
			file, namespace, path := m.FDs[0], m.FDs[1], m.FDs[2]
			f.Own(m.FDs...)

			Expect(nameOf(file)).To(Equal("/memfd:plain"))
			Expect(f.rejects(single(scm.KindMemfd), file).Got).To(Equal("a regular file (read-write)"))
			f.rejects(scm.Expect{Min: 1, Max: 1, Kind: scm.KindMemfd, Seals: unix.F_SEAL_SEAL}, file)
			f.accepts(single(scm.KindRegular), file)

			Expect(nameOf(namespace)).To(HavePrefix("/"), "its mount has gone with the sender")
			Expect(f.rejects(single(scm.KindRegular), namespace).Got).To(Equal("a net (read-only)"))
			f.accepts(single("net"), namespace)

			f.rejects(single(scm.KindRegular), path) // opened with O_PATH, it cannot be asked for its kind
		})
	}
})

// nameOf returns the name that /proc shows for a file.
func nameOf(fd int) string {
	GinkgoHelper()
	return ok(os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)))
}

// forger mounts a file system at a directory, which becomes its root, and sends a regular file and a namespace from it.
var _ = Child("forger", func(args []string) {
	dir := args[2] // the spec removes it, which this process may not
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("root", dir, args[0], 0, args[1])
	}
	Expect(os.Chdir(dir)).To(Succeed())
	if err != nil {
		_, _ = os.Stdout.WriteString("the file system cannot be mounted here: " + err.Error())
		return
	}
	Expect(unix.Mknod("namespace", unix.S_IFREG|0o600, 0)).To(Succeed())
	Expect(unix.Mount("/proc/self/ns/net", "namespace", "", unix.MS_BIND, "")).To(Succeed())
	Expect(unix.PivotRoot(".", ".")).To(Succeed())
	Expect(unix.Unmount(".", unix.MNT_DETACH)).To(Succeed())
	var fds []int
	for _, open := range []struct {
		name  string
		flags int
	}{{"/memfd:plain", unix.O_CREAT | unix.O_RDWR}, {"/namespace", unix.O_RDONLY}, {"/namespace", unix.O_PATH}} {
		fds = append(fds, ok(unix.Open(open.name, open.flags|unix.O_CLOEXEC, 0o600)))
	}
	Expect(scm.Send(3, &scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: fds}, 0)).To(Succeed())
})

var _ = It("Enforce accepts a memfd that cannot be sealed as soon as the process can create a memfd to compare it with", func() {
	RunChild(ChildCommand("full-table"))
})

// full-table checks memfds while it cannot create one.
var _ = Child("full-table", func([]string) {
	plain := ok(unix.MemfdCreate("plain", unix.MFD_CLOEXEC))
	sealed := ok(memfd(unix.F_SEAL_SHRINK)())
	inFullTable := func(kind scm.Kind, fd int) (err error) {
		fds := copies(fd)
		fdtest.WithFree(0, func() { err = single(kind).Enforce(fds) })
		return err
	}
	for _, kind := range []scm.Kind{scm.KindMemfd, scm.KindRegular} {
		Expect(inFullTable(kind, plain)).To(And(MatchError(unix.EMFILE), MatchError(HaveSuffix("one that could not be examined: memfd_create: too many open files"))))
	}
	Expect(inFullTable(scm.KindMemfd, sealed)).To(Succeed())
	Expect(inFullTable(scm.KindPipe, plain)).To(MatchError("scm: wanted a pipe, got a possible memfd (read-write)"))
	Expect(single(scm.KindMemfd).Enforce(copies(plain))).To(Succeed())
	Expect(inFullTable(scm.KindMemfd, plain)).To(Succeed(), "the device is known now")
	Expect(inFullTable(scm.KindRegular, plain)).To(MatchError("scm: wanted a regular file, got a memfd (read-write) sealed against more seals"))
})
