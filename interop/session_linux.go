package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// poolNumbers is how many numbers a peer is given in one session, at most: well
// below the usual soft limit of 1024. One case may have more.
const poolNumbers = 600

// A kit is what a case needs: a pair of sockets and its files.
type kit struct {
	c     scenario.Case
	socks map[scenario.Role]int // the runner's, until the peers have them
	files []*witness.File
	sock  map[scenario.Role]int // numbers in the peers
	ends  []*witness.File       // the sockets, as files that can be passed and leaked

	byIdentity map[witness.Identity][]*witness.File
	states     map[*witness.File]witness.State // of the files, before a peer had them
}

func newKit(c scenario.Case, a *runFolder) (k *kit, err error) {
	k = &kit{c: c, socks: map[scenario.Role]int{scenario.RoleA: -1, scenario.RoleB: -1}, sock: map[scenario.Role]int{}, byIdentity: map[witness.Identity][]*witness.File{}}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	types := map[string]int{"stream": unix.SOCK_STREAM, "dgram": unix.SOCK_DGRAM, "seqpacket": unix.SOCK_SEQPACKET}
	two, err := unix.Socketpair(unix.AF_UNIX, types[c.Type]|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return k, fmt.Errorf("socketpair: %w", err)
	}
	k.socks[scenario.RoleA], k.socks[scenario.RoleB] = two[0], two[1]
	for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
		end := &witness.File{FileSpec: scenario.FileSpec{Name: scenario.SockNames[role], Owner: role, Kind: "sock"}, Own: -1, Other: -1}
		if end.Identity, err = witness.Identify(os.Getpid(), k.socks[role]); err != nil {
			return k, err
		}
		k.ends = append(k.ends, end)
	}
	for _, spec := range c.Scenario.Files {
		f, err := k.newFile(spec, a)
		if err != nil {
			return k, err
		}
		k.files = append(k.files, f)
		k.byIdentity[f.Identity] = append(k.byIdentity[f.Identity], f)
	}
	k.states = k.fileStates()
	return k, nil
}

func (k *kit) newFile(spec scenario.FileSpec, a *runFolder) (*witness.File, error) {
	end, ok := spec.EndOf()
	if !ok {
		return kinds.New(spec, a.dir)
	}
	i := slices.IndexFunc(k.files, func(f *witness.File) bool { return f.Name == end })
	return k.files[i].OtherEnd(spec)
}

// dropSocks drops the runner's copies, but for those that its own lines need.
func (k *kit) dropSocks() {
	for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
		if !slices.ContainsFunc(k.c.Scenario.Steps, func(st scenario.Step) bool { return needsSock(st, role) }) {
			k.dropSock(role)
		}
	}
}

func (k *kit) dropSock(role scenario.Role) {
	fd := k.socks[role]
	witness.CloseNumber(&fd)
	k.socks[role] = -1
}

func (k *kit) close() {
	k.dropSock(scenario.RoleA)
	k.dropSock(scenario.RoleB)
	for _, f := range k.files {
		f.Close()
	}
}

// pool is what one side is given for the case: its socket, then its files.
func (k *kit) pool(role scenario.Role) []int {
	pool := []int{k.socks[role]}
	for _, f := range k.files {
		if f.Owner == role {
			pool = append(pool, f.Own)
		}
	}
	return pool
}

// take tells the case the numbers that its pool has in the peer.
func (k *kit) take(role scenario.Role, numbers []int) {
	k.sock[role] = numbers[0]
	for _, end := range k.ends {
		if end.Owner == role {
			end.Number = numbers[0]
		}
	}
	numbers = numbers[1:]
	for _, f := range k.files {
		if f.Owner == role {
			f.Number, numbers = numbers[0], numbers[1:]
		}
	}
}

// shared is what all sessions of a run have in common.
type shared struct {
	ctx         context.Context // of the run: it may be cut short
	timeout     time.Duration
	witness     *witness.Witness
	folder      *runFolder
	holders     *holders
	exclusive   *sync.RWMutex                           // held by each case that is played, and for writing by one that wants no other
	hangs       func(scenario.Case, scenario.Role) bool // whether it is expected that the peer does not answer
	runnerFails func(scenario.Case) string              // why nothing can be said of the peers here, or ""
	records     map[scenario.Role]*process.Record       // of the sides, if they are recorded
}

// A session is two running peers and the cases that they play one after the
// other.
type session struct {
	shared
	kits []*kit
	side map[scenario.Role]*side
}

// A side is a peer of a session.
type side struct {
	*process.Process
	role scenario.Role
	sock int             // of the case that is being played, or -1
	live map[int]tracked // numbers that the peer rightly has, without 0, 1 and 2
	pool map[int]bool    // those of them that no "use" has named yet: still the session's
	std  map[int]bool    // which of 0, 1 and 2 it had open when it had said hello
}

// has tells whether the peer rightly has a number.
func (sd *side) has(n int) bool {
	_, ok := sd.live[n]
	return ok
}

// inside tells whether a peer of the session is in this process.
func (s *session) inside() bool {
	return s.side[scenario.RoleA].Peer.Serve != nil || s.side[scenario.RoleB].Peer.Serve != nil
}

// newSession starts two peers with the pools of as many of the cases as one
// session has numbers for. Role A and B of the session are those of cases[0];
// every case has the same two peers.
func newSession(cases []scenario.Case, r shared) (s *session, err error) {
	process.Starting.Lock()
	defer process.Starting.Unlock()
	s = &session{shared: r, side: map[scenario.Role]*side{}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	first := cases[0]
	pools := map[scenario.Role][]int{}
	for _, c := range cases {
		need := 1 + len(c.Scenario.Files)
		used := max(len(pools[scenario.RoleA]), len(pools[scenario.RoleB]))
		// As somebody else, a side plays one case.
		if used > 0 && (used+need > poolNumbers || len(c.Scenario.Users)+len(first.Scenario.Users) > 0) {
			break
		}
		k, err := newKit(c, r.folder)
		if err != nil && used > 0 {
			break // it is the first of the next session
		}
		if err != nil {
			return s, kitError{err}
		}
		s.kits = append(s.kits, k)
		for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
			at := s.seat(first, c, role)
			pools[at] = append(pools[at], k.pool(role)...)
		}
	}
	for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
		proc, err := process.Start(first.Peer(role), pools[role], first.Scenario.Users[role], r.records[role])
		if err != nil {
			return s, fmt.Errorf("%s: %w", first.Peer(role).Name, err)
		}
		sd := &side{Process: proc, role: role, sock: -1, live: map[int]tracked{}, pool: map[int]bool{}, std: map[int]bool{}}
		s.side[role] = sd
		for _, n := range proc.Numbers {
			sd.live[n], sd.pool[n] = tracked{}, true
		}
		// To start takes longer than to answer.
		hello, err := proc.Greet(r.ctx, max(r.timeout, process.DefaultTimeout))
		if err == nil && !hello.Same(first.Peer(role).Hello) {
			err = errors.New("its hello is not what it was")
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", first.Peer(role).Name, err)
		}
		for n := range 3 {
			_, err := witness.Identify(sd.Thread(), n)
			sd.std[n] = err == nil || witness.CannotLook(sd.Pid, err)
		}
	}
	at := map[scenario.Role]int{}
	for _, k := range s.kits {
		k.dropSocks()
		for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
			seat := s.seat(first, k.c, role)
			size := len(k.pool(role))
			k.take(role, s.side[seat].Numbers[at[seat]:at[seat]+size])
			for _, f := range slices.Concat(k.ends, k.files) {
				if f.Owner == role {
					s.side[seat].live[f.Number] = tracked{file: f, Identity: f.Identity, known: true}
				}
			}
			at[seat] += size
		}
	}
	return s, nil
}

// A kitError says that the first of the cases lacks what it needs.
type kitError struct{ error }

// seat is the side of the session that plays this role of a case: the peers of
// a session play in both directions.
func (s *session) seat(first, c scenario.Case, role scenario.Role) scenario.Role {
	if c.A == first.A && c.B == first.B {
		return role
	}
	if role == scenario.RoleA {
		return scenario.RoleB
	}
	return scenario.RoleA
}

// wake ends a call in which a peer inside this process waits for a message.
// Nothing else could: it cannot be killed.
func (sd *side) wake() {
	if sd.Peer.Serve != nil && sd.has(sd.sock) {
		_ = unix.Shutdown(sd.sock, unix.SHUT_RDWR) // a peer that does not wait needs no waking
	}
}

func (s *session) close() {
	for _, sd := range s.side {
		sd.wake()
		_ = sd.Close() // how a peer ends after its cases is told by its last answer
		if sd.Peer.Serve != nil {
			for n := range sd.pool {
				witness.CloseNumber(&n)
			}
		}
	}
	for _, k := range s.kits {
		k.close()
	}
}

// errSessionOver says that the rest of the cases needs a new session.
var errSessionOver = errors.New("the session is over")

// playAll plays the cases, all of the same two peers in either direction, and
// hands each result to done. A peer that dies or hangs gets a new session for
// the rest. A case that is cut short has no result.
func playAll(cases []scenario.Case, r shared, done func(scenario.Result)) {
	var playable []scenario.Case
	for _, c := range cases {
		why := c.Unplayable()
		if why == "" {
			var err error
			if why, err = kinds.Lacks(c.Scenario, r.folder.dir); err != nil {
				done(scenario.Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: scenario.NotRun, Why: err.Error()})
				continue
			}
		}
		if why == "" && r.runnerFails != nil {
			why = r.runnerFails(c)
		}
		if why != "" {
			done(scenario.Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: scenario.Unsupported, Why: why})
		} else {
			playable = append(playable, c)
		}
	}
	cases = playable
	for len(cases) > 0 && r.ctx.Err() == nil {
		s, err := newSession(cases, r)
		if errors.Is(err, process.ErrCut) {
			return
		}
		if kit, ok := err.(kitError); ok {
			c, verdict := cases[0], scenario.NotRun
			if errors.Is(kit.error, kinds.ErrTaken) {
				verdict = scenario.Unsupported
			}
			done(scenario.Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: verdict, Why: err.Error()})
			cases = cases[1:]
			continue
		}
		if err != nil && len(cases[0].Scenario.Users) > 0 && !kinds.Exhausted(err) {
			c := cases[0]
			done(scenario.Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: scenario.Unsupported, Why: "as another user: " + err.Error()})
			cases = cases[1:]
			continue
		}
		if err != nil {
			for _, c := range cases {
				done(scenario.Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: scenario.NotRun, Broken: true, Why: err.Error()})
			}
			return
		}
		played := 0
		for _, k := range s.kits {
			result, err := s.playUndisturbed(k, cases[0])
			if errors.Is(err, process.ErrCut) {
				break
			}
			done(result)
			played++
			if err != nil || r.ctx.Err() != nil {
				break
			}
		}
		s.close()
		cases = cases[played:]
	}
}

func (s *session) playUndisturbed(k *kit, first scenario.Case) (scenario.Result, error) {
	// What a user may have in flight, of all processes, depends on the limit of the one
	// that sends; root may have any number. Another scenario can start a peer as the same
	// user.
	if k.c.Scenario.Limits() && os.Getuid() != 0 || len(k.c.Scenario.Users) > 0 {
		s.exclusive.Lock()
		defer s.exclusive.Unlock()
	} else {
		s.exclusive.RLock()
		defer s.exclusive.RUnlock()
	}
	if s.inside() {
		process.Starting.RLock()
		defer process.Starting.RUnlock()
	}
	began := time.Now()
	r, err := s.play(k, first)
	r.Seconds = time.Since(began).Seconds()
	return r, err
}

// owned are the numbers of this process that hold files of a session because
// the runner does, which matters where a peer is in this process too.
func (s *session) owned(but *side) []int {
	var numbers []int
	for _, k := range s.kits {
		numbers = append(numbers, k.socks[scenario.RoleA], k.socks[scenario.RoleB])
		for _, f := range k.files {
			numbers = append(numbers, f.Own, f.Other)
		}
	}
	for _, sd := range s.side {
		if sd != but && sd.Peer.Serve != nil {
			for n := range sd.live {
				numbers = append(numbers, n)
			}
		}
	}
	return slices.DeleteFunc(numbers, func(n int) bool { return n < 0 })
}

// noRoom tells whether an answer of the runner's own side is that the file system has no
// room, which no scenario sees to.
func noRoom(got contract.Line) bool {
	return got.Verb == "err" && len(got.Words) > 0 && slices.Contains([]string{"ENOSPC", "EDQUOT", "EROFS", "ENFILE"}, contract.ErrnoName(got.Words[0]))
}
