//go:build linux && !purego

package repotest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
)

// The tests of the tests: a fault is put into the sources of a backend by
// go test -overlay, and the spec named beside it has to go red. Without the
// fault the same spec is green. SCM_MUTANTS=full runs them all.

// mutant is a fault: old becomes new at each of its edits, and spec is the one
// to notice.
type mutant struct {
	name  string
	spec  string
	edits []edit
	often bool // also run without SCM_MUTANTS=full
}

// edit changes the one place in a file where old is.
type edit struct{ file, old, new string }

const pureGo = "internal/pure/pure_linux.go"

var cgoMutants = []mutant{
	{"read_fd does not ask for close-on-exec",
		"close-on-exec stream a child does not inherit what was received",
		[]edit{{"csrc/read_fd.c", "scm_recvmsg(fd, &msg, SCM_CLOEXEC)", "scm_recvmsg(fd, &msg, 0)"}}, true},
	{"scm_rights_recv does not ask for close-on-exec",
		"close-on-exec stream a child does not inherit what was received",
		[]edit{{"csrc/recv.c", "flags | SCM_CLOEXEC)", "flags)"}}, false},
	{"close-on-exec is set twice over",
		"system calls of ReadFD of one are these and no others",
		[]edit{{"csrc/take_fds.c", "#ifndef MSG_CMSG_CLOEXEC", "#ifdef MSG_CMSG_CLOEXEC"}}, false},
	{"what is too much is not closed",
		"the pair stream closes both of two descriptors that came in the padding of its room",
		[]edit{{"csrc/take_fds.c", "\t\t\tif (fd >= 0)\n\t\t\t\tscm_close_kept(fd);\n", ""}}, true},
	{"what a failed receive installed is not closed",
		"a receive whose buffer the kernel cannot write stream is EFAULT from Recv, which leaves nothing open",
		[]edit{{"csrc/drop.c", "\tscm_take(&none, 0, msg);\n", "\t(void)msg;\n"}}, false},
	{"the first of two is not closed",
		"the law of descriptors dgram holds for ReadFD of two",
		[]edit{{"csrc/read_fd.c", "\t\tif (m.nfds == 1)\n\t\t\tscm_close_kept(one);\n", ""}}, false},
	{"what is too much is closed twice",
		"system calls of ReadFD of two are these and no others",
		[]edit{{"csrc/close_kept.c", "\t(void)syscall(SYS_close, fd);\n", "\t(void)syscall(SYS_close, fd);\n\t(void)syscall(SYS_close, fd);\n"}}, false},
	{"what was sent is closed",
		"the pair seqpacket passes bytes and a descriptor",
		[]edit{{"csrc/write_fd.c", "\treturn scm_sendmsg(fd, &msg, 0);", "\tssize_t n = scm_sendmsg(fd, &msg, 0);\n\tclose(sendfd);\n\treturn n;"}}, false},
	{"cmsg_len counts the padding",
		"a message stream carries 3 descriptors in order",
		[]edit{{"csrc/put.c", "(scm_len)CMSG_LEN(", "(scm_len)CMSG_SPACE("}}, true},
	{"msg_controllen leaves the padding out",
		"system calls of WriteFD are these and no others",
		[]edit{{"csrc/put.c", "msg->msg_controllen + CMSG_SPACE(", "msg->msg_controllen + CMSG_LEN("}}, false},
	{"the room of a receive counts the padding",
		"system calls of Recv of two with room for one are these and no others",
		[]edit{{"csrc/prepare_recv.c", "room += CMSG_LEN(sizeof(int) * m->nfds)", "room += CMSG_SPACE(sizeof(int) * m->nfds)"}}, false},
	{"the room of read_fd is exact",
		"system calls of ReadFD of two are these and no others",
		[]edit{{"csrc/read_fd.c", "msg.msg_controllen = sizeof(control);", "msg.msg_controllen = CMSG_LEN(sizeof(int));"}}, false},
	{"a stale number is returned where none came",
		"the pair stream says that bytes came alone",
		[]edit{{"csrc/read_fd.c", "\t*recvfd = SCM_FD_NONE;\n", ""}}, true},
	{"MSG_CTRUNC is not read",
		"the pair stream closes what came of more than its room",
		[]edit{
			{"csrc/read_fd.c", "(m.flags & MSG_CTRUNC) != 0", "m.nfds > 1"},
		}, false},
	{"MSG_CTRUNC is not set for what was closed",
		"SO_PASSPIDFD dgram brings Recv a pidfd, which it closes, and says MSG_CTRUNC",
		[]edit{{"csrc/take_fds.c", "\t\t\tmsg->msg_flags |= MSG_CTRUNC;\n", ""}}, false},
	{"only the first control message is read",
		"SO_PASSCRED stream leaves the descriptors alone where there is room for both",
		[]edit{{"csrc/take.c", "if (step >= left)", "if (step > 0)"}}, false},
	{"a pidfd is left open",
		"SO_PASSPIDFD stream brings ReadFD a pidfd, which it closes",
		[]edit{{"csrc/take.c", "cmsg->cmsg_type == SCM_PIDFD", "cmsg->cmsg_type == -1"}}, false},
	{"a pidfd is handed over",
		"SO_PASSPIDFD stream brings Recv a pidfd, which it closes, and says MSG_CTRUNC",
		[]edit{{"csrc/take.c", "scm_take_fds(m, m->nfds, msg", "scm_take_fds(m, room, msg"}}, false},
	{"MSG_CMSG_CLOEXEC is told",
		"flags dgram MSG_CMSG_CLOEXEC: is always set and never told",
		[]edit{{"csrc/take.c", "msg->msg_flags & ~SCM_CLOEXEC", "msg->msg_flags"}}, false},
	{"the caller's flags are dropped",
		"flags stream MSG_PEEK: each one brings fresh duplicates, and leaves the message",
		[]edit{{"csrc/recv.c", "flags | SCM_CLOEXEC", "SCM_CLOEXEC"}}, false},
	{"the socket is asked first",
		"system calls of WriteFD are these and no others",
		[]edit{{"csrc/write_fd.c", "\treturn scm_sendmsg", "\tint type;\n\tsocklen_t len = sizeof(type);\n\t(void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);\n\treturn scm_sendmsg"}}, false},
	{"many buffers are filled one too far",
		"a message stream gathers and scatters buffers of which there are 9, from one",
		[]edit{{"csrc/scm_rights_cgo.h", "iov[i].iov_base = p[i];\n\t\tiov[i].iov_len = len[i];\n\t}\n\tif", "iov[i].iov_base = p[i] + (p[i] != NULL);\n\t\tiov[i].iov_len = len[i];\n\t}\n\tif"}}, false},
	{"many buffers are filled from the same place",
		"a message stream gathers and scatters buffers of which there are 9, from one",
		[]edit{{"csrc/many.go", "if len(b) > 0 {\n\t\t\t\tat.p[i] = base(b)", "if len(b) > 0 {\n\t\t\t\tat.p[i] = base(ms[j].Buffers[0])"}}, false},
	{"payloads are void pointers",
		"memory stream in a struct beside pointers, on the heap",
		[]edit{
			{"csrc/scm_rights_cgo.h", "scm_cgo_write_fd(int sock, const char *p,", "scm_cgo_write_fd(int sock, const void *p,"},
			{"csrc/csrc.go", "C.int(sock), base(p), C.size_t(len(p)), C.int(fd)", "C.int(sock), unsafe.Pointer(unsafe.SliceData(p)), C.size_t(len(p)), C.int(fd)"},
		}, false},
	{"a message takes memory from the heap",
		"no allocation stream in messages of 2 buffers on the stack",
		[]edit{{"csrc/csrc.go", "#cgo noescape scm_cgo_args\n", ""}}, false},
}

var goMutants = []mutant{
	{"ReadFD does not ask for close-on-exec",
		"close-on-exec stream a child does not inherit what was received",
		[]edit{{pureGo, "recvmsg(sock, &hdr, cmsgCloexec)", "recvmsg(sock, &hdr, 0)"}}, true},
	{"Recv does not ask for close-on-exec",
		"close-on-exec stream a child does not inherit what was received",
		[]edit{{pureGo, "flags|cmsgCloexec)", "flags)"}}, false},
	{"what is too much is not closed",
		"the pair stream closes both of two descriptors that came in the padding of its room",
		[]edit{{"internal/pure/control.go", "\t\t\t\tcloseFD(fd)\n", ""}}, true},
	{"what a failed receive installed is not closed",
		"a receive whose buffer the kernel cannot write stream is EFAULT from Recv, which leaves nothing open",
		[]edit{{"internal/pure/control.go", "\ttakeControl(buf, &msg.Message{})\n", ""}}, false},
	{"the first of two is not closed",
		"the law of descriptors dgram holds for ReadFD of two",
		[]edit{{"internal/pure/pair.go", "\t\t\tcloseFD(m.FDs[0])\n", ""}}, false},
	{"what is too much is closed twice",
		"system calls of ReadFD of two are these and no others",
		[]edit{{"internal/pure/control.go", "\t_ = unix.Close(int(fd))\n", "\t_ = unix.Close(int(fd))\n\t_ = unix.Close(int(fd))\n"}}, false},
	{"what was sent is closed",
		"the pair seqpacket passes bytes and a descriptor",
		[]edit{{pureGo, "\treturn sendmsg(sock, &hdr, 0)", "\tdefer closeFD(fd)\n\treturn sendmsg(sock, &hdr, 0)"}}, false},
	{"cmsg_len counts the padding",
		"a message stream carries 3 descriptors in order",
		[]edit{{"internal/pure/control.go", "h.SetLen(unix.CmsgLen(size))", "h.SetLen(unix.CmsgSpace(size))"}}, true},
	{"msg_controllen leaves the padding out",
		"system calls of Send are these and no others",
		[]edit{{"internal/pure/control.go", "buf[unix.CmsgLen(0):], unix.CmsgSpace(size)", "buf[unix.CmsgLen(0):], unix.CmsgLen(size)"}}, false},
	{"the room of a receive counts the padding",
		"system calls of Recv of two with room for one are these and no others",
		[]edit{{pureGo, "room += unix.CmsgLen(4 * len(m.FDs))", "room += unix.CmsgSpace(4 * len(m.FDs))"}}, false},
	{"a stale number is returned where none came",
		"the pair stream says that bytes came alone",
		[]edit{{"internal/pure/pair.go", "\t\treturn -1\n", "\t\treturn m.FDs[0]\n"}}, true},
	{"MSG_CTRUNC is not read",
		"the pair stream closes what came of more than its room",
		[]edit{
			{"internal/pure/pair.go", "case m.Flags&unix.MSG_CTRUNC != 0:", "case m.Flags&unix.MSG_CTRUNC != 0 && m.NFD > 1:"},
		}, false},
	{"MSG_CTRUNC is not set for what was closed",
		"SO_PASSPIDFD dgram brings Recv a pidfd, which it closes, and says MSG_CTRUNC",
		[]edit{{"internal/pure/control.go", "\t\t\tm.Flags |= unix.MSG_CTRUNC\n", ""}}, false},
	{"only the first control message is read",
		"SO_PASSCRED stream leaves the descriptors alone where there is room for both",
		[]edit{{"internal/pure/control.go", "\t\tbuf = buf[next:]\n", "\t\tbuf = nil\n"}}, false},
	{"a pidfd is left open",
		"SO_PASSPIDFD stream brings ReadFD a pidfd, which it closes",
		[]edit{{"internal/pure/credentials_linux.go", "= unix.SCM_PIDFD", "= -1"}}, false},
	{"MSG_CMSG_CLOEXEC is told",
		"flags dgram MSG_CMSG_CLOEXEC: is always set and never told",
		[]edit{{pureGo, "\tm.Flags &^= cmsgCloexec\n", ""}}, false},
	{"the caller's flags are dropped",
		"flags stream MSG_PEEK: each one brings fresh duplicates, and leaves the message",
		[]edit{{pureGo, "flags|cmsgCloexec)", "cmsgCloexec)"}}, false},
	{"the socket is asked first",
		"system calls of Send are these and no others",
		[]edit{{pureGo, "\tif len(m.FDs) > 0 || m.Cred != nil {\n\t\tvar", "\t_, _ = unix.GetsockoptInt(int(sock), unix.SOL_SOCKET, unix.SO_TYPE)\n\tif len(m.FDs) > 0 || m.Cred != nil {\n\t\tvar"}}, false},
	{"a negative descriptor is taken for none",
		"errors stream a descriptor that is not open is EBADF, and nothing is sent",
		[]edit{{pureGo, "\thdr.SetControllen(pairControl)\n\treturn sendmsg", "\thdr.SetControllen(pairControl)\n\tif fd < 0 {\n\t\thdr.SetControllen(0)\n\t}\n\treturn sendmsg"}}, false},
}

// Faults in the file that both backends share.
var sharedMutants = []mutant{
	{"the limit on descriptors is one too low",
		"a message stream carries 253 descriptors in order",
		[]edit{{"message.go", "len(m.FDs) > MaxFDs", "len(m.FDs) >= MaxFDs"}}, false},
	{"the limit on descriptors comes after the system call",
		"limits stream room for 254 descriptors is ErrTooManyFDs before any system call, and nothing is lost",
		[]edit{{"message.go", "\tm.nothing()\n\tif err := checkLimits(m); err != nil {\n", "\tm.nothing()\n\tif err := checkLimits(m); err != nil {\n\t\t_ = recvOne(number(sock), &msg.Message{Buffers: m.Buffers}, flags)\n"}}, false},
	{"the limit on buffers is not there",
		"limits stream 1025 buffers are ErrTooManyBuffers before any system call",
		[]edit{{"message.go", "len(m.Buffers) > MaxBuffers", "false"}}, false},
	{"numbers lose their upper half",
		"errors stream a number outside int32 is nobody's, whatever its lower half",
		[]edit{{"scm.go", "if fd < math.MinInt32 || fd > math.MaxInt32 {", "if fd == math.MinInt {"}}, false},
	{"results are kept after an error",
		"a message stream says at each receive what happened at this one",
		[]edit{{"message.go", "\tm.N, m.NFD, m.Flags = 0, 0, 0\n\tif m.Addr", "\tif m.Addr"}}, false},
	{"a truncated receipt is no error",
		"the pair stream closes what came of more than its room",
		[]edit{{"scm.go", "return n, -1, &TruncatedError{N: n}", "return n, -1, nil"}}, false},
	{"the errno is not kept",
		"errors stream what is no socket is ENOTSOCK",
		[]edit{{"scm.go", "return -1, -1, os.NewSyscallError(\"recvmsg\", err)", "return -1, -1, errors.New(\"recvmsg failed\")"}}, false},
	{"what is no connection is left open",
		"torture leaves nothing and loses nothing in Conn.RecvConn of what is none",
		[]edit{{"handover.go", "listens); err != nil {\n\t\t\tsys.Close(fd)\n", "listens); err != nil {\n"}}, false},
	{"a socket that could not connect is left open",
		"torture leaves nothing and loses nothing in Dial",
		[]edit{{"dial.go", "\tif err != nil {\n\t\tsys.Close(fd)\n", "\tif err != nil {\n"}}, false},
	{"a Conn's call is not repeated after a signal",
		"torture leaves nothing and loses nothing in Conn.Write",
		[]edit{{"conn_call.go", "\t\tcase sys.Interrupted(k.err):\n\t\tcase !sys.Again", "\t\tcase !sys.Again"}}, false},
	{"a number is taken over where the call fails",
		"torture leaves nothing and loses nothing in NewConnFD",
		[]edit{{"config.go", "\tconn, err := config.duplicate(int(number(fd)))\n\tif err != nil {\n", "\tconn, err := config.duplicate(int(number(fd)))\n\tif err != nil {\n\t\tsys.Close(fd)\n"}}, false},
	{"what came of a message that was cut is left open",
		"soak ends with what it began with, and every file arrived once or was dropped by the kernel",
		[]edit{{"conn_files.go", "\t\tk.closeReceived()\n\t\treturn n, nil, &TruncatedError", "\t\treturn n, nil, &TruncatedError"}}, false},
	{"descriptors are returned in another order",
		"a message stream carries 2 descriptors in order",
		[]edit{{"message.go", "\t\tm.FDs[i] = int(fd)\n", "\t\tm.FDs[in.NFD-1-i] = int(fd)\n"}}, false},
}

// apply returns the files of a mutant with its fault in them.
func (m mutant) apply() map[string]string {
	GinkgoHelper()
	contents := map[string]string{}
	for _, e := range m.edits {
		if contents[e.file] == "" {
			text, err := os.ReadFile(e.file)
			Expect(err).NotTo(HaveOccurred())
			contents[e.file] = string(text)
		}
		Expect(strings.Count(contents[e.file], e.old)).To(Equal(1), "%q in %s: where is the mutant to go?", e.old, e.file)
		contents[e.file] = strings.Replace(contents[e.file], e.old, e.new, 1)
	}
	return contents
}

// focus are the flags that choose specs by their whole names, which Ginkgo
// puts behind the suite's.
func focus(names ...string) []string {
	var flags []string
	for _, name := range names {
		flags = append(flags, "--ginkgo.focus=scm over [a-z]+ "+regexp.QuoteMeta(name)+"$")
	}
	return flags
}

// suites are the packages of specs that notice mutants, by the first word of a spec's
// name; all others are the root's.
var suites = map[string]string{"torture": "./internal/torture", "soak": "./internal/soak"}

// suite is the package with the mutant's spec.
func (m mutant) suite() string {
	first, _, _ := strings.Cut(m.spec, " ")
	if pkg, ok := suites[first]; ok {
		return pkg
	}
	return "."
}

var _ = Describe("mutants", Label("mutants"), func() {
	for _, backend := range []struct {
		name    string
		tags    string
		mutants []mutant
	}{
		{"cgo", "", append(cgoMutants, sharedMutants...)},
		{"purego", "purego", append(goMutants, sharedMutants...)},
	} {
		Describe("of "+backend.name, Ordered, ContinueOnFailure, func() {
			full := os.Getenv("SCM_MUTANTS") == "full"
			healthy := map[string]types.SpecReport{}

			BeforeAll(func() {
				if backend.name == "cgo" {
					needsCompiler()
				}
				names := map[string][]string{}
				for _, m := range backend.mutants {
					names[m.suite()] = append(names[m.suite()], m.spec)
				}
				for pkg, names := range names {
					bin := filepath.Join(GinkgoT().TempDir(), "healthy.test")
					goTool{}.must("test", "-c", "-o", bin, "-tags", backend.tags, pkg)
					for _, s := range runSuite(bin, nil, focus(names...)...) {
						healthy[s.FullText()] = s
					}
				}
			})

			It("are not needed for the specs to be green", func() {
				Expect(healthy).NotTo(BeEmpty())
				for name, s := range healthy {
					Expect(s.State).To(BeElementOf(types.SpecStatePassed, types.SpecStateSkipped), name)
				}
			})

			// Without this, a mutant that cannot be put in is found only by SCM_MUTANTS=full.
			It("have a place in the sources and a spec to notice them", func() {
				for _, m := range backend.mutants {
					m.apply()
					Expect(healthy).To(HaveKey(m.spec), m.name)
				}
			})

			for _, m := range backend.mutants {
				if !full && !m.often {
					continue
				}
				It(fmt.Sprintf("%s: %q goes red", m.name, m.spec), func() {
					was, ok := healthy[m.spec]
					Expect(ok).To(BeTrue(), "there is no such spec")
					if was.State == types.SpecStateSkipped {
						Skip("the spec that would notice cannot run here: " + was.FailureMessage())
					}
					bin := filepath.Join(GinkgoT().TempDir(), "mutant.test")
					goTool{}.must("test", "-c", "-o", bin, "-vet=off", "-overlay", overlay(m.apply()), "-tags", backend.tags, m.suite())
					specs := runSuite(bin, nil, focus(m.spec)...)
					Expect(specs).To(HaveLen(1))
					Expect(specs[0].FullText()).To(Equal(m.spec))
					Expect(specs[0].State).To(BeElementOf(types.SpecStateFailed, types.SpecStatePanicked), "the mutant was not noticed")
				})
			}
		})
	}
})
