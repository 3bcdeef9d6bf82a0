package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// partnerRows are the partners in C and Rust, as in package peers, and those of every backend.
var partnerRows = []string{"csrc, in C", "book, the book's code in C", "qa, in C", "libc, in Rust", "nix, in Rust", "rustix, in Rust",
	"sendfd, in Rust", "scmsocket, in Rust", "the other backend", "the runner"}

var names = strings.NewReplacer("scm-cgo", "the other backend", "scm-purego", "the other backend", "runner", "the runner")

// A score is the numbers of tests that passed, failed and were skipped.
type score [3]int

func (s score) String() string { return fmt.Sprintf("    %8d%8d%8d", s[0], s[1], s[2]) }

// partnerLine is a line of the suite of package scm. The reasons for skips are in parentheses, each after a number.
var partnerLine = regexp.MustCompile(`(?m)^specs over \S+ with (\S+): (\d+) passed, (\d+) failed, (\d+) skipped(?: \((.*)\))?$`)

// readPartners sets the scores, and returns the reasons for skipped specs, each after "skip: " on a line.
func (p *part) readPartners(log string) (reasons string) {
	p.scores = map[string]score{}
	for _, m := range partnerLine.FindAllStringSubmatch(log, -1) {
		var s score
		for i := range s {
			s[i], _ = strconv.Atoi(m[2+i])
		}
		p.scores[names.Replace(m[1])] = s
		for reason := range strings.SplitSeq(m[5], "; ") {
			_, reason, _ = strings.Cut(reason, " ")
			if reasons += "skip: " + reason + "\n"; s[0]+s[1] == 0 && s[2] > 0 {
				p.skips = append(p.skips, m[1]+": "+reason)
			}
		}
	}
	return reasons
}

// catalogue returns a table of the specs with each partner and of the other tests on cgo and on pure Go, and a sentence
// about the specs in C and Rust. They are empty if the suite of package scm did not run.
func catalogue(backends [2]*part) (table, sentence string) {
	if len(backends[0].scores)+len(backends[1].scores) == 0 {
		return "", ""
	}
	var others [2]score
	for i, p := range backends {
		others[i] = score{p.passed, p.failed, p.skipped}
	}
	passed, failed := [2]map[string]int{{}, {}}, 0
	table = fmt.Sprintf("\n%-26s%28s%28s\n%-26s", "", "cgo", "pure Go", "specs with") + strings.Repeat("      passed  failed skipped", 2)
	for _, row := range partnerRows {
		name, what, _ := strings.Cut(row, ",")
		language := what[strings.LastIndex(what, " ")+1:]
		table += fmt.Sprintf("\n%-26s", row)
		for i, p := range backends {
			s := p.scores[name]
			table += s.String()
			for j := range s {
				others[i][j] -= s[j]
			}
			if passed[i][language] += s[0]; language != "" {
				failed += s[1]
			}
		}
	}
	table += fmt.Sprintf("\n%-26s%v%v\n", "other Go tests", others[0], others[1])
	var says [2]string
	for i := range says {
		c, rust := passed[i]["C"], passed[i]["Rust"]
		if says[i] = fmt.Sprintf("%d specs against C and Rust passed", c+rust); c == 0 || rust == 0 {
			says[i] = fmt.Sprintf("%d specs against C and %d against Rust passed", c, rust)
		}
	}
	sentence = says[0] + " on both backends"
	if says[0] != says[1] {
		sentence = says[0] + " on cgo, and " + says[1] + " on pure Go"
	}
	if failed > 0 {
		sentence += fmt.Sprintf("; %d failed", failed)
	}
	return table, sentence + "\n"
}
