//go:build unix

package fdtest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A socket can be bound in the directory that ShortDir returns, and other users can reach it, whatever $TMPDIR is.
func TestShortDir(t *testing.T) {
	given, err := os.MkdirTemp("/tmp", "scm") // in $TMPDIR, the name of short could be too long
	Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(given) })
	short, space, long, private := given+"/short", given+"/a b", filepath.Join(given, strings.Repeat("x", 100)), given+"/private"
	err = errors.Join(os.Chmod(given, 0o755), os.Mkdir(short, 0o755), os.Mkdir(space, 0o755), os.Mkdir(long, 0o755), os.Mkdir(private, 0o700))
	Must(t, err)
	for temp, want := range map[string]string{
		short: short, space: "/tmp", long: "/tmp", private: "/tmp", private + "/none": "/tmp", "relative": "/tmp",
	} {
		dir := ""
		t.Run(filepath.Base(temp), func(t *testing.T) {
			t.Setenv("TMPDIR", temp)
			dir = ShortDir(t)
			if got := filepath.Dir(dir); got != want {
				t.Errorf("TMPDIR=%s: got a directory in %s, want one in %s", temp, got, want)
			}
			l, err := net.Listen("unix", filepath.Join(dir, "socket"))
			Must(t, err)
			_ = l.Close()
		})
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("TMPDIR=%s: %s after the test: %v", temp, dir, err)
		}
	}
}
