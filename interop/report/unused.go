package report

import (
	"maps"
	"slices"
	"strings"
)

// unused returns a text for each reason why peers took no part in the run. The text contains the
// names of these peers and the reason.
func (r *Report) unused() (groups []string) {
	names := r.unusedByReason()
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
