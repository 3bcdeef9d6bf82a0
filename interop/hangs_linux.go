package interop

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/scm-rights/scm/interop/scenario"
)

// A hangLimit counts the cases that hung, and decides which peers are given up. A case hangs because of the peer at
// fault, whether that one did not answer or the other one waited for it in vain.
type hangLimit struct {
	max int // 0 is no limit

	mu    sync.Mutex
	inRow map[[2]string]int // by a peer and the other one: the cases in a row that hung because of the peer
	all   map[string]int    // by peer: the cases that hung because of it alone, or 2*max if it is given up
}

// newHangLimit returns the limit of Options.MaxHangs.
func newHangLimit(most int) *hangLimit {
	return &hangLimit{max: max(cmp.Or(most, 5), 0), inRow: map[[2]string]int{}, all: map[string]int{}}
}

// count counts the result of a case for its peers, if they were asked. If both may be at fault, it counts the case only
// for the two together, because one of them may work with all others.
func (h *hangLimit) count(res scenario.Result) {
	if res.Verdict == scenario.NotRun || res.Verdict == scenario.Unsupported && len(res.Transcript) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	hung := map[string]bool{}
	for _, f := range res.Findings {
		hung[f.Peer] = hung[f.Peer] || f.Hung && !f.Expected
	}
	names := []string{res.Case.A.Name, res.Case.B.Name}
	for i, peer := range slices.Compact(slices.Clone(names)) {
		other := names[1-i]
		pair := [2]string{peer, other}
		switch {
		case peer == scenario.RunnerName, peer == scenario.KernelName:
		case h.inRow[pair] == h.max: // this case had begun before, or there is no limit
		case !hung[peer]:
			h.inRow[pair] = 0
		default:
			h.inRow[pair]++
			if peer != other && hung[other] {
				continue
			}
			h.all[peer]++
			if h.inRow[pair] == h.max {
				h.all[peer] = 2 * h.max
			}
		}
	}
}

// givenUp returns the peer of the case that is given up and the reason, or "".
func (h *hangLimit) givenUp(c scenario.Case) (peer, why string) {
	if h.max == 0 {
		return "", ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	const advice = "(expected failures do not count): is standard output flushed after each line, or is the machine slow?"
	names := []string{c.A.Name, c.B.Name}
	slices.Sort(names) // the reason is the same in both roles
	for i, peer := range names {
		other := names[1-i]
		switch {
		case h.all[peer] >= 2*h.max:
			return peer, fmt.Sprintf("%d cases in a row with the same peer, or %d in all, hung because of %s, so its other cases were not run %s",
				h.max, 2*h.max, peer, advice)
		case h.inRow[[2]string{peer, other}] == h.max:
			return peer, fmt.Sprintf("%d cases in a row of %s with %s hung because of one of the two, so their other cases were not run %s",
				h.max, peer, other, advice)
		}
	}
	return "", ""
}
