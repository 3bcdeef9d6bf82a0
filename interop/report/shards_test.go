package report

import (
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/scenario"
)

// The sum of all shards has the verdicts of the whole run. If a shard is missing, cut short or did not run, the sum
// reports that, and blames no peer.
func TestAddShards(t *testing.T) {
	whole := small(t)
	shard := func(i int, change func(*Report)) *Report {
		r := small(t)
		all := len(r.Cases)
		cases := slices.Collect(slices.Values(r.Cases[(i-1)*5 : min(i*5, all)]))
		r.Cases, r.Totals, r.Kernel, r.Cut, r.KernelPasses = nil, Totals{}, Totals{}, "", nil
		for i := range r.Peers {
			r.Peers[i].Totals = Totals{}
		}
		r.End(scenario.RunResult{Results: cases})
		r.Shard, r.Planned, r.LeftOut, r.Part, r.Seconds = string(rune('0'+i))+"/3", len(cases), all-len(cases), i > 1, 1
		r.Replay, r.Unmatched = "replay "+r.Shard+"#", []string{"f:1: gone"}
		r.Required = map[string]bool{"late": true}
		r.Peers = append(r.Peers, Peer{Name: "late"})
		change(r)
		return r
	}
	same := func(*Report) {}
	sum, err := AddShards([]string{"1", "2", "3"}, []*Report{shard(1, same), shard(2, same), shard(3, same)})
	fdtest.Must(t, err)
	if sum.Totals != whole.Totals || sum.Kernel != whole.Kernel || sum.LeftOut != 0 || sum.Seconds != 3 || sum.UnmatchedFaults() != 1 ||
		!slices.Equal(sum.KernelPasses, whole.KernelPasses) || sum.Peers[0].Totals != whole.Peers[0].Totals {
		t.Errorf("got %+v, want the totals of %+v", sum, whole)
	}
	if text := strings.Join(summaryOf(t, sum, ""), "\n"); !strings.Contains(text, "peer late: none of its cases") || !strings.Contains(text, "\nreplay 1/3#basics/pass/stream/runner/libre\n") ||
		!strings.Contains(text, "\nreplay 3/3#gc/asked/stream/kernel/kernel\n") || strings.Contains(text, "left out") {
		t.Errorf("the summary is\n%s", text)
	}
	cut := func(r *Report) { r.Cut, r.Planned = "terminated", 6 }
	broken := func(r *Report) { *r = Report{Shard: r.Shard, Error: "no memory"} }
	for want, list := range map[string][]*Report{
		"missing shards: 2/3":                                    {shard(1, same), shard(3, same)},
		"missing shards: 1/3, 2/3, shard 3/3 was":                {shard(3, cut)},
		"shard 2/3 was cut short after 5 of 6 cases: terminated": {shard(1, same), shard(2, cut), shard(3, same)},
		"missing shards: 3/3, shard 2/3 did not run: no memory":  {shard(1, same), shard(2, broken)},
	} {
		sum, err := AddShards([]string{"1", "2", "3"}, list)
		if err != nil || !strings.Contains(sum.Headline(), want) || strings.Contains(sum.Headline(), "late") {
			t.Errorf("got %q, %v, want %s", sum.Headline(), err, want)
		}
		if got := strings.Join(annotationsOf(t, sum, ""), ""); !strings.Contains(got, "hard") {
			t.Errorf("%s: no annotation names the shard: %s", want, got)
		}
	}
	many := shard(1, func(r *Report) { r.Shard = "1/1000000000" })
	if sum, err := AddShards([]string{"1"}, []*Report{many}); err != nil || !strings.Contains(sum.Headline(), "11/1000000000, and 999999989 more") {
		t.Errorf("got %q, %v", sum.Headline(), err)
	}
	for want, list := range map[string][]*Report{
		"2: not a report of a shard":            {shard(1, same), whole},
		"1: not a report of a shard":            {whole, shard(1, same)},
		"1 and 2 are both of shard 1/3":         {shard(1, same), shard(1, same)},
		"1 is of shard 1/3, and 2 of shard 1/2": {shard(1, same), shard(1, func(r *Report) { r.Shard = "1/2" })},
	} {
		if sum, err := AddShards([]string{"1", "2"}, list); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, %v, want %s", sum, err, want)
		}
	}
}
