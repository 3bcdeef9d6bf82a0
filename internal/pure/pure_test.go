package pure_test

import (
	"testing"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/pure"
)

// A call resets the results of an earlier one even if it fails. Otherwise the next receive into the same Message would
// return the descriptors again.
func TestFailedCallResetsResults(t *testing.T) {
	pidfd := 7
	m := msg.Message{Cred: &msg.Cred{PID: 7}, PIDFD: &pidfd, N: 7, NFD: 7, Flags: 7, NameLen: 7}
	if err := pure.Recv(-1, &m, 0); err == nil || m.Cred.Received() || pidfd != -1 || m.N|m.NFD|m.Flags|m.NameLen != 0 {
		t.Errorf("Recv: %v, left %+v, %+v and pidfd %d", err, m, *m.Cred, pidfd)
	}
	m = msg.Message{N: 7, NFD: 7, Flags: 7, NameLen: 7}
	if err := pure.Send(-1, &m, 0); err == nil || m.N|m.NFD|m.Flags|m.NameLen != 0 {
		t.Errorf("Send: %v, left %+v", err, m)
	}
}
