//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/tools/prove/versions"
)

// versionsFile is the page for the users of the libraries. Like the tables at the top of the pages about libraries, its tables
// are generated from the results of make versions.
const versionsFile = findingsDir + "/README.md"

// fillVersions returns the pages whose tables of versions are generated, by file name.
func fillVersions(root string, texts []peerText) (map[string]string, error) {
	results, err := versions.ReadResults(root)
	if err != nil {
		return nil, err
	}
	page, err := os.ReadFile(filepath.Join(root, versionsFile))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(texts, func(a, b peerText) int {
		return strings.Compare(strings.ToLower(libraryName(a.peer)), strings.ToLower(libraryName(b.peer)))
	})
	for _, p := range texts {
		if len(p.tried(results)) == 0 {
			return nil, fmt.Errorf("%s has no results for %s: make versions PEER=%[2]s", versions.ResultsFile, p.peer)
		}
	}
	pages := map[string]string{}
	pages[versionsFile], err = fillMarkers(versionsFile, string(page), func(marker, _ string) (string, error) {
		switch marker {
		case "libraries":
			return librariesTable(texts, results), nil
		case "faults by library":
			return faultsByLibrary(texts, results), nil
		}
		return "", fmt.Errorf("unknown marker %q", marker)
	})
	for _, t := range texts {
		filled, wrong := fillMarkers(t.file(), t.page, func(marker, old string) (string, error) {
			if marker != "versions" {
				return old, nil
			}
			return t.versionsTable(results)
		})
		pages[t.file()], err = filled, errors.Join(err, wrong)
	}
	return pages, err
}

// writeVersions writes the tables of versions.
func writeVersions(root string) error {
	texts, err := readTexts(root)
	if err != nil {
		return err
	}
	pages, err := fillVersions(root, texts)
	if err != nil {
		return err
	}
	return writeFindings(root, pages)
}

// A tried is a version that the programs of a page were run with.
type tried struct {
	where, version string
}

// tried returns the versions of the library in the results, the oldest first.
func (p *peerText) tried(results []versions.Result) (list []tried) {
	for _, r := range results {
		if v := (tried{r.Where, r.Version}); r.Peer == p.peer && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	slices.SortStableFunc(list, func(a, b tried) int { return slices.Compare(numbers(a.version), numbers(b.version)) })
	return list
}

// numbers returns the numbers in a version.
func numbers(version string) (list []int) {
	for _, text := range digits.FindAllString(version, -1) {
		n, _ := strconv.Atoi(text) // a hash, which may be too long, comes last
		list = append(list, n)
	}
	return list
}

var digits = regexp.MustCompile(`[0-9]+`)

// affected returns which of the versions have the fault.
func (p *peerText) affected(f fault, list []tried, results []versions.Result) (affected []bool, err error) {
	for _, v := range list {
		i := slices.IndexFunc(results, func(r versions.Result) bool {
			return r.Peer == p.peer && r.Fault == f.title && r.Where == v.where && r.Version == v.version
		})
		if i < 0 {
			return nil, fmt.Errorf("%s: %q was not tried with version %s: make versions", p.file(), f.title, v.version)
		}
		affected = append(affected, results[i].Shown)
	}
	return affected, nil
}

// versionsTable returns the table at the top of the page, with a row for each fault and a column for each version.
func (p *peerText) versionsTable(results []versions.Result) (table string, err error) {
	list := p.tried(results)
	heads := []string{"fault"}
	for _, v := range list {
		heads = append(heads, v.where+": "+v.version)
	}
	table = "Affected, according to the programs below (`make versions`, " + days(results, p.peer) + "):\n\n" + tableRow(heads...) + strings.Repeat("|---", len(heads)) + "|\n"
	for _, f := range p.faults {
		affected, err := p.affected(f, list, results)
		if err != nil {
			return "", err
		}
		cells := []string{f.title}
		for _, yes := range affected {
			cells = append(cells, map[bool]string{true: "yes", false: "no"}[yes])
		}
		table += tableRow(cells...)
	}
	return table, nil
}

// rangeOf says in words which versions are affected, and which of those tried are not.
func rangeOf(list []tried, affected []bool) string {
	var with, without []string
	for i, v := range list {
		switch {
		case affected[i]:
			with = append(with, v.version)
		case !slices.Contains(without, v.version):
			without = append(without, v.version)
		}
	}
	if len(with) == 0 {
		return "none of those tried"
	}
	text := with[0]
	if last := with[len(with)-1]; last != text {
		text += " to " + last
	}
	if affected[len(affected)-1] {
		text += ", the newest tried"
	}
	switch len(without) {
	case 0:
		return text
	case 1:
		return text + "; " + without[0] + " does not have it"
	}
	return text + "; " + strings.Join(without[:len(without)-1], ", ") + " and " + without[len(without)-1] + " do not have it"
}

// upstream says whether the maintainers know about the fault.
func (f fault) upstream() string {
	switch {
	case f.reported:
		return "reported: " + linkForm.FindString(f.thread)
	case f.related != "":
		return "related: " + f.related
	}
	return "no report found"
}

var linkForm = regexp.MustCompile(`\[[^\]]+\]\(https://[^)\s]+\)`)

// days says on which days the programs ran that gave the results about a library, or about all if peer is empty.
func days(results []versions.Result, peer string) string {
	var list []string
	for _, r := range results {
		if peer == "" || r.Peer == peer {
			list = append(list, r.Date)
		}
	}
	first, last := slices.Min(list), slices.Max(list)
	if first == last {
		return "on " + first
	}
	return "from " + first + " to " + last
}

// librariesTable returns the table of the libraries, with the faults of the newest version.
func librariesTable(texts []peerText, results []versions.Result) string {
	table := "Tried " + days(results, "") + ".\n\n| library | versions tried | faults in the newest |\n|---|---|---|\n"
	for _, p := range texts {
		list := p.tried(results)
		var names []string
		for i := 0; i < len(list); {
			version, where := list[i].version, []string{}
			for ; i < len(list) && list[i].version == version; i++ {
				if !slices.Contains(where, list[i].where) {
					where = append(where, list[i].where)
				}
			}
			names = append(names, version+" ("+strings.Join(where, ", ")+")")
		}
		newest := 0
		for _, f := range p.faults {
			if affected, err := p.affected(f, list, results); err == nil && affected[len(affected)-1] {
				newest++
			}
		}
		table += tableRow(fmt.Sprintf("[%s](#%s)", libraryName(p.peer), anchor(p.peer)), strings.Join(names, ", "), fmt.Sprintf("%d of %d", newest, len(p.faults)))
	}
	return table
}

// anchor returns the anchor of a library's section.
func anchor(peer string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(libraryName(peer)), ""), " ", "-")
}

var notInAnchor = regexp.MustCompile(`[^a-z0-9_ -]`)

// faultsByLibrary returns a section for each library.
func faultsByLibrary(texts []peerText, results []versions.Result) (text string) {
	for i, p := range texts {
		if i > 0 {
			text += "\n"
		}
		text += fmt.Sprintf("### %s\n\nDetails: [%s.md](%s.md).\n\n", libraryName(p.peer), p.peer, p.peer)
		text += "| fault | affected versions | upstream | what you can do |\n|---|---|---|---|\n"
		list := p.tried(results)
		for _, f := range p.faults {
			affected, err := p.affected(f, list, results)
			if err != nil {
				continue // versionsTable reports it
			}
			text += tableRow(f.title, rangeOf(list, affected), f.upstream(), f.meanwhile)
		}
	}
	return text
}
