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

// poolNumbers is how many numbers the peers of a session have before it gets no further case: each is
// looked at in each case, and a start costs as much as a few cases, or as a hundred.
func poolNumbers(c scenario.Case) int {
	if c.A.Slow || c.B.Slow {
		return 600
	}
	return 100
}

// roles are those of peers.
var roles = []scenario.Role{scenario.RoleA, scenario.RoleB}

// A kit is what a case needs: a pair of sockets and its files.
type kit struct {
	c     scenario.Case
	files []*witness.File
	ends  []*witness.File // the sockets of the roles, which can be passed and leaked too

	byIdentity map[witness.Identity][]*witness.File
	states     map[*witness.File]witness.State // of the files, before a peer had them
}

func newKit(c scenario.Case, dir string) (k *kit, err error) {
	k = &kit{c: c, byIdentity: map[witness.Identity][]*witness.File{}}
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
	for i, role := range roles {
		spec := scenario.FileSpec{Name: scenario.SockNames[role], Owner: role, Kind: "sock"}
		k.ends = append(k.ends, &witness.File{FileSpec: spec, Own: two[i], Other: -1})
	}
	for _, end := range k.ends {
		if end.Identity, err = witness.Identify(os.Getpid(), end.Own); err != nil {
			return k, err
		}
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

func (k *kit) end(role scenario.Role) *witness.File { return k.ends[slices.Index(roles, role)] }

func (k *kit) close() {
	for _, f := range slices.Concat(k.ends, k.files) {
		f.Close()
	}
}

// pool is what one side is given for the case: its socket, then its files.
func (k *kit) pool(role scenario.Role) []int {
	pool := []int{k.end(role).Own}
	for _, f := range k.files {
		if f.Owner == role {
			pool = append(pool, f.Own)
		}
	}
	return pool
}

// give tells the case the numbers that its pool has in a peer.
func (k *kit) give(role scenario.Role, sd *side, numbers []int) {
	for _, f := range slices.Concat(k.ends, k.files) {
		if f.Owner != role {
			continue
		}
		f.Number, numbers = numbers[0], numbers[1:]
		sd.live[f.Number] = tracked{file: f, Identity: f.Identity, known: true}
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
	live   map[int]tracked // numbers that the peer rightly has, without 0, 1 and 2
	pool   map[int]bool    // those of them that no "use" has named yet: still the session's
	std    map[int]bool    // which of 0, 1 and 2 it had open when it had said hello
	pidfds map[int]bool    // those of the sender that it has leaked
}

// has tells whether the peer rightly has a number.
func (sd *side) has(n int) bool {
	_, ok := sd.live[n]
	return ok
}

// moreKits adds to the kits of the first cases those of as many more as one session is given. Its error is that the first case lacks what it needs.
func moreKits(kits []*kit, cases []scenario.Case, dir string) ([]*kit, error) {
	used := map[scenario.Role]int{}
	for i, c := range cases {
		// As somebody else, a side plays one case.
		full := max(used[scenario.RoleA], used[scenario.RoleB]) >= poolNumbers(c)
		if i > 0 && (full || len(c.Scenario.Users)+len(cases[0].Scenario.Users) > 0) {
			break
		}
		if i == len(kits) {
			k, err := newKit(c, dir)
			if err != nil && i > 0 {
				break // it is the first of the next session
			}
			if err != nil {
				return nil, err
			}
			kits = append(kits, k)
		}
		for _, role := range roles {
			used[seat(cases[0], c, role)] += len(kits[i].pool(role))
		}
	}
	return kits, nil
}

// newSession starts two peers with the pools of the cases. Its roles A and B are those of the
// first; every case has the same two peers.
func newSession(kits []*kit, r shared) (s *session, err error) {
	s = &session{shared: r, kits: kits, side: map[scenario.Role]*side{}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	first := kits[0].c
	pools := map[scenario.Role][]int{}
	for _, k := range kits {
		for _, role := range roles {
			at := seat(first, k.c, role)
			pools[at] = append(pools[at], k.pool(role)...)
		}
	}
	for _, role := range roles { // both start at the same time
		proc, err := process.Start(first.Peer(role), pools[role], first.Scenario.Users[role], r.records[role])
		if err != nil {
			return s, fmt.Errorf("%s: %w", first.Peer(role).Name, err)
		}
		s.side[role] = &side{Process: proc, live: map[int]tracked{}, pool: map[int]bool{}, std: map[int]bool{}, pidfds: map[int]bool{}}
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
	var kits []*kit // of the first of the cases: those of a session that ends early are the next one's
	defer func() {
		for _, k := range kits {
			k.close()
		}
	}()
	for len(cases) > 0 && r.ctx.Err() == nil {
		var err error
		if kits, err = moreKits(kits, cases, r.folder); err != nil {
			verdict := scenario.NotRun
			if errors.Is(err, kinds.ErrTaken) {
				verdict = scenario.Unsupported
			}
			without(cases[0], verdict, err.Error(), false)
			cases = cases[1:]
			continue
		}
		played := 1
		s, err := newSession(kits, r)
		switch {
		case errors.Is(err, process.ErrCut):
			return
		case err == nil:
			played = s.playKits(done)
		case len(cases[0].Scenario.Users) > 0 && !kinds.Exhausted(err):
			without(cases[0], scenario.Unsupported, "as another user: "+err.Error(), false)
			kits[0].close()
		default:
			for _, c := range cases {
				without(c, scenario.NotRun, err.Error(), true)
			}
			return
		}
		cases, kits = cases[played:], kits[played:]
	}
}

// playKits plays the cases of a session until it is over, and returns how many have a result.
func (s *session) playKits(done func(scenario.Result)) (played int) {
	defer s.close()
	for _, k := range s.kits {
		result, err := s.playUndisturbed(k, s.kits[0].c)
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
