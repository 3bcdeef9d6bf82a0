package programs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/display"
)

// A Listener is a socket to which a client can send. Its fields are those of the JSON list.
type Listener struct {
	PIDs       []int  `json:"pids"` // the processes that have it open, systemd last
	Type       string `json:"type"`
	Clients    string `json:"clients"`    // which users may connect
	Executable string `json:"executable"` // of the first process
	Address    string `json:"address"`
}

// List prints the listening sockets and the bound datagram sockets in this network namespace, without connecting to
// them. It does not see processes whose descriptors it may not read.
func List(w io.Writer, asJSON bool) error {
	holders, listeners := map[string][]int{}, []Listener{}
	paths, _ := filepath.Glob("/proc/[0-9]*") // the pattern is valid
	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(path))
		tables, _ := procfs.Tables(pid)
		for _, inode := range openSockets(tables...) {
			if !slices.Contains(holders[inode], pid) {
				holders[inode] = append(holders[inode], pid)
			}
		}
	}
	for _, s := range sockets("/proc/net/unix") {
		if s.listens {
			// The parent of the processes, which scm poke takes, usually has the lowest PID. systemd also listens for
			// the services that it has started.
			pids := append([]int{}, holders[s.inode]...)
			slices.SortFunc(pids, func(a, b int) int { return cmp.Compare(uint(a-2), uint(b-2)) })
			program := cmp.Or(executable(append(pids, -1)[0]), "-")
			listeners = append(listeners, Listener{pids, typeName(s.typ), clients(s.address), program, s.address})
		}
	}
	slices.SortFunc(listeners, func(a, b Listener) int { return cmp.Compare(a.Address, b.Address) })
	if asJSON {
		text, _ := json.MarshalIndent(listeners, "", "  ") // strings and integers
		_, err := fmt.Fprintf(w, "%s\n", display.JSON(text))
		return err
	}
	const row = "%-7s %-9s %-15s %-25s %s\n"
	fmt.Fprintf(w, row, "PID", "TYPE", "CLIENTS", "EXECUTABLE", "ADDRESS")
	for _, l := range listeners {
		pid := append(l.PIDs, 0)[0] // 0 if the kernel does not show the process
		fmt.Fprintf(w, row, strconv.Itoa(pid), l.Type, l.Clients, strings.ReplaceAll(display.Line(l.Executable), " ", `\x20`), display.Line(l.Address))
	}
	return nil
}
