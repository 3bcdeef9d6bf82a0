package catalogue

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/scm-rights/scm/interop/bounded"
)

// Limits of a catalogue, which may be somebody else's.
const (
	mostFiles = 10_000
	mostBytes = 256 << 10 // of a file
)

// A folder is a catalogue on disk.
type folder struct{ root *os.Root }

// Open opens a folder as a catalogue: it has regular files of at most 256 KiB, and no link
// leads out of it.
func Open(dir string) (fs.FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return folder{root}, nil
}

// Open does not wait for whoever is at the other end of a FIFO.
func (f folder) Open(name string) (fs.File, error) {
	return f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func (f folder) ReadFile(name string) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	return bounded.Read(file, name, mostBytes)
}

// transcripts are the names GROUP/ID.txt of a catalogue.
func transcripts(dir fs.FS) (names []string, err error) {
	groups, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		is := group.IsDir()
		if group.Type() == fs.ModeSymlink {
			info, err := fs.Stat(dir, group.Name())
			if err != nil {
				return nil, err // nobody has to ask why its files are not played
			}
			is = info.IsDir()
		}
		if !is {
			continue
		}
		files, err := fs.ReadDir(dir, group.Name())
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if path.Ext(file.Name()) == ".txt" {
				names = append(names, path.Join(group.Name(), file.Name()))
			}
		}
	}
	if len(names) > mostFiles {
		return nil, fmt.Errorf("more than %d files GROUP/ID.txt", mostFiles)
	}
	return names, nil
}
