package scenario

import (
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
)

func TestParseShard(t *testing.T) {
	for text, want := range map[string]Shard{"1/1": {1, 1}, "2/3": {2, 3}, "3/3": {3, 3}} {
		if got, err := ParseShard(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "0/3", "4/3", "-1/3", "1/0", "a/b", "1/2/3", "/"} {
		if _, err := ParseShard(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestShards(t *testing.T) {
	x, y := &Peer{Name: "x"}, &Peer{Name: "y"}
	runner := &Peer{Name: RunnerName, kernel: &Peer{Name: KernelName}}
	var scenarios []*Scenario
	for i := range 100 {
		s := mustParse(t, rule+"on stream dgram\nA> end\nA< ok\n")
		s.Name = fmt.Sprintf("group/id-%d", i)
		scenarios = append(scenarios, s)
	}
	all := Plan(scenarios, []*Peer{x, y}, runner)
	if got := (Shard{}).Apply(all); len(got) != len(all) {
		t.Errorf("no shard has %d cases of %d", len(got), len(all))
	}
	seen := map[string]int{}
	for i := range 3 {
		part := names(Shard{i + 1, 3}.Apply(all))
		// About a third: the names tell, and they do not change.
		if len(part) < len(all)/4 || len(part) > len(all)/2 {
			t.Errorf("shard %d has %d cases of %d", i+1, len(part), len(all))
		}
		for _, name := range part {
			seen[name]++
		}
		// Half of the catalogue is played by the same shards.
		half := Shard{i + 1, 3}.Apply(Plan(scenarios[:50], []*Peer{x, y}, runner))
		for _, name := range names(half) {
			if !slices.Contains(part, name) {
				t.Errorf("%s has moved to shard %d", name, i+1)
			}
		}
	}
	for _, name := range names(all) {
		if seen[name] != 1 {
			t.Errorf("%s is in %d shards", name, seen[name])
		}
	}
	// Whose fault it is, is known in the shard in which it matters.
	for _, c := range (Shard{2, 3}).Apply(all) {
		with := c
		with.B = runner
		if !slices.Contains(names((Shard{2, 3}).Apply(all)), with.Name()) {
			t.Errorf("%s is without %s", c.Name(), with.Name())
		}
	}
}

// There may be more shards than a hash has values: most of them are empty.
func TestManyShards(t *testing.T) {
	x := &Peer{Name: "x"}
	runner := &Peer{Name: RunnerName, kernel: &Peer{Name: KernelName}}
	s := mustParse(t, rule+"on stream\nA> end\nA< ok\n")
	s.Name = "group/id"
	all := Plan([]*Scenario{s}, []*Peer{x}, runner)
	many, err := ParseShard("1/4294967296")
	if err != nil {
		t.Skipf("int has 32 bits: %v", err)
	}
	if got := many.Apply(all); len(got) != 0 {
		t.Errorf("%d of %d cases are in the first of %d shards", len(got), len(all), many.N)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(all[0].asSender()))
	many.I = int(h.Sum32()) + 1
	if got := many.Apply(all); len(got) == 0 {
		t.Errorf("no case is in shard %d of %d", many.I, many.N)
	}
}
