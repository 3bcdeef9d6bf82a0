//go:build linux && cgo

// Command bench holds scm, and other libraries, against a loop in C: each passes the same descriptors
// in the same process and run, between two samples of that loop. What counts is the ratio; how long a
// message takes depends on the machine and its neighbours.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/scm-rights/scm"
)

// A row is a line of the tables.
type row struct {
	Load, Way       string
	Nanoseconds     float64 // a descriptor: of the reference's median, times the ratio
	Ratio, Low, Top float64 // median, and the quarters
	Allocs          float64 // a pass
	Instructions    float64 // a pass, in user space; 0 if they were not counted
	counted         bool    // whether they are
}

// results are what a run found, and what instructions depend on.
type results struct {
	Go   string
	Rows []row
}

var goVersion = runtime.Version() + " " + runtime.GOARCH

func main() {
	echoIfAsked()
	if os.Getenv(stepped) != "" {
		runtime.LockOSThread() // the main thread, which is traced
	}
	rounds := flag.Int("rounds", 30, "how often each is measured")
	only := flag.String("only", "", "leave out the ways whose names do not contain `TEXT`")
	in := flag.String("in", "", "take in the rows of this `FILE`, which another build wrote")
	out := flag.String("out", "", "write the rows, and two pictures of them, into this `FOLDER`")
	kept := flag.String("check", "", "hold the rows of scm against those of this `FILE`")
	counts := flag.Bool("counts", false, "check allocations and instructions, and no time")
	flag.Parse()
	if *kept != "" {
		hold(os.Stdout, *kept, *rounds, *counts)
		return
	}
	found := results{Go: goVersion}
	if *in != "" {
		found = read(*in)
	}
	ways := slices.DeleteFunc(append(ours(), others()...), func(w way) bool { return !strings.Contains(w.name, *only) })
	found.Rows = append(found.Rows, measure(ways, *rounds)...)
	tables(os.Stdout, found.Rows)
	if *out != "" {
		text := must(json.MarshalIndent(found, "", "\t"))
		check(os.WriteFile(filepath.Join(*out, "rows.json"), append(text, '\n'), 0o666))
		check(os.WriteFile(filepath.Join(*out, "ratios.svg"), ratios(found.Rows), 0o666))
		check(os.WriteFile(filepath.Join(*out, "descriptors.svg"), curve(found.Rows), 0o666))
	}
}

func read(file string) (r results) {
	check(json.Unmarshal(must(os.ReadFile(file)), &r))
	return r
}

// of are the rows of a load, the quickest first; the reference is there once.
func of(rows []row, l load) (some []row) {
	for _, r := range rows {
		if r.Load == l.name && (r.Way != "C" || !slices.ContainsFunc(some, func(s row) bool { return s.Way == "C" })) {
			some = append(some, r)
		}
	}
	slices.SortStableFunc(some, func(a, b row) int { return cmp.Compare(a.Ratio, b.Ratio) })
	return some
}

func tables(w io.Writer, rows []row) {
	for _, l := range loads {
		if len(of(rows, l)) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s%s:\n\n| | relative to C | ns per descriptor | allocations | instructions |\n|---|---|---|---|---|\n", strings.ToUpper(l.name[:1]), l.name[1:])
		for _, r := range of(rows, l) {
			instructions := strings.TrimPrefix(fmt.Sprint(r.Instructions), "0")
			fmt.Fprintf(w, "| %s | %.3f (%.3f to %.3f) | %.0f | %.0f | %s |\n", r.Way, r.Ratio, r.Low, r.Top, r.Nanoseconds, r.Allocs, instructions)
		}
	}
}

// hold holds what is measured against the kept rows. Red is what three runs find worse.
func hold(w io.Writer, file string, rounds int, counts bool) {
	kept := read(file)
	if kept.Go != goVersion {
		fmt.Fprintf(w, "skip: instructions: those of %s were counted with %s, this is %s\n", file, kept.Go, goVersion)
	}
	red := worse(kept, measure(ours(), rounds), counts)
	for i := 1; i < 3 && len(red) > 0; i++ {
		again := worse(kept, measure(ours(), rounds), counts)
		maps.DeleteFunc(red, func(name, _ string) bool { return again[name] == "" })
	}
	for name, reason := range red {
		fmt.Fprintf(w, "red: %s: %s\n", name, reason)
	}
	if len(red) > 0 {
		os.Exit(1)
	}
	fmt.Fprintf(w, "scm %s: no row is worse than those of %s\n", scm.Backend, file)
}

// worse tells of the rows that are worse than the kept ones: by an allocation, by a tenth of the
// instructions, or by times of which three quarters are above three quarters of the kept ones.
func worse(kept results, rows []row, counts bool) map[string]string {
	red := map[string]string{}
	for _, r := range rows {
		i := slices.IndexFunc(kept.Rows, func(k row) bool { return k.Load == r.Load && k.Way == r.Way })
		if i < 0 || r.Way == "C" {
			continue
		}
		k, name := kept.Rows[i], r.Load+": "+r.Way
		switch {
		case r.Allocs > k.Allocs+0.5:
			red[name] = fmt.Sprintf("%.1f allocations, not %.1f", r.Allocs, k.Allocs)
		case kept.Go == goVersion && r.Instructions > 1.1*k.Instructions:
			red[name] = fmt.Sprintf("%.0f instructions, not %.0f", r.Instructions, k.Instructions)
		case !counts && r.Low > k.Top:
			red[name] = fmt.Sprintf("%.3f (%.3f to %.3f), not %.3f (%.3f to %.3f)", r.Ratio, r.Low, r.Top, k.Ratio, k.Low, k.Top)
		}
	}
	return red
}
