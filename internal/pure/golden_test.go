//go:build linux

package pure_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/pure"
	"golang.org/x/sys/unix"
)

// inHex is IN_HEX of proof/golden/c/golden.c.
const inHex = 3

// message returns the message whose control buffer golden.c builds.
func message(n int, withCred, padded bool) *msg.Message {
	m := &msg.Message{Unpadded: !padded}
	for i := range n {
		m.FDs = append(m.FDs, int(int32(0x10203040+0x01000193*uint32(i))))
	}
	if withCred {
		m.Cred = &msg.Cred{PID: 0x11223344, UID: 0x55667788, GID: 0x99aabbcc}
	}
	return m
}

// golden returns the lines that golden.c prints, computed in Go.
func golden() []string {
	var (
		cmsg unix.Cmsghdr
		cred unix.Ucred
		iov  unix.Iovec
		hdr  unix.Msghdr
	)
	lines := []string{
		fmt.Sprintf("SOL_SOCKET %d SCM_RIGHTS %d SCM_CREDENTIALS %d", unix.SOL_SOCKET, unix.SCM_RIGHTS, unix.SCM_CREDENTIALS),
		fmt.Sprintf("cmsghdr %d: %d %d %d", unsafe.Sizeof(cmsg), unsafe.Offsetof(cmsg.Len), unsafe.Offsetof(cmsg.Level), unsafe.Offsetof(cmsg.Type)),
		fmt.Sprintf("ucred %d: %d %d %d", pure.CredBytes, unsafe.Offsetof(cred.Pid), unsafe.Offsetof(cred.Uid), unsafe.Offsetof(cred.Gid)),
		fmt.Sprintf("iovec %d: %d %d", unsafe.Sizeof(iov), unsafe.Offsetof(iov.Base), unsafe.Offsetof(iov.Len)),
		fmt.Sprintf("msghdr %d: %d %d %d %d %d %d %d", unsafe.Sizeof(hdr), unsafe.Offsetof(hdr.Name), unsafe.Offsetof(hdr.Namelen),
			unsafe.Offsetof(hdr.Iov), unsafe.Offsetof(hdr.Iovlen), unsafe.Offsetof(hdr.Control), unsafe.Offsetof(hdr.Controllen), unsafe.Offsetof(hdr.Flags)),
	}
	h, size := fnv.New64a(), 0
	for n := range msg.MaxFDs + 1 {
		line := fmt.Sprintf("%d:", n)
		for kind := range 4 {
			b := pure.PutControl(message(n, kind&2 != 0, kind&1 == 0))
			size += len(b)
			_, _ = h.Write([]byte{byte(len(b) / 256), byte(len(b) % 256)})
			_, _ = h.Write(b)
			line += fmt.Sprintf(" %d=%x", len(b), b)
		}
		switch {
		case n <= inHex:
			lines = append(lines, line)
		case n&(n-1) == 0 || n == msg.MaxFDs:
			lines = append(lines, fmt.Sprintf("to %d: %016x", n, h.Sum64()))
		}
	}
	return append(lines, fmt.Sprintf("%d control buffers, %d bytes", 4*(msg.MaxFDs+1), size))
}

// Every byte of a control buffer is the same as in C, including padding, and every structure
// around it has the same layout. testdata/golden/targets lists the targets of each file.
func TestGolden(t *testing.T) {
	list, err := os.ReadFile("testdata/golden/targets")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(golden(), "\n") + "\n"
	compared := false
	for line := range strings.Lines(string(list)) {
		words := strings.Fields(line)
		for _, target := range words[1:] {
			arch, libc, _ := strings.Cut(target, "-")
			if arch != runtime.GOARCH {
				continue
			}
			compared = true
			t.Run(libc, func(t *testing.T) {
				want, err := os.ReadFile("testdata/golden/" + words[0] + ".txt")
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("pure Go:\n%s\nC:\n%s", got, want)
				}
			})
		}
	}
	if !compared {
		t.Skip("testdata/golden has no file for ", runtime.GOARCH)
	}
}

// The control buffer of a receive is as large as one that is sent. TestGolden compares those with C's.
func TestGoldenRoom(t *testing.T) {
	space := func(n int) int { return len(pure.PutControl(message(n, false, true))) }
	length := func(n int) int { return len(pure.PutControl(message(n, false, false))) }
	cred := len(pure.PutControl(message(0, true, true)))
	if got := pure.PairControl; got != space(1) {
		t.Errorf("ReadFD's control buffer has %d bytes, CMSG_SPACE for one descriptor is %d", got, space(1))
	}
	for n := range msg.MaxFDs + 1 {
		for _, c := range []struct {
			m    msg.Message
			want int
		}{
			{msg.Message{}, length(n)},
			{msg.Message{Cred: new(msg.Cred)}, cred + length(n)},
			{msg.Message{PIDFD: new(int)}, space(n) + space(1)},
			{msg.Message{Cred: new(msg.Cred), PIDFD: new(int)}, cred + space(n) + space(1)},
		} {
			c.m.FDs = make([]int, n)
			if got := pure.ControlRoom(&c.m); got != c.want {
				t.Errorf("%d descriptors, credentials %t, pidfd %t: control buffer of %d bytes, want %d",
					n, c.m.Cred != nil, c.m.PIDFD != nil, got, c.want)
			}
		}
	}
}

// An amd64 kernel runs 386 programs without an emulator.
func TestGolden386(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("386 programs run natively only on amd64")
	}
	if testing.Short() {
		t.Skip("-short: a run without it tests this, and neither the user nor the backend matters")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	bin := filepath.Join(t.TempDir(), "pure.test")
	build := exec.Command("go", "test", "-c", "-o", bin, ".")
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(bin, "-test.v", "-test.run=^TestGolden").CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this kernel cannot run 386 programs")
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestGolden/glibc") {
		t.Errorf("%v\n%s", err, out)
	}
}
