package procfs

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Ring is an io_uring. Its fixed files stay open after their descriptors have been closed.
type Ring struct {
	TID   int      // of a thread that uses the table with its own descriptor
	FD    int      // its own descriptor
	Size  int      // of the table of fixed files
	Files []string // their names, as returned by ReadLink; older kernels show only the last element of a path
}

// Rings returns the io_urings in a descriptor table, except those found before in other tables. One that has several
// descriptors, also in several processes, is found once, if kcmp(2) is permitted. While a process uses a ring, the
// kernel does not show its fixed files. If that takes long, the error wraps EBUSY. Rings does not see a ring whose own
// descriptor has been closed.
func (t Table) Rings(before ...Ring) (rings []Ring, err error) {
	for _, fd := range slices.Sorted(maps.Keys(t.Files)) {
		if !t.Files[fd].Anonymous() {
			continue
		}
		if name, err := ReadLink(t.TID, fd); err != nil || Kind(name, true) != "io_uring" {
			continue // an error means that it has been closed
		}
		known := func(r Ring) bool {
			same, _ := Kcmp(r.TID, r.FD, t.TID, fd)
			return same
		}
		if slices.ContainsFunc(before, known) || slices.ContainsFunc(rings, known) {
			continue
		}
		ring, err := readRing(t.TID, fd)
		switch {
		case err == nil:
			rings = append(rings, ring)
		case !IsGone(err):
			return nil, err
		}
	}
	return rings, nil
}

func readRing(tid, fd int) (Ring, error) {
	path := folder(tid) + "/fdinfo/" + strconv.Itoa(fd)
	for tries := 1; ; tries++ {
		text, err := read(path)
		if err != nil {
			return Ring{}, err
		}
		ring, shown := parseRing(string(text))
		// While a ring is in use, kernels before Linux 6.15 show its size, as if it were empty.
		if len(ring.Files) > 0 || shown && (ring.Size == 0 || tries == 10) {
			ring.TID, ring.FD = tid, fd
			return ring, nil
		}
		if tries == 1000 {
			return ring, &os.PathError{Op: "read", Path: path, Err: unix.EBUSY}
		}
		time.Sleep(time.Millisecond)
	}
}

// unescape returns a name with the characters that the kernel escapes.
var unescape = strings.NewReplacer(`\011`, "\t", `\012`, "\n", `\040`, " ", `\134`, `\`).Replace

// parseRing returns the fixed files, and whether the text has a list of them.
func parseRing(text string) (r Ring, shown bool) {
	_, list, shown := strings.Cut(text, "\nUserFiles:\t")
	size, list, _ := strings.Cut(list, "\n")
	r.Size, _ = strconv.Atoi(size)
	for line := range strings.Lines(list) {
		slot, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if _, err := strconv.Atoi(strings.TrimSpace(slot)); err != nil {
			break // the next list
		}
		if name != "<none>" { // which older kernels print for a free slot
			r.Files = append(r.Files, unescape(name))
		}
	}
	return r, shown
}
