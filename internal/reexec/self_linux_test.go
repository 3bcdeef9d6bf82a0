package reexec

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// The shell, editor or CI runner that has started the tests may have left descriptors open.
func TestChildrenInheritNoDescriptor(t *testing.T) {
	const inherits = "SCM_TEST_INHERITS"
	if os.Getenv(inherits) != "" {
		if _, err := unix.FcntlInt(3, unix.F_GETFD, 0); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("sh", "-c", "! test -e /proc/$$/fd/3").CombinedOutput(); err != nil {
			t.Errorf("%v: a child has inherited descriptor 3 %s", err, out)
		}
		return
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(self()[0], append(self()[1:], "-test.run=^"+t.Name()+"$")...)
	cmd.Env = append(os.Environ(), inherits+"=1")
	cmd.ExtraFiles = []*os.File{f}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the child, which must have no other descriptor, ended with %v\n%s", err, out)
	}
}
