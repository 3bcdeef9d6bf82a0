//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// A place is the position of a cell of the matrix.
type place struct{ socketType, sender, receiver string }

// caseName returns the name of a case in the cell, given its scenario.
func (p place) caseName(name string) string {
	return strings.Join([]string{name, p.socketType, p.sender, p.receiver}, "/")
}

// wholeMatrix returns a report that has every cell of the matrix. If the run left cells out, they are those of
// docs/matrix.md, which are therefore not compared. To write the page, the run must have included every pair.
func wholeMatrix(root string, r *report.Report, write bool) (*report.Report, error) {
	list := missing(r)
	if write && len(list) > 0 {
		return nil, fmt.Errorf("the report has no case %s; -w needs a run of every pair: make interop PEERS=all", list[0].caseName("*/*"))
	}
	page, err := os.ReadFile(filepath.Join(root, matrixFile))
	if write || err != nil {
		return r, nil // comparePages reports the error
	}
	if len(list) > 0 {
		fmt.Printf("readme: %d cells of the matrix are not compared: the run left them out\n", len(list))
	}
	return fill(r, list, string(page), peers.FewPairs())
}

// missing returns the places for which the report has no case.
func missing(r *report.Report) (list []place) {
	have := map[place]bool{}
	for _, c := range r.Cases {
		if part := strings.Split(c.Name, "/"); len(part) == 5 {
			have[place{part[2], part[3], part[4]}] = true
		}
	}
	for _, t := range contract.SocketTypes {
		for _, a := range r.Peers {
			for _, b := range r.Peers {
				if p := (place{t, a.Name, b.Name}); !have[p] {
					list = append(list, p)
				}
			}
		}
	}
	return list
}

// fill returns a copy of the report that also has the cells of the page at the missing places, so that only
// the other cells can differ from the page. It returns an error for a place that no run leaves out, because
// neither of the peers is in few.
func fill(r *report.Report, list []place, page string, few []string) (*report.Report, error) {
	cells := pageCells(page)
	filled := *r
	filled.Cases = slices.Clone(r.Cases)
	for _, p := range list {
		numbers := cellForm.FindStringSubmatch(cells[p])
		switch {
		case !slices.Contains(few, p.sender) && !slices.Contains(few, p.receiver):
			return nil, fmt.Errorf("the report has no case %s", p.caseName("*/*"))
		case numbers == nil:
			return nil, fmt.Errorf("neither the report nor %s has a cell for %s", matrixFile, p.caseName("*/*"))
		}
		for i, verdict := range []scenario.Verdict{scenario.Pass, scenario.Expected, scenario.Unsupported} {
			n, err := strconv.Atoi(numbers[i+1])
			if err != nil {
				n = len(numbers[i+1]) // "" or "-"
			}
			filled.Cases = append(filled.Cases, slices.Repeat([]scenario.Result{{Name: p.caseName("page/cell"), Verdict: verdict}}, n)...)
		}
	}
	return &filled, nil
}

// cellForm matches a cell of docs/matrix.md: the passes and the expected failures, or "-".
var cellForm = regexp.MustCompile(`^(?:([0-9]+)(?:x([0-9]+))?|(-))$`)

// pageCells returns the cells of the tables in docs/matrix.md.
func pageCells(page string) map[place]string {
	cells := map[place]string{}
	for _, t := range contract.SocketTypes {
		_, table, _ := strings.Cut(page, "\n## "+t+"\n\n```\n")
		table, _, _ = strings.Cut(table, "```")
		var rows [][]string // number, name, cells
		for line := range strings.Lines(table) {
			rows = append(rows, strings.Fields(line))
		}
		for _, row := range rows {
			for i := 1; i < len(rows) && len(row) == len(rows)+1; i++ {
				cells[place{t, row[1], rows[i][1]}] = row[i+1]
			}
		}
	}
	return cells
}
