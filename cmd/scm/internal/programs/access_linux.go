package programs

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// clients returns which users the modes of a socket and its directories let connect, besides root: any, group:NAME
// or user:NAME, the last in this order that applies. It returns unknown if there is no such socket here.
func clients(address string) string {
	who := "any"
	path, _ := filepath.EvalSymlinks(address)
	path, _ = filepath.Abs(path)
	for bit := uint32(unix.S_IWOTH); bit != 0 && !strings.HasPrefix(address, "@"); path = filepath.Dir(path) {
		var st unix.Stat_t
		err := unix.Stat(path, &st)
		if err != nil || (bit == unix.S_IWOTH) != (st.Mode&unix.S_IFMT == unix.S_IFSOCK) {
			return "unknown"
		}
		switch {
		case st.Mode&bit != 0:
		case st.Mode&(bit<<3) != 0:
			who = max(who, named("group:", st.Gid))
		default:
			who = max(who, named("user:", st.Uid))
		}
		if bit = unix.S_IXOTH; path == "/" {
			bit = 0
		}
	}
	return who
}

// named returns the name of a user or group, or its ID if it has none.
func named(kind string, id uint32) string {
	name := strconv.Itoa(int(id))
	if g, err := user.LookupGroupId(name); kind == "group:" && err == nil {
		name = g.Name
	} else if u, err := user.LookupId(name); kind == "user:" && err == nil {
		name = u.Username
	}
	return kind + name
}

// extent says how bad it is that descriptors stay open: in which processes, unless only in the first one, after how
// many messages the server runs out of descriptors, if each message leaves one, and who can send them.
func (t *target) extent(list []Holding, messages int) (text string) {
	var names []string
	for _, h := range list {
		if h.PID != t.server.pid && !slices.Contains(names, h.Program) {
			names = append(names, h.Program)
		}
	}
	if len(names) > 1 || len(names) == 1 && names[0] != ProgramOf(t.server.pid) {
		text = ", in " + strings.Join(names, ", ")
	}
	most := slices.MaxFunc(list, func(a, b Holding) int { return cmp.Compare(a.FDs, b.FDs) })
	limit, free := room(most.TID)
	if each := most.FDs / max(messages, 1); limit > 0 && messages > 0 && each > 0 {
		text += fmt.Sprintf(": %d per message, so that about %d messages reach its limit of %d", each, free/each, limit)
		text += "; who may connect: " + clients(t.address)
	}
	return text
}

// room returns the limit of descriptors of a thread, and how many more it can open, or 0 if the kernel does not say.
func room(tid int) (limit, free int) {
	limits, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", tid))
	_, after, _ := strings.Cut(string(limits), "Max open files")
	_, _ = fmt.Sscan(after, &limit) // the soft limit
	fds, err := procfs.OpenFDs(tid)
	if err != nil {
		return 0, 0
	}
	return limit, max(0, limit-len(fds))
}

// isFull reports whether no descriptor table with a socket at the address has space for a descriptor that a client
// passes. A connection, and an accept(2) that waits for the next one, need space too.
func (t *target) isFull() bool {
	need := 3
	if t.Type == unix.SOCK_DGRAM {
		need = 1
	}
	at := map[string]bool{} // the inodes of the sockets
	for _, k := range t.server.sockets() {
		at[k.inode] = k.address == t.address
	}
	full := false
	pids, _ := t.server.Processes()
	for _, pid := range pids {
		tables, _ := procfs.Tables(pid)
		for _, table := range tables {
			if slices.ContainsFunc(openSockets(table), func(inode string) bool { return at[inode] }) {
				limit, free := room(table.TID)
				if limit == 0 || free >= need {
					return false
				}
				full = true
			}
		}
	}
	return full
}
