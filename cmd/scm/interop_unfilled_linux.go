package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

// An unfilledError ends a run with a peer that answers "unsupported" to every send or receive.
type unfilledError struct{ text string }

func (e *unfilledError) Error() string { return e.text }

// findUnfilled returns an unfilledError if a case has an unexpected contract failure of such a peer.
// To find out, it starts each suspect once, and adds it to probed.
func findUnfilled(ctx context.Context, res scenario.Result, probed map[*scenario.Peer]bool, timeout time.Duration) error {
	if !res.Unexpected() {
		return nil
	}
	for _, peer := range []*scenario.Peer{res.Case.A, res.Case.B} {
		suspect := slices.ContainsFunc(res.Findings, func(f scenario.Finding) bool {
			return f.Check == scenario.CheckContract && f.Peer == peer.Name
		})
		if !suspect || probed[peer] {
			continue
		}
		probed[peer] = true
		probe := *peer // the peers of the run may not change now
		if process.ProbeBasics(ctx, &probe, timeout) == nil && len(probe.Unfilled) > 0 {
			return &unfilledError{peer.Name + " " + unfilledText(&probe)}
		}
	}
	return nil
}

// unfilledText describes an unfilled peer, and names the functions to fill in. They have these names
// if the peer is a skeleton.
func unfilledText(peer *scenario.Peer) string {
	what := map[string]string{"send": "send", "recv": "receive"}
	var every, functions []string
	for _, verb := range peer.Unfilled {
		every = append(every, "every "+what[verb])
		functions = append(functions, "the function for "+verb)
	}
	if skeleton, err := peers.FindSkeleton(peer.Hello.Lang); err == nil {
		functions = skeleton.Functions(peer.Unfilled...)
	}
	text := fmt.Sprintf("answers \"unsupported\" to %s: fill in %s", strings.Join(every, " and "), strings.Join(functions, " and "))
	if len(peer.Unfilled) == 1 {
		text += map[string]string{
			"send": "; if the library only receives, call sendmsg there",
			"recv": "; if the library only sends, call recvmsg there",
		}[peer.Unfilled[0]]
	}
	return text
}
