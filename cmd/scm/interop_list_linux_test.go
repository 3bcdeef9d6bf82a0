package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestListScenarios(t *testing.T) {
	r := command(t, append([]string{"interop", "list", "--scenarios"}, one...)...)
	if r.code != 0 || !strings.HasPrefix(r.stdout, "basics/pass-one-fd\tpair\t") || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("got %+v", r)
	}
	r = command(t, append([]string{"interop", "list", "--scenarios", "--json"}, one...)...)
	var list []listed
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) != 1 || list[0].Name != "basics/pass-one-fd" || list[0].Hash == "" || list[0].Kernel {
		t.Errorf("got %+v, %v", list, err)
	}
}

// A rule that somebody else wrote is one column of one line, and no command of a CI server.
func TestListScenariosOfOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "group"), 0o777); err != nil {
		t.Fatal(err)
	}
	const text = "# To\tbe ##[add-mask]e\u00e9.\n# unix(7)\non stream\nA> send payload=00 fds=-\nA< ok n=1\n"
	if err := os.WriteFile(filepath.Join(dir, "group", "id.txt"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	list := []string{"interop", "list", "--builtin=false", "--scenarios", "--catalogue", dir}
	if r := command(t, list...); r.code != 0 || r.stdout != "group/id\tpair\tTo\\tbe #\\x23[add-mask]e\u00e9.\n" {
		t.Errorf("got %+v", r)
	}
	r := command(t, append(list, "--json")...)
	if r.code != 0 || !strings.Contains(r.stdout, `"To\tbe #\u0023[add-mask]e\u00e9."`) {
		t.Errorf("got %+v", r)
	}
}

// All parts together are the whole, and no case is in two.
func TestShard(t *testing.T) {
	all := strings.Fields(command(t, "interop", "list", "--builtin=false", "--run", "basics").stdout)
	var parts []string
	for _, i := range []string{"1/3", "2/3", "3/3"} {
		r := command(t, "interop", "list", "--builtin=false", "--run", "basics", "--shard", i)
		if r.code != 0 {
			t.Errorf("got %+v", r)
		}
		parts = append(parts, strings.Fields(r.stdout)...)
	}
	slices.Sort(all)
	slices.Sort(parts)
	if !slices.Equal(all, parts) || len(all) == 0 {
		t.Errorf("got %d cases of %d", len(parts), len(all))
	}
}
