//go:build cgo && linux

package difftest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	put "github.com/scm-rights/scm/internal/mutant"
)

// A mutant is a fault in the sources of one backend. The walk has to find it,
// and say what is different in words that begin so. What is not in the list
// because no caller and no table shows it (a padding byte, a close of a number
// that is closed) is for the recorder of system calls.
type mutant struct {
	name      string
	file      string
	old, new  string
	different string
	often     bool // also without SCM_MUTANTS=full
}

const (
	closesNot = "numbers that were opened: "
	control   = "internal/pure/control.go"
	pureLinux = "internal/pure/pure_linux.go"
)

var mutants = []mutant{
	{"csrc leaves open what is too much", "csrc/take_fds.c",
		"\t\t\tif (fd >= 0)\n\t\t\t\tscm_close_kept(fd);\n", "", closesNot, true},
	{"csrc does not read MSG_CTRUNC", "csrc/read_fd.c",
		"(m.flags & MSG_CTRUNC) != 0", "m.nfds > 1", "descriptor: ", true},
	{"pure reads only the first control message", control,
		"\t\tbuf = buf[next:]\n", "\t\tbuf = nil\n", "message ", true},

	{"read_fd does not ask for close-on-exec", "csrc/read_fd.c",
		"scm_recvmsg(fd, &msg, SCM_CLOEXEC)", "scm_recvmsg(fd, &msg, 0)", closesNot, false},
	{"scm_rights_recv does not ask for close-on-exec", "csrc/recv.c",
		"flags | SCM_CLOEXEC)", "flags)", closesNot, false},
	{"scm_rights_recv_batch does not ask for close-on-exec", "csrc/recv_batch.c",
		"flags | SCM_CLOEXEC, NULL)", "flags, NULL)", closesNot, false},
	{"read_fd leaves the first of two open", "csrc/read_fd.c",
		"\t\tif (m.nfds == 1)\n\t\t\tscm_close_kept(one);\n", "", closesNot, false},
	{"write_fd closes what it sent", "csrc/write_fd.c",
		"\treturn scm_sendmsg(fd, &msg, 0);", "\tssize_t n = scm_sendmsg(fd, &msg, 0);\n\tclose(sendfd);\n\treturn n;",
		"numbers that were closed: ", false},
	{"csrc counts the padding in cmsg_len", "csrc/put.c",
		"(scm_len)CMSG_LEN(", "(scm_len)CMSG_SPACE(", "", false},
	{"read_fd returns a stale number", "csrc/read_fd.c",
		"\t*recvfd = SCM_FD_NONE;\n", "", "descriptor: ", false},
	{"csrc tells MSG_CMSG_CLOEXEC", "csrc/take.c",
		"msg->msg_flags & ~SCM_CLOEXEC", "msg->msg_flags", "message 0: Flags: ", false},
	{"csrc drops the caller's flags", "csrc/recv.c",
		"flags | SCM_CLOEXEC", "SCM_CLOEXEC", "", false},
	{"csrc sends no credentials beside descriptors", "csrc/prepare_send.c",
		"\tif (m->cred != NULL) {\n\t\tstruct", "\tif (m->cred != NULL && m->nfds == 0) {\n\t\tstruct", "", false},
	{"csrc fills many buffers one too far", "csrc/scm_rights_cgo.h",
		"iov[i].iov_base = p[i];\n\t\tiov[i].iov_len = len[i];\n\t}\n\tif", "iov[i].iov_base = p[i] + (p[i] != NULL);\n\t\tiov[i].iov_len = len[i];\n\t}\n\tif", "buffers, ", false},
	{"csrc takes the first of many buffers for each", "csrc/many.go",
		"if len(b) > 0 {\n\t\t\t\tat.p[i] = base(b)", "if len(b) > 0 {\n\t\t\t\tat.p[i] = base(ms[j].Buffers[0])", "buffers, ", false},
	{"csrc does not tell a batch's lengths", "csrc/recv_batch.c",
		"\t\tms[i].len = msgs[i].msg_len;\n", "", "message ", false},

	{"pure leaves open what is too much", control,
		"\t\t\t\tcloseFD(fd)\n", "", closesNot, false},
	{"pure leaves the first of two open", "internal/pure/pair.go",
		"\t\t\tcloseFD(m.FDs[0])\n", "", closesNot, false},
	{"pure does not tell MSG_CTRUNC of what it closed", control,
		"\t\t\tm.Flags |= unix.MSG_CTRUNC\n", "", "message ", false},
	{"pure does not tell the address's length", pureLinux,
		"\tm.NameLen = int(hdr.Namelen)\n", "", "message ", false},
	{"pure takes the group for the user", control,
		"m.Cred.UID = binary.NativeEndian.Uint32(data[4:])", "m.Cred.UID = binary.NativeEndian.Uint32(data)", "message ", false},
	{"pure has no limit on buffers", control,
		"case len(m.Buffers) > msg.MaxBuffers:", "case false:", "", false},
	{"pure takes pidfds for unknown", "internal/pure/credentials_linux.go",
		"= unix.SCM_PIDFD", "= -1", "", false},
	{"pure takes -1 for none", pureLinux,
		"\thdr.SetControllen(pairControl)\n\treturn sendmsg",
		"\thdr.SetControllen(pairControl)\n\tif fd < 0 {\n\t\thdr.SetControllen(0)\n\t}\n\treturn sendmsg", "error: ", false},
}

// walk runs TestWalk with an overlay. Without one it is green, or it would be red
// itself.
func walk(t *testing.T, overlay string) (output string, err error) {
	bin := filepath.Join(t.TempDir(), "difftest.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-o", bin, "-overlay", overlay, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-test.run=^TestWalk$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), "SCM_DIFFTEST_CALLS=20000", "SCM_DIFFTEST_SEED=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestMutantsHaveAPlace puts each mutant into copies of the sources, also those that
// run with SCM_MUTANTS=full alone.
func TestMutantsHaveAPlace(t *testing.T) {
	for _, m := range mutants {
		if _, err := put.Overlay("../..", t.TempDir(), put.Edit{File: m.file, Old: m.old, New: m.new}); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// TestMutants is the test of the test.
func TestMutants(t *testing.T) {
	for i := range mutants {
		m := &mutants[i]
		if !m.often && os.Getenv("SCM_MUTANTS") != "full" {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			overlay, err := put.Overlay("../..", t.TempDir(), put.Edit{File: m.file, Old: m.old, New: m.new})
			if err != nil {
				t.Fatal(err)
			}
			out, err := walk(t, overlay)
			if err == nil {
				t.Fatal("not found")
			}
			_, words, found := strings.Cut(out, "csrc against pure: ")
			if !found || !strings.HasPrefix(words, m.different) {
				t.Fatalf("found, but not by %q\n%s", m.different, out)
			}
			words, _, _ = strings.Cut(words, "\n")
			t.Log("found: ", words)
		})
	}
}
