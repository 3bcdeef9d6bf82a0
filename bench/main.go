//go:build linux && cgo

// Command bench holds scm, and other libraries, against a loop in C: each passes the
// same descriptors in the same process and run, between two samples of that loop. What
// counts is the ratio; how long a message takes depends on the machine and its
// neighbours.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm"
)

// A row is a line of the table.
type row struct {
	Load, Way       string
	Nanoseconds     float64 // of the reference's median, times the ratio
	Ratio, Low, Top float64 // median, and the quarters
	Allocs, Bytes   float64 // a pass
}

func main() {
	rounds := flag.Int("rounds", 60, "how often each is measured")
	passes := flag.Int("passes", 1500, "how many passes a sample has")
	only := flag.String("only", "", "leave out the ways whose names do not contain `TEXT`")
	in := flag.String("in", "", "print the rows of this `FILE` too, which -out of another build wrote")
	out := flag.String("out", "", "write the rows to `FILE`, and print nothing")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 || *passes < 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(os.Stdout, *rounds, *passes, *only, *in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, rounds, passes int, only string, in, out string) error {
	ways := ours()
	for i := range ways {
		ways[i].name = fmt.Sprintf("scm %s: %s", scm.Backend, ways[i].name)
	}
	ways = append(ways, others()...)
	ways = slices.DeleteFunc(ways, func(w way) bool { return !strings.Contains(w.name, only) })
	var rows []row
	for _, l := range loads {
		some, err := play(l, ways, rounds, passes)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		rows = append(rows, some...)
	}
	if out != "" {
		text, err := json.Marshal(rows)
		if err != nil {
			return err
		}
		return os.WriteFile(out, text, 0o666)
	}
	if in != "" {
		text, err := os.ReadFile(in)
		if err != nil {
			return err
		}
		var more []row
		if err := json.Unmarshal(text, &more); err != nil {
			return fmt.Errorf("%s: %w", in, err)
		}
		rows = append(rows, more...)
	}
	return table(w, rows)
}

// table prints the rows of each load, the quickest first.
func table(w io.Writer, rows []row) error {
	for _, l := range loads {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.Load == l.name }) {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n%s\n\n| | ns a descriptor | to C | allocations, bytes |\n|---|---|---|---|\n", l.name); err != nil {
			return err
		}
		some := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.Load != l.name })
		slices.SortStableFunc(some, func(a, b row) int { return cmp.Compare(a.Ratio, b.Ratio) })
		for i, r := range some {
			if r.Way == "C" && i > 0 && some[i-1].Way == "C" {
				continue // of the other build
			}
			if _, err := fmt.Fprintf(w, "| %s | %.0f | %.3f (%.3f to %.3f) | %.1f, %.0f |\n", r.Way, r.Nanoseconds, r.Ratio, r.Low, r.Top, r.Allocs, r.Bytes); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "\nscm %s, %s\n", scm.Backend, time.Now().UTC().Format(time.DateOnly))
	return err
}
