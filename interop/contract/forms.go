package contract

import (
	"fmt"
	"slices"
	"strings"
)

// A Form is what a call takes, and what its answer gives.
type Form struct {
	Takes, Gives []string
	any          bool // it takes other fields too: the names of options
}

// Word reports whether the call takes the field.
func (f Form) Word(key string) bool { return f.any || slices.Contains(f.Takes, key) }

func form(takes, gives string) Form {
	return Form{Takes: strings.Fields(takes), Gives: strings.Fields(gives)}
}

// OwnFiles are the files outside the folder of the case that the reference may open: its
// own, in /proc.
var OwnFiles = []string{"/proc/self/auxv", "/proc/self/comm", "/proc/self/status"}

// Above is the folder above one that was received. Nothing but open takes it.
const Above = ".."

// Beneath reports whether a path stays in the folder to which it is relative, if no part of
// it is a symbolic link.
func Beneath(path string) bool {
	parts := strings.Split(path, "/")
	return !slices.Contains(parts, "") && !slices.Contains(parts, "..")
}

// Check returns an error if a path of a call leaves the folder of the case: a catalogue may
// be a stranger's, and the user's files are not its business.
func Check(verb string, fields map[string]string) error {
	for _, key := range []string{"path", "to", "name"} {
		path, ok := fields[key]
		if key == "name" {
			path, ok = strings.CutPrefix(path, "path:")
		}
		own := verb == "open" && (fields["dir"] == "" && slices.Contains(OwnFiles, path) || fields["dir"] != "" && path == Above)
		if ok && !own && !Beneath(path) {
			return fmt.Errorf("%s=%s is not below the folder of the case", key, fields[key])
		}
	}
	return nil
}

// Forms are the calls that the reference makes, by their names: what each takes, and what
// its answer has.
var Forms = map[string]Form{
	// Messages.
	"sendmsg":  form("sock payload at control controllen flags name", "n"),
	"recvmsg":  form("sock bytes at control controllen fill flags", "n payload fds pidfd control controllen flags name"),
	"sendmmsg": form("sock payload control flags", "n"),
	"recvmmsg": form("sock bytes control flags", "n payload fds"),
	"read":     form("fd bytes at", "n payload"),
	"write":    form("fd payload at", "n"),
	"splice":   form("fds bytes", "n"),
	"sendfile": form("fds bytes", "n"),

	// Sockets.
	"socket":     form("family type", "fd"),
	"socketpair": form("type", "fds"),
	"bind":       form("sock name", ""),
	"listen":     form("sock backlog", ""),
	"connect":    form("sock name fd", ""),
	"accept":     form("sock", "fd name"),
	"sockname":   form("sock", "name"),
	"peername":   form("sock", "name"),
	"shutdown":   form("sock how", ""),
	"setsockopt": {Takes: []string{"sock"}, any: true},
	"getsockopt": form("sock option", "value"),
	"peercred":   form("sock", "creds"),
	"peerpidfd":  form("sock", "fd"),
	"queued":     form("sock", "in out"),

	// Descriptors.
	"dup":       form("fd", "fd"),
	"poll":      form("fd events wait", "events"),
	"fcntl":     form("fd get set", "value"),
	"seal":      form("fd seals", "seals"),
	"lock":      form("fd kind how", ""),
	"lseek":     form("fd offset", "value"),
	"truncate":  form("fd size", ""),
	"stat":      form("fd", "kind mode size links uid"),
	"mmap":      form("fd prot", ""),
	"epoll":     form("fds how", ""),
	"epollwait": form("fd wait", "n"),
	"pidof":     form("fd", "pid"),
	"signal":    form("fd signal", ""),
	"setns":     form("fd", ""),
	"inherited": form("fd", "open"),
	"adopt":     form("fds", ""),

	// Files by name: paths are relative to a folder of the case.
	"open":   form("dir path flags mode", "fd"),
	"link":   form("fd path", ""),
	"unlink": form("path", ""),
	"mkdir":  form("path mode", ""),
	"rename": form("path to", ""),
	"chmod":  form("path mode", ""),
	"chown":  form("path uid", ""),
	"chdir":  form("path", ""),

	// The process.
	"setuid": form("uid pid", ""),
}
