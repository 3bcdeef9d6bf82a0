package catalogue

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/scm-rights/scm/interop/bounded"
)

// mostBytes is the largest file of a catalogue on disk.
const mostBytes = 256 << 10

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
	return f.root.OpenFile(name, os.O_RDONLY|bounded.Nonblock, 0)
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
