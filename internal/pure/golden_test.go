//go:build linux

package pure_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
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
		fmt.Sprintf("mmsghdr %d: %d %d", pure.SizeofMmsghdr, pure.OffsetMmsghdrHdr, pure.OffsetMmsghdrLen),
	}
	for n := range msg.MaxFDs + 1 {
		line := fmt.Sprintf("%d:", n)
		h := fnv.New64a()
		for kind := range 4 {
			b := pure.PutControl(message(n, kind&2 != 0, kind&1 == 0))
			_, _ = h.Write(b)
			line += fmt.Sprintf(" %d", len(b))
			if n <= inHex && len(b) > 0 {
				line += fmt.Sprintf("=%x", b)
			}
		}
		lines = append(lines, fmt.Sprintf("%s %016x", line, h.Sum64()))
	}
	return lines
}

// forLibcs runs a test for each libc on the lines that C printed on this architecture.
func forLibcs(t *testing.T, test func(t *testing.T, want []string)) {
	files, err := filepath.Glob("testdata/golden/" + runtime.GOARCH + "-*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("testdata/golden has no file for", runtime.GOARCH)
	}
	for _, file := range files {
		_, libc, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".txt"), "-")
		t.Run(libc, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			test(t, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
		})
	}
}

// Every byte of a control buffer is the same as in C, including padding, and every structure
// around it has the same layout.
func TestGolden(t *testing.T) {
	got := golden()
	forLibcs(t, func(t *testing.T, want []string) {
		if len(got) != len(want) {
			t.Fatalf("got %d lines, C printed %d", len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("pure Go: %s\n      C: %s", got[i], want[i])
			}
		}
	})
}

// The smaller control buffer for up to SmallFDs descriptors has the same bytes.
func TestGoldenSmallControl(t *testing.T) {
	for n := 1; n <= pure.SmallFDs; n++ {
		for _, padded := range []bool{true, false} {
			m := message(n, false, padded)
			if small, want := pure.PutSmallControl(m), pure.PutControl(m); !bytes.Equal(small, want) {
				t.Errorf("%d descriptors, padded %t: the small buffer is %x, the large one %x", n, padded, small, want)
			}
		}
	}
}

// The control buffer of a batch has the same bytes, whatever an earlier batch left in its memory.
func TestGoldenUsedControl(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, msg.MaxFDs - 1, msg.MaxFDs} {
		for _, cred := range []bool{false, true} {
			for _, padded := range []bool{true, false} {
				m := message(n, cred, padded)
				if used, want := pure.PutUsedControl(m), pure.PutControl(m); !bytes.Equal(used, want) {
					t.Errorf("%d descriptors, credentials %t, padded %t: the used buffer is %x, a new one %x", n, cred, padded, used, want)
				}
			}
		}
	}
}

// The size of the control buffer of a receive follows from the lengths that C's macros return.
func TestGoldenRoom(t *testing.T) {
	forLibcs(t, func(t *testing.T, want []string) {
		lengths := map[int][4]int{}
		for _, line := range want {
			count, rest, _ := strings.Cut(line, ": ")
			n, err := strconv.Atoi(count)
			if err != nil {
				continue // a structure's layout
			}
			var l [4]int
			for kind, word := range strings.Fields(rest)[:4] {
				word, _, _ = strings.Cut(word, "=")
				if l[kind], err = strconv.Atoi(word); err != nil {
					t.Fatal(err)
				}
			}
			lengths[n] = l
		}
		space := func(n int) int { return lengths[n][0] }
		length := func(n int) int { return lengths[n][1] }
		cred := lengths[0][2]
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
					t.Errorf("%d descriptors, credentials %t, pidfd %t: control buffer of %d bytes, want %d as with C's macros",
						n, c.m.Cred != nil, c.m.PIDFD != nil, got, c.want)
				}
			}
		}
	})
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
