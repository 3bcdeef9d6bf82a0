//go:build linux && cgo

// Command bench compares scm and other libraries with a loop in C. Each passes the same descriptors in the
// same process, between two samples of that loop. The result is the ratio, because the time for a message
// depends on the machine and its neighbours.
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
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm"
)

// A row is a row of the tables.
type row struct {
	Load, Way       string
	Nanoseconds     float64 // per descriptor: the reference's median times the ratio
	Ratio, Low, Top float64 // the median and the quartiles
	Allocs          float64 // per pass
	Instructions    float64 // per pass, in user space; 0 if they were not counted
	counted         bool    // instructions are counted for this row
}

// results has the rows of a run, and the Go version, on which the number of instructions depends.
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
	rounds := flag.Int("rounds", 30, "measure each row `N` times")
	only := flag.String("only", "", "measure only rows whose names contain `TEXT`")
	in := flag.String("in", "", "include the rows in this `FILE`, which another build wrote")
	out := flag.String("out", "", "write the rows to this `FOLDER`")
	kept := flag.String("check", "", "compare the rows of scm with those in the tables of this `FILE`")
	counts := flag.Bool("counts", false, "compare only allocations and instructions, and measure no times")
	flag.Parse()
	if *counts {
		*rounds = 0
	}
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
	fmt.Print(tables(found))
	if *out != "" {
		check(os.WriteFile(filepath.Join(*out, "rows.json"), must(json.Marshal(found)), 0o666))
	}
}

func read(file string) (r results) {
	check(json.Unmarshal(must(os.ReadFile(file)), &r))
	return r
}

// of returns the rows of a load, the fastest first. It includes the reference once.
func of(rows []row, l load) (some []row) {
	for _, r := range rows {
		if r.Load == l.name && (r.Way != "C" || !slices.ContainsFunc(some, func(s row) bool { return s.Way == "C" })) {
			some = append(some, r)
		}
	}
	slices.SortStableFunc(some, func(a, b row) int { return cmp.Compare(a.Ratio, b.Ratio) })
	return some
}

// tables returns the tables as Markdown.
func tables(found results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nRecorded with %s. [performance.md](../../../docs/performance.md) explains them.\n", found.Go)
	for _, l := range loads {
		rows := of(found.Rows, l)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n\n| | relative to C | ns per descriptor | allocations | instructions |\n|---|---|---|---|---|\n", l.heading())
		for _, r := range rows {
			instructions := strings.TrimPrefix(fmt.Sprint(r.Instructions), "0")
			fmt.Fprintf(&b, "| %s | %.3f (%.3f to %.3f) | %.0f | %.0f | %s |\n", r.Way, r.Ratio, r.Low, r.Top, r.Nanoseconds, r.Allocs, instructions)
		}
	}
	return b.String()
}

func (l load) heading() string { return strings.ToUpper(l.name[:1]) + l.name[1:] + ":" }

var cells = regexp.MustCompile(`^\| (.+) \| (\S+) \((\S+) to (\S+)\) \| (\d+) \| (\d+) \| (\d*) \|$`)

// recorded returns the rows of the tables.
func recorded(text string) (found results) {
	var l load
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if version, ok := strings.CutPrefix(line, "Recorded with "); ok {
			found.Go, _, _ = strings.Cut(version, ". ")
		}
		if i := slices.IndexFunc(loads, func(l load) bool { return l.heading() == line }); i >= 0 {
			l = loads[i]
		}
		if m := cells.FindStringSubmatch(line); m != nil {
			number := func(i int) float64 { return must(strconv.ParseFloat("0"+m[i], 64)) }
			found.Rows = append(found.Rows, row{Load: l.name, Way: m[1], Ratio: number(2), Low: number(3), Top: number(4),
				Nanoseconds: number(5), Allocs: number(6), Instructions: number(7)})
		}
	}
	return found
}

// hold compares measured rows with the recorded ones. A row fails if three runs find it worse.
func hold(w io.Writer, file string, rounds int, counts bool) {
	kept := recorded(string(must(os.ReadFile(file))))
	if len(kept.Rows) == 0 {
		check(fmt.Errorf("%s has no tables", file))
	}
	except := ""
	if kept.Go != goVersion {
		except = ", except that instructions were not compared"
		fmt.Fprintf(w, "skip: instructions: %s was recorded with %s, this is %s\n", file, kept.Go, goVersion)
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
	fmt.Fprintf(w, "scm %s: no row is worse than in %s%s\n", scm.Backend, file, except)
}

// worse returns the rows that are worse than the recorded ones, not recorded or not measured, each with the reason: one
// more allocation, a tenth more instructions, none counted, or a lower quartile of times above the recorded upper
// quartile.
func worse(kept results, rows []row, counts bool) map[string]string {
	red := map[string]string{}
	for _, k := range kept.Rows {
		measured := slices.ContainsFunc(rows, func(r row) bool { return k.Load == r.Load && k.Way == r.Way })
		if strings.HasPrefix(k.Way, "scm "+scm.Backend+": ") && !measured {
			red[k.Load+": "+k.Way] = "was not measured"
		}
	}
	for _, r := range rows {
		if r.Way == "C" {
			continue
		}
		name := r.Load + ": " + r.Way
		i := slices.IndexFunc(kept.Rows, func(k row) bool { return k.Load == r.Load && k.Way == r.Way })
		if i < 0 {
			red[name] = "is not on the page"
			continue
		}
		k := kept.Rows[i]
		switch {
		case r.Allocs > k.Allocs+0.5:
			red[name] = fmt.Sprintf("%.1f allocations, not %.1f", r.Allocs, k.Allocs)
		case k.Instructions > 0 && r.Instructions <= 0:
			red[name] = "no instructions were counted"
		case kept.Go == goVersion && r.Instructions > 1.1*k.Instructions:
			red[name] = fmt.Sprintf("%.0f instructions, not %.0f", r.Instructions, k.Instructions)
		case !counts && r.Low > k.Top:
			red[name] = fmt.Sprintf("%.3f (%.3f to %.3f), not %.3f (%.3f to %.3f)", r.Ratio, r.Low, r.Top, k.Ratio, k.Low, k.Top)
		}
	}
	return red
}
