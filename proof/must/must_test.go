package must

import (
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"strconv"
	"testing"
)

func TestTry(t *testing.T) {
	for _, c := range []struct {
		f    func()
		want error
	}{
		{func() { OK(nil) }, nil},
		{func() { OK(io.EOF) }, io.EOF},
		{func() { Get(strconv.Atoi("x")) }, strconv.ErrSyntax},
		{func() { Failf("read: %w", io.EOF) }, io.EOF},
		{func() { Run(exec.Command("/missing")) }, fs.ErrNotExist},
	} {
		if err := Try(c.f); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
	defer func() {
		if recover() != "a fault" {
			t.Error("Try has recovered from another panic")
		}
	}()
	_ = Try(func() { panic("a fault") })
}

func TestRun(t *testing.T) {
	if got := Run(exec.Command("echo", "one")); got != "one\n" {
		t.Errorf("got %q, want one line", got)
	}
	err := Try(func() { Run(exec.Command("sh", "-c", "echo two >&2; exit 3")) })
	if want := "sh -c echo two >&2; exit 3: exit status 3\ntwo\n"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
