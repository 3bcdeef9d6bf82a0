package interop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/scm-rights/scm/interop/contract"
	"golang.org/x/sys/unix"
)

// An area is the folder of a run for whatever has a name. Its lock ends with the
// process, whoever may reap that and whatever its number is elsewhere, so that the
// next run knows a folder that nobody will remove any more.
type area struct {
	dir  string
	lock *os.File // nil where folders have none
	next atomic.Int64
}

var areaForm = regexp.MustCompile(`^scm-interop-[0-9]+-[0-9]+$`)

// newArea makes the folder. Its name is for every working folder, and for a line of the
// runner's own sides.
func newArea() (*area, error) {
	temp, err := filepath.Abs(os.TempDir())
	if err != nil {
		return nil, err
	}
	if !contract.Printable(temp) || strings.Contains(temp, " ") {
		return nil, fmt.Errorf("the folder of temporary files, %q, has a name that no command can tell: set TMPDIR to one of ASCII characters, without spaces", temp)
	}
	sweep(temp)
	for {
		dir, err := os.MkdirTemp(temp, fmt.Sprintf("scm-interop-%d-", os.Getpid()))
		if err != nil {
			return nil, err
		}
		var lock *os.File
		// Other users, as whom a side may play, pass through.
		if err = os.Chmod(dir, 0o711); err == nil {
			lock, err = lockFolder(dir)
		}
		switch {
		case errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.ENOENT):
			continue // another run's sweep was first
		case errors.Is(err, unix.ENOLCK) || errors.Is(err, errors.ErrUnsupported):
			// No sweep can lock it either.
		case err != nil: // a sweep could take it from under the run
			_ = os.RemoveAll(dir)
			return nil, err
		}
		return &area{dir: dir, lock: lock}, nil
	}
}

// lockFolder locks the folder of that name. The error is EWOULDBLOCK if somebody
// else has, and ENOENT if it went meanwhile.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err = os.NewSyscallError("flock", unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)); err == nil {
		_, err = os.Stat(dir) // a name is used once
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes what runs that were killed have left.
func sweep(temp string) {
	names, _ := filepath.Glob(filepath.Join(temp, "scm-interop-*")) // the pattern is right
	for _, name := range names {
		if !areaForm.MatchString(filepath.Base(name)) {
			continue
		}
		lock, err := lockFolder(name)
		if err != nil {
			continue // it is in use, or another user's
		}
		_ = os.RemoveAll(name) // the next run tries again
		_ = lock.Close()
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

func (a *area) remove() {
	_ = os.RemoveAll(a.dir) // the next run tries again
	_ = a.lock.Close()
}
