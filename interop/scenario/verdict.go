package scenario

import (
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/expected"
)

// senderWrong reports whether there is a finding about the sender and peer is the receiver. In that case, the result
// shows nothing about peer.
func senderWrong(r *Result, peer string) bool {
	return peer != r.Case.A.Name && slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Peer == r.Case.A.Name && f.Check != CheckCloexec
	})
}

// shows reports whether the result shows that the peer passed the check, if there is no finding.
func (r *Result) shows(check, peer string) bool {
	return (check != string(CheckCloexec) || slices.Contains(r.CloexecChecked, peer)) && !senderWrong(r, peer)
}

// SetVerdict sets the verdict of a result by comparing its findings with the expectations. It leaves verdicts other
// than Pass and Fail unchanged. It also marks the findings that are expected. If a flaky line and another one apply to
// the same check of the same peer, the failure may be missing. A failure that is expected on some releases of Linux may
// be missing too, unless StrictKernel is set.
func (x *Expectations) SetVerdict(r *Result) {
	if r.Verdict != Pass && r.Verdict != Fail {
		return
	}
	unexpected := map[string]bool{}
	for _, f := range r.Findings {
		unexpected[f.Key()] = true
	}
	list, seats := x.For(r.Case), x.seats(r.Case)
	for _, l := range list {
		_, found := unexpected[l.Key()]
		switch {
		case found:
			unexpected[l.Key()] = false
			r.Reasons = append(r.Reasons, l.Reason)
		case expected.MayPass(list, l.Key(), seats) || !r.shows(l.Check, l.Peer):
		case l.Noted() && !x.StrictKernel:
			r.KernelPasses = append(r.KernelPasses, l.String())
		default:
			r.Gone = append(r.Gone, l.String())
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Expected = !unexpected[f.Key()]
	}
	switch {
	case slices.Contains(slices.Collect(maps.Values(unexpected)), true):
		r.Verdict = Fail
	case len(r.Gone) > 0:
		r.Verdict = UnexpectedPass
		r.Why = "expected to fail, but does not: " + strings.Join(r.Gone, "; ")
	case len(r.Findings) > 0:
		r.Verdict = Expected
	}
	if len(r.KernelPasses) > 0 && !r.Unexpected() {
		r.Why = KernelPassesWhy + ": " + strings.Join(r.KernelPasses, "; ")
	}
}

// KernelPassesWhy says why the expectations in Result.KernelPasses may not apply.
const KernelPassesWhy = "this kernel does not fail it; a vendor may have backported the change"
