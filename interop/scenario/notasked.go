package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// NotAsked describes how many of the peer's cases with the runner, among these, are not run because of the
// peer's answer to hello. It returns "" if all of them are run.
func NotAsked(cases []Case, p *Peer) string {
	total, skipped := 0, 0
	counts := map[string]int{} // by reason
	for _, c := range cases {
		role := RoleA
		if c.B == p {
			role = RoleB
		}
		if c.Peer(role) != p || c.Peer(role.Other()).Name != RunnerName {
			continue
		}
		total++
		if why := c.UnsupportedBy(role); why != "" {
			skipped++
			counts[strings.TrimPrefix(why, p.Name+": ")]++
		}
	}
	if skipped == 0 {
		return ""
	}
	reasons := slices.Sorted(maps.Keys(counts))
	if len(reasons) > 1 {
		for i, why := range reasons {
			reasons[i] = fmt.Sprintf("%s (%d)", why, counts[why])
		}
	}
	return fmt.Sprintf("%d of %d cases with the runner are not asked: %s", skipped, total, strings.Join(reasons, ", "))
}
