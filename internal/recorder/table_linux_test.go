package recorder

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// archs are all architectures.
var archs = []*Arch{amd64, i386, arm64, arm, riscv64, ppc64le, s390x}

// The table has the same system call numbers as golang.org/x/sys.
func TestTable(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		fdtest.Missing(t, "golang.org/x/sys", "go list does not say where golang.org/x/sys is")
	}
	for _, a := range archs {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "unix", "zsysnum_linux_"+a.Name+".go"))
		fdtest.Must(t, err)
		numbers := map[string]int{}
		for _, m := range regexp.MustCompile(`SYS_(\w+)\s+= (\d+)`).FindAllStringSubmatch(string(text), -1) {
			if numbers[strings.ToLower(m[1])], err = strconv.Atoi(m[2]); err != nil {
				t.Fatalf("%s: %v", a.Name, err)
			}
		}
		rows := map[string]int{} // with a number
		for i := range table {
			row := &table[i]
			nr, ok := numbers[row.name]
			if !ok {
				nr = none
			}
			if got := a.syscallNumber(row.name); got != nr {
				t.Errorf("%s: %s is %d, want %d", a.Name, row.name, got, nr)
			}
			if a.column(row) != none {
				rows[row.name]++
			}
		}
		for name, n := range rows {
			if n > 1 {
				t.Errorf("%s: %s has %d rows", a.Name, name, n)
			}
		}
		if len(a.calls()) != len(rows) {
			t.Errorf("%s: the table has %d calls with numbers, want %d", a.Name, len(a.calls()), len(rows))
		}
		for _, name := range []string{"sendmsg", "recvmsg", "sendmmsg", "recvmmsg"} {
			if sig := a.calls()[uint64(a.syscallNumber(name))]; !sig.hasMessages() {
				t.Errorf("%s: %s has no messages", a.Name, name)
			}
		}
	}
	for i := range table {
		sig := table[i].parse()
		listed := strings.Contains(" "+strings.Join(ancillary, " ")+" ", " "+sig.name+" ")
		if listed != sig.hasMessages() {
			t.Errorf("%s: in the list %v, has messages %v", sig.name, listed, sig.hasMessages())
		}
	}
}

// The arguments of a few calls depend on the architecture.
func TestArguments(t *testing.T) {
	for _, a := range archs {
		oneStruct := a == i386 || a == s390x
		if sig := a.calls()[uint64(max(0, a.syscallNumber("mmap")))]; a != arm && (sig.name != "mmap" || (len(sig.params) == 1) != oneStruct) {
			t.Errorf("%s: mmap is %+v", a.Name, sig)
		}
		flagsAt := 0
		if a == s390x {
			flagsAt = 1
		}
		if sig := a.calls()[uint64(a.syscallNumber("clone"))]; sig.params[flagsAt] != argWord || sig.params[1-flagsAt] != argAddr {
			t.Errorf("%s: clone is %+v", a.Name, sig)
		}
		has := a == i386 || a == ppc64le || a == s390x
		if nr := a.syscallNumber("socketcall"); (nr != none) != has {
			t.Errorf("%s: socketcall is %d", a.Name, nr)
		}
	}
}

// The layouts have no gaps, and the same size as in the kernel.
func TestLayouts(t *testing.T) {
	for word, sizes := range map[int][5]int{8: {56, 64, 16, 16, 16}, 4: {28, 32, 8, 12, 8}} {
		l := layouts[word]
		for i, one := range []layout{l.msghdr, l.mmsghdr, l.iovec, l.cmsghdr, l.timespec} {
			end := 0
			for _, f := range one {
				if f.Offset != end {
					t.Errorf("%d bytes a word: %s is at %d, want %d", word, f.Name, f.Offset, end)
				}
				end += f.Size
			}
			if end != sizes[i] || one.size() != end {
				t.Errorf("%d bytes a word: structure %d has %d bytes, want %d", word, i, end, sizes[i])
			}
		}
	}
}
