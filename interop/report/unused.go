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
	names := r.unusedByReason(without)
	for _, reason := range slices.Sorted(maps.Keys(names)) {
		groups = append(groups, strings.Join(names[reason], " ")+": "+reason)
	}
	return groups
}

// unusedByReason returns the names of the peers that took no part in the run, by the reason, other than for those left
// out.
func (r *Report) unusedByReason(without map[string]bool) map[string][]string {
	names := map[string][]string{}
	for _, p := range r.Peers {
		if p.NotRun != "" && !without[p.NotRun] {
			names[p.NotRun] = append(names[p.NotRun], p.Name)
		}
	}
	return names
}

// kernelPassesTitle is the text before the expected failures in KernelPasses.
const kernelPassesTitle = "expected failures set aside, because this kernel does not fail them (a vendor may have backported the change; with --strict-kernel, the run fails)"

// unmatchedTitle is the text before the lines in Unmatched.
const unmatchedTitle = "expected failures that apply to no case"

// A lineList has expected failures that a report shows below a title.
type lineList struct {
	Title string
	All   []string
}

// lineLists returns the lists that are not empty.
func (r *Report) lineLists() (lists []lineList) {
	if len(r.KernelPasses) > 0 {
		lists = append(lists, lineList{kernelPassesTitle, r.KernelPasses})
	}
	if len(r.Unmatched) > 0 {
		title := unmatchedTitle + ` ("scm interop expect --update" removes them`
		if r.Part {
			title += "; without --run and --skip, the run fails"
		}
		title += ")"
		lists = append(lists, lineList{title, r.Unmatched})
	}
	return lists
}

// maxLines is the number of expected failures that a report shows below a title.
const maxLines = 10

// Lines returns the list. If it is too long, it replaces the last ones with their number.
func (l lineList) Lines() []string {
	if more := len(l.All) - maxLines; more > 0 {
		return append(slices.Clone(l.All[:maxLines]), fmt.Sprintf("… and %d more", more))
	}
	return l.All
}
