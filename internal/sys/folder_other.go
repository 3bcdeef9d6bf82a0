//go:build !linux

package sys

import (
	"io/fs"
	"os"
)

const HasLongPaths = false

type FileInfo struct{ fs.FileInfo }

func (i FileInfo) Same(other FileInfo) bool { return os.SameFile(i.FileInfo, other.FileInfo) }
func (i FileInfo) IsSocket() bool           { return i.Mode().Type() == fs.ModeSocket }
func (i FileInfo) Perm() fs.FileMode        { return i.Mode().Perm() }

// A Folder is known by its path: not every system lets a folder that cannot be read be
// opened.
type Folder struct {
	path string
	Info FileInfo
}

func OpenFolder(path string) (Folder, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Folder{}, err
	}
	if !os.IsPathSeparator(path[len(path)-1]) {
		path += "/"
	}
	return Folder{path, FileInfo{info}}, nil
}

func InFolder(path string, f func(Folder) error) error {
	if path == "" {
		path = "."
	}
	at, err := OpenFolder(path)
	if err != nil {
		return err
	}
	return f(at)
}

func (Folder) Close()                         {}
func (f Folder) Name(base string) string      { return f.path + base }
func (f Folder) Remove(base string) error     { return unlink(f.path + base) }
func (f Folder) Rename(from, to string) error { return os.Rename(f.path+from, f.path+to) }

// Settle has nothing to wait by.
func (Folder) Settle(string) {}

func (f Folder) Look(base string) (FileInfo, error) {
	info, err := os.Lstat(f.path + base)
	return FileInfo{info}, err
}

func (f Folder) PutBack(from, to string) error {
	err := os.Link(f.path+from, f.path+to)
	if err == nil {
		err = f.Remove(from)
	}
	return err
}

func (f Folder) Lockable() (fd int, err error) { return openFolder(f.path) }

type HeldFile struct{ Info FileInfo }

func (f Folder) Hold(base string) (h HeldFile, err error) {
	h.Info, err = f.Look(base)
	return h, err
}

func (HeldFile) Close() {}

func (HeldFile) Connect(_ int, byPath func() error) error { return byPath() }

// OnlyHere does not know the file systems.
func (HeldFile) OnlyHere() error { return nil }

// Verify cannot ask which file is the socket's.
func (Folder) Verify(int, FileInfo, string) error { return nil }

func (f Folder) Chmod(base string, info FileInfo, mode fs.FileMode) error {
	now, err := f.Look(base)
	if err == nil && !now.Same(info) {
		err = ErrReplaced
	}
	if err == nil {
		err = chmod(f.path+base, mode)
	}
	return err
}
