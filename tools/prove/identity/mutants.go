//go:build linux

package identity

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	put "github.com/scm-rights/scm/internal/mutant"
	"github.com/scm-rights/scm/internal/recorder"
)

// A fault is put into the sources of one backend, on one architecture. The
// comparison with the other backend has to find it, and first of all in field.
type fault struct {
	what  string
	arch  string // this machine's, where none is given
	edits []put.Edit
	field string
	words string // what the difference says, too
	often bool   // also in make test
	sizes bool   // it is in no call from a seed, but in one of those of each size
}

// script has the calls that find it.
func (f *fault) script() script {
	if f.sizes {
		return script{sizes: true}
	}
	return script{seed: 1, calls: mutantCalls}
}

// inC tells which backend it is put into.
func (f *fault) inC() bool { return strings.HasPrefix(f.edits[0].File, "csrc/") }

func (f *fault) backend() string {
	if f.inC() {
		return "cgo"
	}
	return "purego"
}

// mutantCalls is how many calls of the script find all of them.
const mutantCalls = 512

// mutants puts each fault in, and prints what found it.
func (p *proof) mutants(faults []fault) error {
	m := mutation{p, map[string]*healthy{}}
	for i := range faults {
		if err := m.prepare(&faults[i]); err != nil && !errors.Is(err, errMissing) {
			return err
		}
	}
	const line = "%-7s %-6s %-46s %s\n"
	_, _ = fmt.Fprintf(p.out, line, "arch", "in", "fault", "found")
	type outcome struct {
		d   *difference
		err error
	}
	outcomes := make([]chan outcome, len(faults))
	next := make(chan int, len(faults))
	for i := range faults {
		outcomes[i] = make(chan outcome, 1)
		next <- i
	}
	close(next)
	for range 2 {
		go func() {
			for i := range next {
				d, err := m.find(&faults[i])
				outcomes[i] <- outcome{d, err}
			}
		}()
	}
	survived, missing := 0, 0
	var failed error
	for i := range faults {
		f, o := &faults[i], <-outcomes[i]
		found := ""
		switch {
		case errors.Is(o.err, errMissing):
			missing++
			found = firstLine(o.err)
		case o.err != nil:
			failed = errors.Join(failed, fmt.Errorf("%s: %w", f.what, o.err))
			found = firstLine(o.err)
		case o.d == nil:
			survived++
			found = "NOT FOUND"
		case !f.foundBy(o.d):
			survived++
			found = "NOT AS " + f.field + " " + f.words + ", but as: " + o.d.text
		default:
			found = o.d.text
		}
		_, _ = fmt.Fprintf(p.out, line, f.arch, f.backend(), f.what, found)
	}
	_, _ = fmt.Fprintf(p.out, "mutants: %d, %d survived, %d not run\n", len(faults), survived, missing)
	switch {
	case failed != nil:
		return failed
	case survived > 0:
		return fmt.Errorf("%d mutants survived", survived)
	case missing > 0 && os.Getenv("CI") == "true":
		return fmt.Errorf("%d not run, and CI=true", missing)
	}
	return nil
}

// A mutation has what all mutants are compared with.
type mutation struct {
	*proof
	healthy map[string]*healthy // by architecture
}

// healthy is both backends without a fault.
type healthy struct {
	targets    map[string]target                // by backend
	recordings map[script]map[string]*recording // by backend
}

// prepare records both backends of a fault's architecture. They are the same, or
// nothing would be shown.
func (m *mutation) prepare(f *fault) error {
	if f.arch == "" {
		f.arch = runtime.GOARCH
	}
	h := m.healthy[f.arch]
	if h == nil {
		h = &healthy{map[string]target{}, map[script]map[string]*recording{}}
	}
	if h.recordings[f.script()] != nil {
		return nil
	}
	paths, recordings := map[string]string{}, map[string]*recording{}
	for _, t := range targets() {
		if t.arch != f.arch || t.libc == "musl" {
			continue
		}
		path, err := t.build(m.root, m.dir, scriptPackage, "")
		if err != nil {
			return err
		}
		r, err := f.script().record(path)
		if err != nil {
			return err
		}
		h.targets[t.backend], recordings[t.backend], paths[t.backend] = t, r, path
	}
	if len(h.targets) < 2 {
		return fmt.Errorf("%w: no %s here", errMissing, f.arch)
	}
	found, err := recordings["purego"].against(recordings["cgo"], paths["purego"], paths["cgo"])
	if len(found) > 0 {
		err = fmt.Errorf("without a fault: %v", found[0])
	}
	h.recordings[f.script()] = recordings
	m.healthy[f.arch] = h
	return err
}

// find returns the first difference that a fault makes, or nil.
func (m *mutation) find(f *fault) (*difference, error) {
	h := m.healthy[f.arch]
	if h == nil {
		return nil, fmt.Errorf("%w: no %s here", errMissing, f.arch)
	}
	base := h.recordings[f.script()]["cgo"]
	if f.inC() {
		base = h.recordings[f.script()]["purego"]
	}
	dir, err := os.MkdirTemp(m.dir, "mutant")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := put.Overlay(m.root, dir, f.edits...)
	if err != nil {
		return nil, err
	}
	path, err := h.targets[f.backend()].build(m.root, dir, scriptPackage, overlay)
	if err != nil {
		return nil, err
	}
	// The script may come to a bad end; what was recorded until then counts.
	r, failed := f.script().record(path)
	if r == nil {
		return nil, failed
	}
	for n := 1; ; n++ {
		found := base.differences(r)
		switch {
		case len(found) == 0:
			return nil, failed
		case f.foundBy(&found[0]) || found[0].field != aCall || n == attempts:
			return &found[0], nil
		}
		if err := r.settle(path); err != nil {
			return &found[0], nil // it does not do the same again
		}
	}
}

// foundBy tells whether a difference is the fault's.
func (f *fault) foundBy(d *difference) bool {
	return strings.Contains(", "+d.field, ", "+f.field) && strings.Contains(d.text, f.words)
}

const (
	control   = "internal/pure/control.go"
	pureLinux = "internal/pure/pure_linux.go"
	pureBatch = "internal/pure/batch_linux.go"
	sendGo    = "func sendmsg(sock int32, hdr *unix.Msghdr, flags int) (int, error) {\n"
	recvGo    = "func recvmsg(sock int32, hdr *unix.Msghdr, flags int) (int, error) {\n"
	sendC     = "\treturn scm_result(syscall(SYS_sendmsg, sock, msg, flags));\n"
	recvC     = "\treturn scm_result(syscall(SYS_recvmsg, sock, msg, flags));\n"
	callGo    = "func (b *batch) call(trap uintptr, sock int32, n, flags int) (int, error) {\n"
	sendAllC  = "\tdone = scm_result(syscall(SYS_sendmmsg, sock, msgs, n, flags));\n"
)

// before puts lines before a place, and after behind it.
func before(file, place, lines string) []put.Edit {
	return []put.Edit{{File: file, Old: place, New: lines + place}}
}

func after(file, place, lines string) []put.Edit {
	return []put.Edit{{File: file, Old: place, New: place + lines}}
}

func instead(file, old, changed string) []put.Edit {
	return []put.Edit{{File: file, Old: old, New: changed}}
}

// allMutants are a fault for each field, each byte of padding, each flag, and
// calls too many and too few; and faults at one size alone.
var allMutants = slices.Concat(paddingFaults(), headerFaults, controlFaults, flagFaults(), callFaults, resultFaults, sizeFaults)

// paddingFaults set each byte that is no field, in each backend.
func paddingFaults() (list []fault) {
	for _, f := range []struct {
		field  string
		offset int
	}{{"padding after msg_namelen", 12}, {"padding after msg_flags", 52}} {
		for i := range 4 {
			list = append(list,
				fault{what: fmt.Sprintf("%s, byte %d", f.field, i), field: f.field, often: i == 0,
					edits: after(pureLinux, sendGo, fmt.Sprintf("\t(*[56]byte)(unsafe.Pointer(hdr))[%d] = 0x5a\n", f.offset+i))},
				fault{what: fmt.Sprintf("%s, byte %d", f.field, i), field: f.field,
					edits: before("csrc/private.h", sendC, fmt.Sprintf("\t((unsigned char *)(size_t)msg)[%d] = 0x5a;\n", f.offset+i))})
		}
	}
	for i := range 4 {
		field := "padding after cmsg_data"
		list = append(list,
			fault{what: fmt.Sprintf("%s, byte %d", field, i), field: field,
				edits: after(pureLinux, "\tbinary.NativeEndian.PutUint32(data, uint32(fd))\n", fmt.Sprintf("\tdata[%d] = 0x5a\n", 4+i))},
			fault{what: fmt.Sprintf("%s, byte %d", field, i), field: field, often: i == 3,
				edits: after("csrc/write_fd.c", "\tscm_put(&msg, SCM_RIGHTS, &sendfd, sizeof(sendfd));\n", fmt.Sprintf("\tcontrol.bytes[CMSG_LEN(sizeof(int)) + %d] = 0x5a;\n", i))})
		field = "padding after msg_len"
		list = append(list,
			fault{what: fmt.Sprintf("%s, byte %d", field, i), field: field,
				edits: after(pureBatch, callGo, fmt.Sprintf("\t(*[64]byte)(unsafe.Pointer(&b.msgs))[%d] = 0x5a\n", 60+i))},
			fault{what: fmt.Sprintf("%s, byte %d", field, i), field: field,
				edits: before("csrc/send_batch.c", sendAllC, fmt.Sprintf("\t((unsigned char *)msgs)[%d] = 0x5a;\n", 60+i))})
	}
	return append(list, fault{what: "padding after three descriptors", field: "padding after cmsg_data",
		edits: instead(control, "\tif m.Unpadded {\n", "\tif len(m.FDs) == 3 && m.Cred == nil {\n\t\tbuf[length-1] = 0x5a\n\t}\n\tif m.Unpadded {\n")})
}

var headerFaults = []fault{
	{what: "msg_name is not NULL", field: "msg_name",
		edits: after(pureLinux, sendGo, "\tif hdr.Name == nil {\n\t\thdr.Name = (*byte)(unsafe.Pointer(hdr))\n\t}\n")},
	{what: "msg_namelen counts one more", field: "msg_namelen",
		edits: instead("csrc/prepare_send.c", "\tmsg->msg_namelen = m->namelen;\n", "\tmsg->msg_namelen = m->namelen + 1;\n")},
	{what: "msg_iov is there for no buffers", field: "msg_iov",
		edits: instead("csrc/scm_rights_cgo.h", "c->iovlen > 0 ? iov : NULL", "iov")},
	{what: "msg_iovlen leaves the last one out", field: "msg_iovlen",
		edits: instead(pureBatch, "b.msgs[i].hdr.SetIovlen(n)", "b.msgs[i].hdr.SetIovlen(max(n-1, min(n, 1)))")},
	{what: "msg_control is there without descriptors", field: "msg_control",
		edits: after(pureLinux, sendGo, "\tif hdr.Control == nil {\n\t\thdr.Control = (*byte)(unsafe.Pointer(hdr))\n\t}\n")},
	{what: "msg_controllen leaves the padding out", field: "msg_controllen", often: true,
		edits: instead("csrc/put.c", "msg->msg_controllen + CMSG_SPACE(", "msg->msg_controllen + CMSG_LEN(")},
	{what: "msg_controllen of a receipt counts the padding", field: "msg_controllen",
		edits: instead(pureLinux, "room += unix.CmsgLen(4 * len(m.FDs))", "room += unix.CmsgSpace(4 * len(m.FDs))")},
	{what: "msg_controllen of the pair's receipt is exact", field: "msg_controllen",
		edits: instead("csrc/read_fd.c", "msg.msg_controllen = sizeof(control);", "msg.msg_controllen = CMSG_LEN(sizeof(int));")},
	{what: "msg_flags is set on sending", field: "msg_flags",
		edits: after(pureLinux, sendGo, "\thdr.Flags = 1\n")},
	{what: "msg_flags is set on receiving", field: "msg_flags",
		edits: before("csrc/private.h", recvC, "\tmsg->msg_flags = 1;\n")},
	{what: "msg_len is set on sending", field: "msg_len",
		edits: after(pureBatch, callGo, "\tb.msgs[0].len = 1\n")},
	{what: "iov_base of an empty buffer is an address", field: "iov_base",
		edits: instead("csrc/many.go", "\t\t\tif len(b) > 0 {\n\t\t\t\tat.p[i] = base(b)\n\t\t\t}\n", "\t\t\tat.p[i] = base(b)\n")},
	{what: "iov_len is one less", field: "iov_len",
		edits: instead(pureLinux, "\tiov.SetLen(len(p))\n\thdr := unix.Msghdr{Iov: &iov, Control: &buf[0]}\n\thdr.SetIovlen(1)\n\thdr.SetControllen(pairControl)\n\treturn sendmsg",
			"\tiov.SetLen(max(len(p)-1, 0))\n\thdr := unix.Msghdr{Iov: &iov, Control: &buf[0]}\n\thdr.SetIovlen(1)\n\thdr.SetControllen(pairControl)\n\treturn sendmsg")},
	{what: "the payload is another byte", field: "payload",
		edits: before("csrc/scm_rights_cgo.h", "\tif (batch > 0)\n\t\treturn scm_cgo_batch(", "\tif (!receive && total > 0 && p[0] != NULL)\n\t\tp[0][0]++;\n")},
}

var controlFaults = []fault{
	{what: "cmsg_len counts the padding", field: "cmsg_len", often: true,
		edits: instead(control, "h.SetLen(unix.CmsgLen(size))", "h.SetLen(unix.CmsgSpace(size))")},
	{what: "cmsg_level is another", field: "cmsg_level",
		edits: instead("csrc/put.c", "cmsg->cmsg_level = SOL_SOCKET;", "cmsg->cmsg_level = SOL_SOCKET + 1;")},
	{what: "cmsg_type is another", field: "cmsg_type",
		edits: instead(control, "\th.Type = kind\n", "\th.Type = kind ^ 2\n")},
	{what: "cmsg_data has the descriptors in another order", field: "SCM_RIGHTS, descriptor",
		edits: instead(control, "PutUint32(data[4*i:], uint32(fd))", "PutUint32(data[last-4-4*i:], uint32(fd))")},
	{what: "cmsg_data has another user", field: "SCM_CREDENTIALS, uid",
		edits: instead("csrc/prepare_send.c", "cred.uid = m->cred->uid;", "cred.uid = m->cred->uid + 1;")},
	{what: "the credentials come before the descriptors", field: "cmsg_len",
		edits: instead("csrc/prepare_send.c", "\tif (m->nfds > 0) {\n\t\tlast = sizeof(int) * m->nfds;\n\t\tscm_put(msg, SCM_RIGHTS, m->fds, last);\n\t}\n",
			"\tif (m->nfds > 0 && m->cred != NULL) {\n\t\tstruct ucred c = {m->cred->pid, m->cred->uid, m->cred->gid};\n\t\tscm_put(msg, SCM_CREDENTIALS, &c, sizeof(c));\n\t\tlast = sizeof(int) * m->nfds;\n\t\tscm_put(msg, SCM_RIGHTS, m->fds, last);\n\t\treturn;\n\t}\n\tif (m->nfds > 0) {\n\t\tlast = sizeof(int) * m->nfds;\n\t\tscm_put(msg, SCM_RIGHTS, m->fds, last);\n\t}\n")},
	{what: "the control buffer of a receipt is not cleared", field: "control data",
		edits: instead("csrc/prepare_recv.c", "\tmemset(control, 0, room);\n", "\tmemset(control, 0x5a, room);\n")},
}

// flagFaults add each flag, to sends of one backend and to receipts of the other
// in turn, and leave out those that belong there.
func flagFaults() (list []fault) {
	for bit := range 31 {
		flag := uint32(1) << bit
		words := recorder.FlagText(flag)
		if bit%2 == 0 {
			list = append(list, fault{what: "a send has " + words, field: "flags", words: words,
				edits: after(pureLinux, sendGo, fmt.Sprintf("\tflags |= %#x\n", flag))})
		} else {
			list = append(list, fault{what: "a receipt has " + words, field: "flags", words: words,
				edits: before("csrc/private.h", recvC, fmt.Sprintf("\tflags |= %#x;\n", flag))})
		}
	}
	return append(list,
		fault{what: "read_fd has no MSG_CMSG_CLOEXEC", field: "flags", often: true, words: "MSG_CMSG_CLOEXEC against 0",
			edits: instead("csrc/read_fd.c", "scm_recvmsg(fd, &msg, SCM_CLOEXEC)", "scm_recvmsg(fd, &msg, 0)")},
		fault{what: "Recv has no MSG_CMSG_CLOEXEC", field: "flags",
			edits: instead(pureLinux, "recvmsg(sock, &hdr, flags|cmsgCloexec)", "recvmsg(sock, &hdr, flags)")},
		fault{what: "RecvBatch has no MSG_CMSG_CLOEXEC", field: "flags",
			edits: instead(pureBatch, "len(ms), flags|cmsgCloexec)", "len(ms), flags)")},
		fault{what: "Recv has no flags of the caller's", field: "flags",
			edits: instead("csrc/recv.c", "flags | SCM_CLOEXEC", "SCM_CLOEXEC")},
		fault{what: "SendBatch has no flags of the caller's", field: "flags",
			edits: instead("csrc/send_batch.c", "syscall(SYS_sendmmsg, sock, msgs, n, flags)", "syscall(SYS_sendmmsg, sock, msgs, n, 0)")})
}

var callFaults = []fault{
	{what: "an additional getsockopt before a send", field: aCall, words: "sendmsg against getsockopt", often: true,
		edits: after(pureLinux, sendGo, "\t_, _ = unix.GetsockoptInt(int(sock), unix.SOL_SOCKET, unix.SO_TYPE)\n")},
	{what: "an additional fcntl after a receipt", field: aCall, words: "against fcntl",
		edits: instead("csrc/take_fds.c", "#ifndef MSG_CMSG_CLOEXEC", "#ifdef MSG_CMSG_CLOEXEC")},
	{what: "an additional close", field: aCall, words: "none against close",
		edits: instead("csrc/close_kept.c", "\t(void)syscall(SYS_close, fd);\n", "\t(void)syscall(SYS_close, fd);\n\t(void)syscall(SYS_close, fd);\n")},
	{what: "an additional attempt after EAGAIN", field: aCall, words: "none against recvmsg",
		edits: instead(pureLinux, "\tn, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))\n",
			"\tn, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))\n\tif errno == unix.EAGAIN {\n\t\tn, _, errno = unix.Syscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))\n\t}\n")},
	{what: "a send for each message of a batch", field: aCall, words: "sendmmsg against sendmsg",
		edits: instead("csrc/send_batch.c", "\tdone = scm_result(syscall(SYS_sendmmsg, sock, msgs, n, flags));\n",
			"\tfor (done = 0; (size_t)done < n && (msgs[done].msg_len = (unsigned int)scm_sendmsg(sock, &msgs[done].msg_hdr, flags)) != (unsigned int)-1; done++)\n\t\t;\n\tif (done == 0)\n\t\tdone = -1;\n")},
	{what: "a missing send, where there is no descriptor", field: aCall, words: "sendmsg against none",
		edits: after(pureLinux, sendGo, "\tif hdr.Control == nil {\n\t\treturn 0, nil\n\t}\n")},
	{what: "a missing close of what is too much", field: aCall, words: "close",
		edits: instead(control, "\t\t\t\tcloseFD(fd)\n", "")},
	{what: "a missing close of the first of two", field: aCall, words: "close",
		edits: instead("csrc/read_fd.c", "\t\tif (m.nfds == 1)\n\t\t\tscm_close_kept(one);\n", "")},
	{what: "a missing receipt, where there is no room", field: aCall, words: "recvmsg against none",
		edits: after(pureLinux, recvGo, "\tif hdr.Control == nil {\n\t\treturn 0, unix.EAGAIN\n\t}\n")},
	{what: "a limit that the kernel has is checked first", field: aCall, words: "against none",
		edits: instead("csrc/check.c", "m->nfds > SCM_MAX_FDS", "m->nfds >= SCM_MAX_FDS")},
	{what: "a send by socketcall", arch: "386", field: aCall, words: "sendmsg against socketcall (sendmsg)",
		edits: instead(pureLinux, "\tn, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))\n",
			"\targs := [3]uintptr{uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags)}\n\tn, _, errno := unix.Syscall(102, 16, uintptr(unsafe.Pointer(&args)), 0)\n")},
	{what: "a receipt by socketcall", arch: "386", field: aCall, words: "socketcall (recvmsg)",
		edits: before("csrc/private.h", recvC, "\tunsigned long args[3] = {(unsigned long)sock, (unsigned long)msg, (unsigned long)flags};\n\tif (args[1])\n\t\treturn syscall(102, 17, args);\n")},
}

// resultFaults are not in what is said to the kernel, but in what is made of its
// answer: what the script prints shows them.
var resultFaults = []fault{
	{what: "an errno is another", field: "line", words: "the script",
		edits: instead(pureLinux, "\treturn -1, errno\n", "\treturn -1, errno ^ 1\n")},
	{what: "a count is one more", field: "line", words: "the script",
		edits: instead("csrc/scm_rights_cgo.h", "\tssize_t n = write_fd(sock, p, len, fd);\n\n\treturn n < 0 ? -errno : n;", "\tssize_t n = write_fd(sock, p, len, fd);\n\n\treturn n < 0 ? -errno : n + 1;")},
	{what: "flags are told that are the library's own", field: "line", words: "the script",
		edits: instead("csrc/take.c", "msg->msg_flags & ~SCM_CLOEXEC", "msg->msg_flags")},
	{what: "a stale number is told", field: "line", words: "the script",
		edits: instead("csrc/read_fd.c", "\t*recvfd = SCM_FD_NONE;\n", "")},
}

// sizeFaults are in the calls of one size, flag or number alone.
var sizeFaults = []fault{
	{what: "251 descriptors go without the padding", field: "msg_controllen", sizes: true, often: true,
		edits: instead("csrc/prepare_send.c", "if ((m->options & SCM_UNPADDED) != 0)", "if ((m->options & SCM_UNPADDED) != 0 || m->nfds == 251)")},
	{what: "the room for 177 descriptors is for 178", field: "msg_controllen", sizes: true,
		edits: instead("csrc/prepare_recv.c", "room += CMSG_LEN(sizeof(int) * m->nfds);", "room += CMSG_LEN(sizeof(int) * (m->nfds + (m->nfds == 177)));")},
	{what: "the descriptors from the 201st on are others", field: "SCM_RIGHTS, descriptor 200", sizes: true,
		edits: instead(control, "PutUint32(data[4*i:], uint32(fd))", "PutUint32(data[4*i:], uint32(fd)^uint32((i+56)>>8))")},
	{what: "the last of 129 received is told as the first", field: "line", words: "the script", sizes: true,
		edits: instead(control, "\t\tm.FDs[m.NFD] = fd\n", "\t\tif m.FDs[m.NFD] = fd; m.NFD == 128 && len(m.FDs) == 129 {\n\t\t\tm.FDs[m.NFD] = m.FDs[0]\n\t\t}\n")},
	{what: "512 buffers are one fewer", field: "msg_iovlen", sizes: true,
		edits: instead("csrc/prepare_send.c", "msg->msg_iovlen = (scm_len)m->iovlen;", "msg->msg_iovlen = (scm_len)(m->iovlen - (m->iovlen == 512));")},
	{what: "a payload of 251 bytes is one shorter", field: "iov_len", sizes: true,
		edits: instead("csrc/write_fd.c", "iov.iov_len = nbytes;", "iov.iov_len = nbytes - (nbytes == 251);")},
	{what: "an address of 79 bytes is one shorter", field: "msg_namelen", sizes: true,
		edits: instead("csrc/prepare_send.c", "msg->msg_namelen = m->namelen;", "msg->msg_namelen = m->namelen - (m->namelen == 79);")},
	{what: "a batch of 31 is one shorter", field: "argument 2", sizes: true,
		edits: instead("csrc/send_batch.c", "syscall(SYS_sendmmsg, sock, msgs, n, flags)", "syscall(SYS_sendmmsg, sock, msgs, n - (n == 31), flags)")},
	{what: "one flag of the caller's is lost", field: "flags", sizes: true,
		edits: instead("csrc/recv.c", "flags | SCM_CLOEXEC", "(flags & ~(1 << 21)) | SCM_CLOEXEC")},
	{what: "one bit of a group's number is lost", field: "SCM_CREDENTIALS, gid", sizes: true,
		edits: instead("csrc/prepare_send.c", "cred.gid = m->cred->gid;", "cred.gid = m->cred->gid & ~(1U << 19);")},
}
