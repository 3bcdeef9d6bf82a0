package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unused returns a text for each reason why peers took no part in the run, other than those left out. The text contains
// the names of these peers and the reason.
func (r *Report) unused(without map[string]bool) (groups []string) {
	names := r.unusedByReason()
	maps.DeleteFunc(names, func(reason string, _ []string) bool { return without[reason] })
	for _, reason := range slices.Sorted(maps.Keys(names)) {
		groups = append(groups, strings.Join(names[reason], " ")+": "+reason)
	}
	return groups
}

// unusedByReason returns the names of the peers that took no part in the run, by the reason.
func (r *Report) unusedByReason() map[string][]string {
	names := map[string][]string{}
	for _, p := range r.Peers {
		if p.NotRun != "" {
			names[p.NotRun] = append(names[p.NotRun], p.Name)
		}
	}
	return names
}

// kernelPassesTitle is the text before the expected failures in KernelPasses.
const kernelPassesTitle = "expected failures set aside, because this kernel does not fail them (a vendor may have backported the change; with --strict-kernel, the run fails)"

// maxKernelPasses is the number of these expected failures that a report shows.
const maxKernelPasses = 10

// shownKernelPasses returns KernelPasses. If there are too many, it replaces the last ones with their number.
func (r *Report) shownKernelPasses() []string {
	if more := len(r.KernelPasses) - maxKernelPasses; more > 0 {
		return append(slices.Clone(r.KernelPasses[:maxKernelPasses]), fmt.Sprintf("… and %d more", more))
	}
	return r.KernelPasses
}
