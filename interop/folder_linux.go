package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// A runFolder is the folder of a run for whatever has a name. Its lock ends with the
// process, whoever may reap that and whatever its number is elsewhere, so that the
// next run knows a folder that nobody will remove any more.
type runFolder struct {
	dir  string
	lock *os.File // nil where folders have none
	next atomic.Int64
}

var runFolderForm = regexp.MustCompile(`^scm-interop-[0-9]+-[0-9]+$`)

// newRunFolder makes the folder. Its name is for every working folder, and for a line of the
// runner's own sides. The end of ctx cuts short that it removes what others have left.
func newRunFolder(ctx context.Context) (*runFolder, error) {
	temp, err := filepath.Abs(os.TempDir())
	if err != nil {
		return nil, err
	}
	if !contract.Printable(temp) || strings.Contains(temp, " ") {
		return nil, fmt.Errorf("the folder of temporary files, %q, has a name that no command can tell: set TMPDIR to one of ASCII characters, without spaces", temp)
	}
	sweep(ctx, temp)
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
			_ = os.Remove(dir)
			return nil, err
		}
		return &runFolder{dir: dir, lock: lock}, nil
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

// How long removals may take together: another user may put something into a folder of a
// case as fast as it is emptied.
const (
	sweepTime = 10 * time.Second // at the beginning of a run, and at its end
	caseTime  = time.Second      // after a case
)

// sweep removes what runs of the same user that were killed have left. Folders of others,
// and those that others may write to, stay: they may be made to look like a run's.
func sweep(ctx context.Context, temp string) {
	ctx, stop := context.WithTimeout(ctx, sweepTime)
	defer stop()
	names, _ := filepath.Glob(filepath.Join(temp, "scm-interop-*")) // the pattern is right
	for _, name := range names {
		if !runFolderForm.MatchString(filepath.Base(name)) || ctx.Err() != nil {
			continue
		}
		lock, err := lockFolder(name)
		if err != nil {
			continue // it is in use, or another user's
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(lock.Fd()), &st); err == nil && int(st.Uid) == os.Geteuid() && st.Mode&0o022 == 0 {
			_ = removeTree(ctx, unix.AT_FDCWD, name, 0) // the next run tries again
		}
		_ = lock.Close()
	}
}

// deepest is how many folders inside each other are removed: each is open meanwhile.
const deepest = 64

// removeTree removes what a name in a folder stands for, with all that is in it, and
// follows no link. It ends with ctx, too, or when nothing more can be removed; the error
// is then why something is left.
func removeTree(ctx context.Context, dir int, name string, depth int) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	switch e := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); e {
	case nil, unix.ENOENT:
		return nil
	case unix.ENOTDIR:
		return err
	case unix.ENOTEMPTY, unix.EEXIST:
	default:
		return e
	}
	if depth == deepest {
		return fmt.Errorf("folders inside each other, more than %d", deepest)
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	_ = unix.Fchmod(fd, 0o700) // nobody else puts anything in any more, if it is the runner's
	removed, failed := 0, error(nil)
	for ctx.Err() == nil {
		names, err := f.Readdirnames(100)
		for _, inner := range names {
			if err := removeTree(ctx, fd, inner, depth+1); err == nil {
				removed++
			} else if failed == nil {
				failed = err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if err == nil {
			continue
		}
		if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); err == nil || err == unix.ENOENT {
			return nil
		} else if failed == nil {
			failed = err
		}
		if removed == 0 {
			return failed
		}
		// Something may have been passed over while others were removed, or be new.
		removed, failed = 0, nil
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// caseDir is a new folder. Anybody may make use of it where a side of the scenario plays
// as another user.
func (a *runFolder) caseDir(s *scenario.Scenario) (string, error) {
	dir := filepath.Join(a.dir, strconv.FormatInt(a.next.Add(1), 10))
	mode := os.FileMode(0o700)
	if len(s.Users) > 0 || slices.ContainsFunc(s.Steps, func(st scenario.Step) bool { return st.Command.Verb == "setuid" }) {
		mode = 0o777
	}
	if err := os.Mkdir(dir, mode); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, mode) // whatever the umask is
}

// removeCase removes the folder of a case. What is left is the run's to remove.
func (a *runFolder) removeCase(ctx context.Context, dir string) {
	ctx, stop := context.WithTimeout(ctx, caseTime)
	defer stop()
	_ = removeTree(ctx, unix.AT_FDCWD, dir, 0)
}

// remove removes the folder. The error is that something of it is left, which a next run
// tries to remove.
func (a *runFolder) remove() error {
	ctx, stop := context.WithTimeout(context.Background(), sweepTime)
	defer stop()
	err := removeTree(ctx, unix.AT_FDCWD, a.dir, 0)
	_ = a.lock.Close()
	if err != nil {
		return fmt.Errorf("%s is left: %w", a.dir, err)
	}
	return nil
}
