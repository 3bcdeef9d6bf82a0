//go:build linux && !purego && !scm_purego

package golden

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	put "github.com/scm-rights/scm/internal/mutant"
	machines "github.com/scm-rights/scm/internal/target"
)

// machine returns the target of this machine's own libc.
func machine(t *testing.T) target {
	t.Helper()
	t.Chdir("../../..")
	targets := machines.All()
	i := slices.IndexFunc(targets, func(o machines.Target) bool { return o.Arch == runtime.GOARCH && o.Libc == "glibc" })
	if i < 0 {
		t.Skip("no target for " + runtime.GOARCH)
	}
	o := target{targets[i]}
	o.Compiler = []string{"cc"}
	if err := o.build(filepath.Join(t.TempDir(), "golden"), folder+"golden.c", folder+"macros.c"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v, and CI=true", err)
		}
		t.Skip(err)
	}
	return o
}

// In every call, csrc gives the kernel the bytes that the macros make.
func TestCsrc(t *testing.T) {
	o := machine(t)
	calls, err := o.compareCsrc("csrc", filepath.Join(t.TempDir(), "csrc"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d calls", calls)
}

// A fault that affects only one size is found, and the output says at which size.
func TestCsrcMutants(t *testing.T) {
	o := machine(t)
	for _, m := range []struct {
		name string
		edit put.Edit
		want string
	}{
		{"251 descriptors unpadded", put.Edit{File: "prepare_send.c", Old: "if ((m->options & SCM_UNPADDED) != 0)",
			New: "if ((m->options & SCM_UNPADDED) != 0 || m->nfds == 251)"}, "scm_rights_send, 251 descriptors, without credentials, padded: msg_controllen"},
		{"207 descriptors and credentials", put.Edit{File: "put.c", Old: "\tmemcpy(CMSG_DATA(cmsg), data, len);\n",
			New: "\tmemcpy(CMSG_DATA(cmsg), data, len);\n\tif (type == SCM_CREDENTIALS && msg->msg_controllen == CMSG_SPACE(207 * sizeof(int)))\n\t\tCMSG_DATA(cmsg)[8]++;\n"},
			"207 descriptors, with credentials, padded: byte"},
		{"room for 100 descriptors", put.Edit{File: "prepare_recv.c", Old: "\t\troom += CMSG_LEN(sizeof(int) * m->nfds);\n",
			New: "\t\troom += CMSG_LEN(sizeof(int) * m->nfds) + (m->nfds == 100 ? sizeof(int) : 0);\n"}, "scm_rights_recv, room for 100 descriptors, without credentials, without pidfd: msg_controllen"},
		{"600 buffers", put.Edit{File: "prepare_send.c", Old: "\tmsg->msg_iovlen = (scm_len)m->iovlen;\n",
			New: "\tmsg->msg_iovlen = (scm_len)(m->iovlen - (m->iovlen == 600));\n"}, "scm_rights_send, 600 buffers, 0 descriptors: msg_iovlen"},
		{"a batch of 17", put.Edit{File: "send_batch.c", Old: "syscall(SYS_sendmmsg, sock, msgs, n, flags)",
			New: "syscall(SYS_sendmmsg, sock, msgs, n - (n == 17), flags)"}, "scm_rights_send_batch, 17 messages"},
		{"one flag", put.Edit{File: "recv.c", Old: "flags | MSG_CMSG_CLOEXEC", New: "(flags & ~(1 << 20)) | MSG_CMSG_CLOEXEC"}, "scm_rights_recv, flags 0x100000: flags"},
		{"12345 bytes", put.Edit{File: "write_fd.c", Old: "\tiov.iov_len = nbytes;\n", New: "\tiov.iov_len = nbytes - (nbytes == 12345);\n"}, "write_fd, 12345 bytes: byte"},
		{"the 200th that is received", put.Edit{File: "take_fds.c", Old: "\t\tm->fds[m->nfds++] = fd;\n", New: "\t\tm->fds[m->nfds] = fd + (m->nfds == 200);\n\t\tm->nfds++;\n"},
			"scm_rights_recv, room for 201 descriptors, without credentials, without pidfd: a descriptor"},
		{"those after a rejected one", put.Edit{File: "take_fds.c", Old: "\t\t\troom = m->nfds;\n", New: "\t\t\tcontinue;\n"},
			"scm_rights_recv, 5 descriptors, rejected 0x1: nfds"},
	} {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("csrc")); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, m.edit.File)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), m.edit.Old); n != 1 {
				t.Fatalf("%q occurs %d times in %s, not once", m.edit.Old, n, m.edit.File)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(text), m.edit.Old, m.edit.New, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = o.compareCsrc(dir, filepath.Join(dir, "csrc"))
			if err == nil || !strings.Contains(err.Error(), m.want) {
				t.Errorf("%v, want %s", err, m.want)
			}
		})
	}
}
