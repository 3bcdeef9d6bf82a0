package interop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// An environment contains the settings and the state that all sessions of a run share.
type environment struct {
	ctx       context.Context // of the run, which may be cut short
	timeout   time.Duration
	witness   *witness.Witness
	folder    string        // for the files of the run that have a name
	holders   *sync.Map     // names of the peers that were blamed for a leak in no descriptor table
	exclusive *sync.RWMutex // held by each running case; write-locked by a case that must run alone

	hangs       func(scenario.Case, scenario.Role) bool // whether the peer is expected not to answer
	runnerFails func(scenario.Case) string              // why the case shows nothing about the peers here, or ""
	records     map[scenario.Role]*process.Record       // of the peers, if they are recorded
}

// A caseRun is the state of a case while it runs.
type caseRun struct {
	environment
	*caseFiles
	sides   map[scenario.Role]*side
	made    []*witness.File // files that the runner's own processes have made
	result  scenario.Result
	leaked  bool // a leak of a named file has been found
	decided bool // the transcript has ended
	spent   bool // a process can run no more cases, so the session ends with this one

	states    map[*witness.File]witness.State // of the named files, when a side last answered
	changedBy map[*witness.File]suspect       // who changed the state of a file without a command to do so
	overlap   bool                            // both sides had something to do since states was taken

	facts facts // what happened at each line, for the report
}

// A side is a peer process and its role in a running case. It is created for that case only.
type side struct {
	*peerProcess
	role     scenario.Role
	byRunner bool  // the scenario gives the runner this role, so it may be sent any call
	other    *side // the side opposite
	socket   *witness.File
	given    []int          // the descriptors of the case that the peer was started with, its socket first
	received map[string]int // the descriptors that it reported, by the names of their files and as numerals

	command command // the last command of the transcript that it was sent
	pending bool    // it has not answered yet

	mayHaveSent bool             // it was sent a command that can pass a file
	refused     bool             // its library has rejected an operation and may no longer use the connection
	failed      bool             // a call has failed, and its library may close the socket at any time
	signals     []syscall.Signal // sent by the runner, except those that have no effect any more
	killed      bool
	ended       bool                     // it has answered the runner's "end"
	unseen      bool                     // the runner may not look at its descriptors
	leaks       map[int]bool             // the descriptors that were already reported as leaks
	seen        map[int]judge.Descriptor // the open descriptors that the facts have named
	ownLimit    *unix.Rlimit             // its RLIMIT_NOFILE before the scenario changed it, or nil
}

// A suspect is the side that changed a file, or that may have changed it.
type suspect struct {
	*side
	sure bool // the other side cannot have done it
}

// A command is a line that the runner has sent to a peer.
type command struct {
	contract.Line
	text string
}

// Errors that end a case.
var (
	errCaseOver    = errors.New("the case is decided")
	errSessionOver = errors.New("the session is over") // the rest of the cases need a new session
)

func newSide(p *peerProcess, files *caseFiles, role scenario.Role) *side {
	sd := &side{
		peerProcess: p,
		role:        role,
		byRunner:    files.Scenario.RunByRunner(role),
		socket:      files.socket(role),
		received:    map[string]int{},
		leaks:       map[int]bool{},
		seen:        map[int]judge.Descriptor{},
	}
	for _, file := range files.ownedBy(role) {
		sd.given = append(sd.given, file.FD)
	}
	return sd
}

// isRunner reports whether the runner has this role, either because the scenario says so or because
// the case pairs a peer with the runner.
func (sd *side) isRunner() bool { return sd.Peer.Name == scenario.RunnerName }

// noteFailure takes note of an answer after which the library may close the socket at any time, if
// the peer's hello has closes=yes. The socket's descriptor may then refer to any file.
func (sd *side) noteFailure(answer string) {
	if sd.Peer.Hello.Closes && isFailure(answer) {
		sd.failed = true
		delete(sd.tracked, sd.socket.FD)
	}
}

// isFailure reports whether an answer says that a call failed. A library may also have rejected a
// call to which its peer answers unsupported.
func isFailure(answer string) bool {
	verb, _, _ := strings.Cut(answer, " ")
	return verb == "err" || verb == "unsupported"
}

// mayHoldSocket reports whether the descriptor of the side's socket may still refer to the socket.
func (sd *side) mayHoldSocket() bool {
	id, err := procfs.Identify(sd.Pid, sd.socket.FD)
	return err == nil && id == sd.socket.FileID || witness.MayNotInspect(sd.Pid, err)
}

// untrack stops tracking the descriptors of the case when the peer is sent a command to close them.
func (sd *side) untrack() {
	for _, fd := range slices.Concat(sd.given, slices.Collect(maps.Values(sd.received))) {
		delete(sd.tracked, fd)
	}
}

// restoreLimit restores the peer's original limit of open files, if the scenario changed it.
func (sd *side) restoreLimit() {
	if sd.ownLimit != nil {
		_ = unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, sd.ownLimit, nil) // fails only if the peer has ended
		sd.ownLimit = nil
	}
}

// hasBasicCommand reports whether the last command was to send or receive one descriptor with a few
// bytes. A peer must support such a command on every socket type that it lists in can=, a field of
// its answer to hello.
func (sd *side) hasBasicCommand() bool {
	c := sd.command
	if len(c.Words) > 0 || len(c.Fields) != 2 {
		return false
	}
	fd, err := strconv.Atoi(c.Fields["fds"])
	switch c.Verb {
	case "send":
		payload := c.Fields["payload"]
		return err == nil && sd.tracks(fd) && len(payload) > 1 && !strings.ContainsAny(payload, "@,")
	case "recv":
		bytes, err := strconv.Atoi(c.Fields["bytes"])
		return err == nil && bytes > 0 && fd == 1
	}
	return false
}

// awaited reports whether any side has not yet answered its command.
func (cr *caseRun) awaited() bool {
	return cr.sides[scenario.RoleA].pending || cr.sides[scenario.RoleB].pending
}

// failed reports whether the case has ended because a call failed and the library may therefore
// close its socket.
func (cr *caseRun) failed() bool {
	return cr.sides[scenario.RoleA].failed || cr.sides[scenario.RoleB].failed
}

// note adds a line to the transcript.
func (cr *caseRun) note(line string) {
	cr.result.Transcript = append(cr.result.Transcript, line)
	cr.facts.line(line)
}

// ask sends a command and returns the answer. Both become lines of the transcript.
func (cr *caseRun) ask(sd *side, text string) (string, error) {
	cr.note(fmt.Sprintf("%s> %s", sd.role, text))
	answer, err := sd.Ask(cr.ctx, text, cr.timeout)
	if err == nil {
		cr.note(fmt.Sprintf("%s< %s", sd.role, answer))
	}
	return answer, err
}
