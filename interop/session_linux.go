package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// poolNumbers is how many numbers the peers of a case are given in one session, at most: each is looked
// at in each case, and a start costs as much as a few cases, or as a hundred. One case may have more.
func poolNumbers(c scenario.Case) int {
	if c.A.Slow || c.B.Slow {
		return 600
	}
	return 150
}

// roles are those of peers.
var roles = []scenario.Role{scenario.RoleA, scenario.RoleB}

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

func newKit(c scenario.Case, dir string) (k *kit, err error) {
	k = &kit{
		c: c, sock: map[scenario.Role]int{}, byIdentity: map[witness.Identity][]*witness.File{},
		socks: map[scenario.Role]int{scenario.RoleA: -1, scenario.RoleB: -1},
	}
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
	for _, role := range roles {
		spec := scenario.FileSpec{Name: scenario.SockNames[role], Owner: role, Kind: "sock"}
		end := &witness.File{FileSpec: spec, Own: -1, Other: -1}
		if end.Identity, err = witness.Identify(os.Getpid(), k.socks[role]); err != nil {
			return k, err
		}
		k.ends = append(k.ends, end)
	}
	for _, spec := range c.Scenario.Files {
		var f *witness.File
		if name, ok := spec.EndOf(); ok {
			i := slices.IndexFunc(k.files, func(f *witness.File) bool { return f.Name == name })
			f, err = k.files[i].OtherEnd(spec)
		} else {
			f, err = kinds.New(spec, dir)
		}
		if err != nil {
			return k, err
		}
		k.files = append(k.files, f)
		k.byIdentity[f.Identity] = append(k.byIdentity[f.Identity], f)
	}
	k.states = k.fileStates()
	return k, nil
}

// fileStates returns the states that the files have now.
func (k *kit) fileStates() map[*witness.File]witness.State {
	states := map[*witness.File]witness.State{}
	for _, f := range k.files {
		if s, ok := witness.StateOf(f); ok {
			states[f] = s
		}
	}
	return states
}

func (k *kit) dropSock(role scenario.Role) {
	fd := k.socks[role]
	witness.CloseNumber(&fd)
	k.socks[role] = -1
}

func (k *kit) close() {
	for _, role := range roles {
		k.dropSock(role)
	}
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

// give tells the case the numbers that its pool has in a peer, and drops the runner's copy of
// the socket, unless its own lines need that.
func (k *kit) give(role scenario.Role, sd *side, numbers []int) {
	k.sock[role] = numbers[0]
	for _, f := range slices.Concat(k.ends, k.files) {
		if f.Owner != role {
			continue
		}
		f.Number, numbers = numbers[0], numbers[1:]
		sd.live[f.Number] = tracked{file: f, Identity: f.Identity, known: true}
	}
	if !slices.ContainsFunc(k.c.Scenario.Steps, func(st scenario.Step) bool { return needsSock(st, role) }) {
		k.dropSock(role)
	}
}

// shared is what all sessions of a run have in common.
type shared struct {
	ctx         context.Context // of the run: it may be cut short
	timeout     time.Duration
	witness     *witness.Witness
	folder      string
	holders     *sync.Map                               // peers that were blamed for a leak that no number shows
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
	live map[int]tracked // numbers that the peer rightly has, without 0, 1 and 2
	pool map[int]bool    // those of them that no "use" has named yet: still the session's
	std  map[int]bool    // which of 0, 1 and 2 it had open when it had said hello
}

// has tells whether the peer rightly has a number.
func (sd *side) has(n int) bool {
	_, ok := sd.live[n]
	return ok
}

// A kitError says that the first of the cases lacks what it needs.
type kitError struct{ error }

// newSession starts two peers with the pools of as many of the cases as one
// session has numbers for. Role A and B of the session are those of cases[0];
// every case has the same two peers.
func newSession(cases []scenario.Case, r shared) (s *session, err error) {
	s = &session{shared: r, side: map[scenario.Role]*side{}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	first := cases[0]
	pools := map[scenario.Role][]int{}
	for _, c := range cases {
		used := max(len(pools[scenario.RoleA]), len(pools[scenario.RoleB]))
		// As somebody else, a side plays one case.
		if used > 0 && (used+1+len(c.Scenario.Files) > poolNumbers(first) || len(c.Scenario.Users)+len(first.Scenario.Users) > 0) {
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
		for _, role := range roles {
			at := seat(first, c, role)
			pools[at] = append(pools[at], k.pool(role)...)
		}
	}
	for _, role := range roles { // both start at the same time
		proc, err := process.Start(first.Peer(role), pools[role], first.Scenario.Users[role], r.records[role])
		if err != nil {
			return s, fmt.Errorf("%s: %w", first.Peer(role).Name, err)
		}
		s.side[role] = &side{Process: proc, live: map[int]tracked{}, pool: map[int]bool{}, std: map[int]bool{}}
	}
	for _, role := range roles {
		if err := s.side[role].greet(r.ctx, max(r.timeout, process.DefaultTimeout)); err != nil { // to start takes longer than to answer
			return s, fmt.Errorf("%s: %w", first.Peer(role).Name, err)
		}
	}
	left := map[scenario.Role][]int{scenario.RoleA: s.side[scenario.RoleA].Numbers, scenario.RoleB: s.side[scenario.RoleB].Numbers}
	for _, k := range s.kits {
		for _, role := range roles {
			at, n := seat(first, k.c, role), len(k.pool(role))
			k.give(role, s.side[at], left[at][:n])
			left[at] = left[at][n:]
		}
	}
	return s, nil
}

// greet says hello, and notes what the peer has open then.
func (sd *side) greet(ctx context.Context, timeout time.Duration) error {
	for _, n := range sd.Numbers {
		sd.live[n], sd.pool[n] = tracked{}, true
	}
	hello, err := sd.Greet(ctx, timeout)
	if err == nil && !hello.Same(sd.Peer.Hello) {
		err = errors.New("its hello is not what it was")
	}
	for n := range 3 {
		_, e := witness.Identify(sd.Pid, n)
		sd.std[n] = e == nil || witness.CannotLook(sd.Pid, e)
	}
	return err
}

// seat is the side of a session that plays this role of a case: the peers of
// a session play in both directions.
func seat(first, c scenario.Case, role scenario.Role) scenario.Role {
	if c.A == first.A && c.B == first.B {
		return role
	}
	return opposite(role)
}

func (s *session) close() {
	for _, sd := range s.side {
		_ = sd.Close() // how a peer ends after its cases is told by its last answer
	}
	for _, k := range s.kits {
		k.close()
	}
}

// errSessionOver says that the rest of the cases needs a new session.
var errSessionOver = errors.New("the session is over")

// unplayable is why a case is not played here, or "".
func (r shared) unplayable(c scenario.Case) (verdict scenario.Verdict, why string) {
	if why = c.Unplayable(); why == "" {
		var err error
		if why, err = kinds.Lacks(c.Scenario, r.folder); err != nil {
			return scenario.NotRun, err.Error()
		}
	}
	if why == "" && r.runnerFails != nil {
		why = r.runnerFails(c)
	}
	return scenario.Unsupported, why
}

// playAll plays the cases, all of the same two peers in either direction, and
// hands each result to done. A peer that dies or hangs gets a new session for
// the rest. A case that is cut short has no result.
func playAll(cases []scenario.Case, r shared, done func(scenario.Result)) {
	without := func(c scenario.Case, verdict scenario.Verdict, why string, broken bool) {
		done(scenario.Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: verdict, Why: why, Broken: broken})
	}
	cases = slices.DeleteFunc(slices.Clone(cases), func(c scenario.Case) bool {
		verdict, why := r.unplayable(c)
		if why != "" {
			without(c, verdict, why, false)
		}
		return why != ""
	})
	for len(cases) > 0 && r.ctx.Err() == nil {
		s, err := newSession(cases, r)
		if errors.Is(err, process.ErrCut) {
			return
		}
		_, isKit := err.(kitError)
		switch {
		case err == nil:
			cases = cases[s.playKits(cases[0], done):]
		case isKit && errors.Is(err.(kitError).error, kinds.ErrTaken):
			without(cases[0], scenario.Unsupported, err.Error(), false)
			cases = cases[1:]
		case isKit:
			without(cases[0], scenario.NotRun, err.Error(), false)
			cases = cases[1:]
		case len(cases[0].Scenario.Users) > 0 && !kinds.Exhausted(err):
			without(cases[0], scenario.Unsupported, "as another user: "+err.Error(), false)
			cases = cases[1:]
		default:
			for _, c := range cases {
				without(c, scenario.NotRun, err.Error(), true)
			}
			return
		}
	}
}

// playKits plays the cases of a session until it is over, and returns how many have a result.
func (s *session) playKits(first scenario.Case, done func(scenario.Result)) (played int) {
	defer s.close()
	for _, k := range s.kits {
		result, err := s.playUndisturbed(k, first)
		if errors.Is(err, process.ErrCut) {
			break
		}
		done(result)
		if played++; err != nil || s.ctx.Err() != nil {
			break
		}
	}
	return played
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
	began := time.Now()
	r, err := s.play(k, first)
	r.Seconds = time.Since(began).Seconds()
	return r, err
}
