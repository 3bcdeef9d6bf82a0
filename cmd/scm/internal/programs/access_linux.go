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

// extent says how bad it is that descriptors stay open: in which processes, unless only in the first one, how many
// as fixed files, after how many messages the fullest table is full, and who can send them.
func (t *target) extent(list []Holding, messages int) (text string) {
	var names []string
	fixed := 0
	for _, h := range list {
		if h.PID != t.server.pid && !slices.Contains(names, h.Program) {
			names = append(names, h.Program)
		}
		if h.ring != nil {
			fixed += h.FDs
		}
	}
	if len(names) > 1 || len(names) == 1 && names[0] != ProgramOf(t.server.pid) {
		text = ", in " + strings.Join(names, ", ")
	}
	if fixed > 0 {
		text += fmt.Sprintf(", %d of them as fixed files of an io_uring", fixed)
	}
	most := slices.MaxFunc(list, func(a, b Holding) int { return cmp.Compare(a.FDs, b.FDs) })
	if limit, free := most.room(); limit > 0 && messages > 0 {
		rate := fmt.Sprintf("%d per message", most.FDs/messages)
		if most.FDs%messages != 0 { // others may be in other tables, or closed
			rate = fmt.Sprintf("%d per %d messages in one table", most.FDs, messages)
		}
		reach := "the next message reaches"
		if n := free * messages / most.FDs; n > 1 {
			reach = fmt.Sprintf("about %d messages reach", n)
		}
		text += fmt.Sprintf(": %s, so that %s its limit of %d", rate, reach, limit)
	}
	return text + "; who may connect: " + clients(t.address)
}

// room returns the size of the table with the descriptors, and how many more it can have. The size is -1 if it is
// unknown.
func (h Holding) room() (limit, free int) {
	if h.ring != nil {
		return h.ring.Size, h.ring.Size - len(h.ring.Files)
	}
	return room(h.TID)
}

// room returns the descriptor limit of a thread, and how many more descriptors it can open. The limit is -1 if the
// kernel does not report it.
func room(tid int) (limit, free int) {
	limits, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", tid))
	_, after, _ := strings.Cut(string(limits), "Max open files")
	_, scanned := fmt.Sscan(after, &limit) // the soft limit
	fds, err := procfs.OpenFDs(tid)
	if err != nil || scanned != nil {
		return -1, 0
	}
	return limit, max(0, limit-len(fds))
}

// isFull reports whether a descriptor table with the new connection, a socket that is not in before, is too full to
// receive a descriptor. Other processes may also listen, and have space although the one that accepts has none. An
// accept(2) that waits for the next connection needs space too. For datagrams, scm does not know which process reads,
// so all tables with the socket must be full.
func (t *target) isFull(before []socket) bool {
	full := func(k socket, need int) bool {
		limit, free := room(k.tid)
		return limit >= 0 && free < need
	}
	if t.Type == unix.SOCK_DGRAM {
		receivers := slices.DeleteFunc(before, func(k socket) bool { return k.address != t.address })
		return len(receivers) > 0 && !slices.ContainsFunc(receivers, func(k socket) bool { return !full(k, 1) })
	}
	accepted := func() []socket {
		return slices.DeleteFunc(t.server.sockets(), func(k socket) bool {
			return k.listens || slices.ContainsFunc(before, func(b socket) bool { return b.inode == k.inode })
		})
	}
	if len(before) == 0 || !t.await(t.waitLimit, idleWait, func() bool { return len(accepted()) > 0 }) {
		return false // it reads nothing, as far as the kernel shows
	}
	t.rest() // it may start another process for the connection
	return slices.ContainsFunc(accepted(), func(k socket) bool { return full(k, 2) })
}
