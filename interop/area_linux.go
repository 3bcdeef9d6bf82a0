package interop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// An area is the folder of a run for whatever has a name. It is named after the
// process, so that the next run knows one that nobody will remove any more.
type area struct {
	dir  string
	next atomic.Int64
}

var areaForm = regexp.MustCompile(`^scm-interop-([0-9]+)-[0-9]+$`)

func newArea() (*area, error) {
	sweep(os.TempDir())
	dir, err := os.MkdirTemp("", fmt.Sprintf("scm-interop-%d-", os.Getpid()))
	if err != nil {
		return nil, err
	}
	// Other users, as whom a side may play, pass through.
	return &area{dir: dir}, os.Chmod(dir, 0o711)
}

// sweep removes what runs that were killed have left.
func sweep(temp string) {
	names, _ := filepath.Glob(filepath.Join(temp, "scm-interop-*")) // the pattern is right
	for _, name := range names {
		m := areaForm.FindStringSubmatch(filepath.Base(name))
		if m == nil {
			continue
		}
		if pid, err := strconv.Atoi(m[1]); err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = os.RemoveAll(name) // another user's stays
		}
	}
}

// caseDir is a new folder, of which anybody may make use.
func (a *area) caseDir() (string, error) {
	dir := filepath.Join(a.dir, strconv.FormatInt(a.next.Add(1), 10))
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o777) // whatever the umask is
}

func (a *area) remove() { _ = os.RemoveAll(a.dir) } // the next run tries again

// spareName is a name in a folder that nobody else has at the moment.
func spareName(dir string) (string, error) {
	f, err := os.CreateTemp(dir, "scm-interop-*")
	if err != nil {
		return "", err
	}
	defer f.Close()
	return f.Name(), os.Remove(f.Name())
}
