package fdleak

import (
	"fmt"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
)

// unchecked returns the reason why descriptors cannot be checked, or "" if they can.
func unchecked() string {
	if _, err := procfs.OpenFDs(procfs.Self); err != nil {
		return err.Error()
	}
	return ""
}

type snapshot struct{ fdtest.Snapshot }

func take() snapshot {
	fdtest.NoteReceived()
	return snapshot{fdtest.Take()}
}

func (s snapshot) left() (lines []string, err error) {
	left, err := s.Left()
	for _, fd := range left {
		if ofTesting(fdtest.Name(fd)) {
			continue
		}
		line := fmt.Sprintf("%d: %s", fd, fdtest.Describe(fd))
		if call := fdtest.ReceivedBy(fd); call != "" {
			line += "\n        " + call
		}
		lines = append(lines, line)
	}
	return lines, err
}
