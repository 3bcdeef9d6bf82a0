package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// maxMissing is the number of missing shards that a summary names.
const maxMissing = 10

// AddShards adds the reports of different shards of a run, which are in these files. If shards are missing, or have not
// run all their cases, the sum is not as expected. It returns an error if a report is not of such a shard.
func AddShards(files []string, reports []*Report) (*Report, error) {
	parts, n := map[int]int{}, 0 // by the number of the shard, the index of its report
	for i, r := range reports {
		shard, err := scenario.ParseShard(r.Shard)
		other, twice := parts[shard.I]
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: not a report of a shard, and only those can be added", files[i])
		case n > 0 && n != shard.N:
			return nil, fmt.Errorf("%s is of shard %s, and %s of shard %s", files[0], reports[0].Shard, files[i], r.Shard)
		case twice:
			return nil, fmt.Errorf("%s and %s are both of shard %s", files[other], files[i], r.Shard)
		}
		parts[shard.I], n = i, shard.N
	}
	sum := &Report{Version: reports[0].Version, System: reports[0].System, Started: reports[0].Started, Part: true,
		Given: reports[0].Given, NoKernel: reports[0].NoKernel, Required: map[string]bool{}, NotAsked: map[string]string{}, Asked: map[string]scenario.Asked{},
		replays: map[string]string{}}
	all := 0 // the number of cases of the whole run
	for _, r := range reports {
		sum.addShard(r)
		all = max(all, r.LeftOut+r.Planned)
	}
	sum.LeftOut = all - sum.Planned
	var missing []string
	for i := 1; i <= n && len(missing) < maxMissing; i++ {
		if _, found := parts[i]; !found {
			missing = append(missing, fmt.Sprintf("%d/%d", i, n))
		}
	}
	if more := n - len(parts) - len(missing); more > 0 {
		missing = append(missing, fmt.Sprintf("and %d more", more))
	}
	if len(missing) > 0 {
		sum.shardErrors = slices.Insert(sum.shardErrors, 0, "missing shards: "+strings.Join(missing, ", "))
	}
	sum.count()
	return sum, nil
}

// addShard adds everything but the totals.
func (r *Report) addShard(shard *Report) {
	if shard.Started.Before(r.Started) {
		r.Started = shard.Started
	}
	r.Seconds += shard.Seconds
	r.Planned += shard.Planned
	r.Cases = append(r.Cases, shard.Cases...)
	for _, c := range shard.Cases {
		r.replays[c.Name] = shard.Replay
	}
	for _, p := range shard.Peers {
		p.Totals, p.Seconds = Totals{}, 0
		if !slices.ContainsFunc(r.Peers, func(other Peer) bool { return other.Name == p.Name }) {
			r.Peers = append(r.Peers, p)
		}
	}
	for name, required := range shard.Required {
		r.Required[name] = r.Required[name] || required
	}
	for name, asked := range shard.Asked {
		r.Asked[name] = asked.Add(r.Asked[name])
		r.NotAsked[name] = r.Asked[name].String()
	}
	addTo(&r.NoFiles, shard.NoFiles)
	addTo(&r.Unmatched, shard.Unmatched)
	r.Part = r.Part && shard.Part
	switch {
	case shard.Error != "":
		r.shardErrors = append(r.shardErrors, fmt.Sprintf("shard %s did not run: %s", shard.Shard, shard.Error))
	case shard.Cut != "":
		r.shardErrors = append(r.shardErrors, fmt.Sprintf("shard %s was %s", shard.Shard, shard.CutText()))
	}
}

// addTo adds those lines that the list does not have.
func addTo(list *[]string, lines []string) {
	for _, l := range lines {
		if !slices.Contains(*list, l) {
			*list = append(*list, l)
		}
	}
}

// replay returns the command that runs a case again.
func (r *Report) replay(name string) string {
	if r.replays != nil {
		return display.Line(r.replays[name] + name)
	}
	return display.Line(r.Replay + name)
}
