package programs

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// clients returns which users the modes of a socket and its directories let connect at most, besides root: any, group:NAME or
// user:NAME, of which it returns the last in this order, or unknown if there is no such socket in this mount namespace.
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
		case st.Mode&(bit<<3) != 0 && st.Gid != 0:
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

// reach says after how many messages the descriptors that stay open fill the descriptor table of the server, and who can send
// them. It returns "" if not every message leaves one.
func reach(list []Holding, messages int, address string) string {
	if len(list) == 0 || messages == 0 || Count(list) < messages {
		return ""
	}
	limit := 0
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", list[0].PID))
	_, after, _ := strings.Cut(string(text), "Max open files")
	_, _ = fmt.Sscan(after, &limit) // the soft limit
	fds, err := procfs.OpenFDs(list[0].PID)
	if err != nil || limit == 0 {
		return ""
	}
	each := Count(list) / messages
	return fmt.Sprintf(": %d per message, so that about %d messages reach its limit of %d; who may connect: %s",
		each, max(0, limit-len(fds))/each, limit, clients(address))
}
