package scm

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const sysHasAbstract = true

// sysShortName reaches a path that is longer than sun_path by way of its folder,
// which is open meanwhile.
func sysShortName(path string, use func(name string) error) error {
	folder, base := filepath.Split(path)
	if folder == "" {
		folder = "."
	}
	fd, err := openFolder(folder)
	if err != nil {
		return &os.PathError{Op: "open", Path: folder, Err: err}
	}
	defer sysClose(fd)
	name := fmt.Sprintf("/proc/self/fd/%d/%s", fd, base)
	if len(name) > sysMaxName {
		return nameTooLong(path)
	}
	return use(name)
}

// openFolder goes on after a signal, as package os does: a network file system can
// be interrupted.
func openFolder(folder string) (fd int, err error) {
	for {
		fd, err = unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
