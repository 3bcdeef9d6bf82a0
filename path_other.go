//go:build !linux

package scm

import (
	"io/fs"
	"os"

	"github.com/scm-rights/scm/internal/sys"
)

const sysHasLongPaths = false

// fileInfo is what is known of a file.
type fileInfo struct{ fs.FileInfo }

func (i fileInfo) same(other fileInfo) bool { return os.SameFile(i.FileInfo, other.FileInfo) }
func (i fileInfo) isSocket() bool           { return i.Mode().Type() == fs.ModeSocket }
func (i fileInfo) perm() fs.FileMode        { return i.Mode().Perm() }

// A folder is told by its path: not every system lets one that cannot be read be
// opened.
type folder struct{ path string }

func openFolder(path string) (folder, fileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return folder{}, fileInfo{}, err
	}
	if !os.IsPathSeparator(path[len(path)-1]) {
		path += "/"
	}
	return folder{path}, fileInfo{info}, nil
}

// inFolder calls f with a folder.
func inFolder(path string, f func(folder, fileInfo) error) error {
	if path == "" {
		path = "."
	}
	at, info, err := openFolder(path)
	if err != nil {
		return err
	}
	return f(at, info)
}

func (folder) close()                         {}
func (f folder) name(base string) string      { return f.path + base }
func (f folder) remove(base string) error     { return sys.Unlink(f.path + base) }
func (f folder) rename(from, to string) error { return os.Rename(f.path+from, f.path+to) }

func (f folder) look(base string) (fileInfo, error) {
	info, err := os.Lstat(f.path + base)
	return fileInfo{info}, err
}

// putBack is rename that replaces nothing.
func (f folder) putBack(from, to string) error {
	err := os.Link(f.path+from, f.path+to)
	if err == nil {
		err = f.remove(from)
	}
	return err
}

// lockable opens the folder for sysLock.
func (f folder) lockable() (fd int, err error) { return sys.OpenFolder(f.path) }

// heldFile is a file of a folder.
type heldFile struct{ info fileInfo }

func (p *place) hold() (h heldFile, err error) {
	h.info, err = p.look(p.base)
	return h, err
}

func (heldFile) close() {}

func (heldFile) connect(p *place, sock int) error {
	return p.withName(p.base, func(name string) error { return sys.Connect(sock, name) })
}

// verify cannot ask which file is the socket's.
func (*place) verify(int, fileInfo) error { return nil }

// chmod gives the socket file that was just bound a mode, and follows no link.
func (p *place) chmod(info fileInfo, mode fs.FileMode) error {
	now, err := p.look(p.base)
	if err == nil && !now.same(info) {
		err = errReplaced
	}
	if err == nil {
		err = sys.Chmod(p.folder.path+p.base, mode)
	}
	return err
}
