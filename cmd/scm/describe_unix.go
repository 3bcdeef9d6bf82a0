//go:build unix

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
	"github.com/scm-rights/scm/interop/display"
	"golang.org/x/sys/unix"
)

// A file is what recv reports of a descriptor.
type file struct {
	Kind   string `json:"kind"`
	Access string `json:"access"`
	Offset *int64 `json:"offset,omitempty"`   // of what has one
	Name   string `json:"name,omitempty"`     // that the kernel has for it
	Hex    string `json:"name_hex,omitempty"` // the same, where it is not UTF-8
}

func (f file) String() string {
	text := f.Kind + ", " + f.Access
	if f.Offset != nil {
		text += fmt.Sprintf(", offset %d", *f.Offset)
	}
	if f.Name != "" {
		text += ", " + quotedName(f.Name)
	}
	return text
}

// quotedName is a name between quotes if it could be taken for anything else: who
// passes a file chooses its name.
func quotedName(name string) string {
	if quoted := display.Line(strconv.QuoteToASCII(name)); quoted != `"`+name+`"` || strings.Contains(name, ", ") {
		return quoted
	}
	return name
}

// accesses are how a file was opened.
var accesses = map[int]string{unix.O_RDONLY: "read", unix.O_WRONLY: "write", unix.O_RDWR: "read-write"}

// kinds are the words of scm.Kind.
var kinds = map[uint32]string{
	unix.S_IFREG: "regular", unix.S_IFDIR: "directory", unix.S_IFLNK: "symlink", unix.S_IFIFO: "pipe",
	unix.S_IFSOCK: "socket", unix.S_IFCHR: "character device", unix.S_IFBLK: "block device",
}

// isMemfd reports whether a file is a memfd, and not one with such a name.
func isMemfd(fd int) bool {
	own, err := unix.Dup(fd)
	if err != nil {
		return false
	}
	expect := scm.Expect{Min: 1, Max: 1, Kind: "memfd"}
	if expect.Check([]int{own}) != nil { // which closes it
		return false
	}
	_ = unix.Close(own)
	return true
}

// describe returns what the kernel knows of a descriptor without asking the file's server,
// who may not answer.
func describe(fd int) (f file, err error) {
	mode, err := sys.Mode(fd)
	if err != nil && !errors.Is(err, unix.EACCES) { // as of another user's FUSE file
		return f, err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return f, fmt.Errorf("fcntl: %w", err)
	}
	// Only Linux has it, and then only where /proc is.
	f.Name, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	f.Kind = kinds[mode&unix.S_IFMT]
	if kind := anonymousKind(f.Name); kind != "" {
		f.Kind = kind
		if strings.HasPrefix(f.Name, "anon_inode:") { // it says no more
			f.Name = ""
		}
	} else if strings.HasPrefix(f.Name, "/memfd:") && isMemfd(fd) {
		f.Kind = "memfd"
	} else if f.Kind == "" {
		f.Kind = "unknown"
	}
	if !utf8.ValidString(f.Name) {
		f.Hex = hex.EncodeToString([]byte(f.Name))
	}
	f.Access = accesses[flags&unix.O_ACCMODE]
	if isPath(flags) {
		f.Access = "path"
	} else if f.Access == "" { // O_ACCMODE itself
		f.Access = "none"
	}
	return f, nil
}

// locate sets f.Offset. lseek(2) waits while another process reads from the file.
func (f *file) locate(fd int) error {
	if f.Access == "path" || f.Kind != "regular" && f.Kind != "memfd" && f.Kind != "block device" {
		return nil
	}
	offset, err := unix.Seek(fd, 0, io.SeekCurrent)
	if err == unix.ESPIPE || err == unix.EINVAL { // as of some files in /sys, and of a dma-buf
		return nil
	}
	if err != nil {
		return fmt.Errorf("lseek: %w", err)
	}
	f.Offset = &offset
	return nil
}
