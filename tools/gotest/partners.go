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

// A key is a backend and a partner, and a score the numbers of specs that passed, failed and were skipped.
type key struct{ backend, partner string }
type score [3]int

// partnerLine is a line of the suite of package scm. The reasons for skips are in parentheses, each after a number.
var partnerLine = regexp.MustCompile(`(?m)^specs over (\S+) with (\S+): (\d+) passed, (\d+) failed, (\d+) skipped(?: \((.*)\))?$`)

// readPartners sets the scores, and returns the reasons for skipped specs, each after "skip: " on a line.
func (p *part) readPartners(log string) (reasons string) {
	p.scores = map[key]score{}
	for _, m := range partnerLine.FindAllStringSubmatch(log, -1) {
		var s score
		for i := range s {
			s[i], _ = strconv.Atoi(m[3+i])
		}
		p.scores[key{m[1], names.Replace(m[2])}] = s
		for reason := range strings.SplitSeq(m[6], "; ") {
			_, reason, _ = strings.Cut(reason, " ")
			if reasons += "skip: " + reason + "\n"; s[0]+s[1] == 0 && s[2] > 0 {
				p.skips = append(p.skips, m[2]+": "+reason)
			}
		}
	}
	return reasons
}

// catalogue returns a table of the specs with each partner, and a sentence about those in C and Rust.
func catalogue(scores map[key]score) (table, sentence string) {
	table = fmt.Sprintf("\n%-26s%28s%28s\n%-26s", "", "cgo", "pure Go", "specs with") + strings.Repeat("      passed  failed skipped", 2)
	passed, failed := map[key]int{}, 0
	for _, row := range partnerRows {
		name, what, _ := strings.Cut(row, ",")
		language := what[strings.LastIndex(what, " ")+1:]
		table += fmt.Sprintf("\n%-26s", row)
		for _, backend := range []string{"cgo", "purego"} {
			s := scores[key{backend, name}]
			table += fmt.Sprintf("    %8d%8d%8d", s[0], s[1], s[2])
			if passed[key{backend, language}] += s[0]; language != "" {
				failed += s[1]
			}
		}
	}
	var says [2]string
	for i, backend := range []string{"cgo", "purego"} {
		c, rust := passed[key{backend, "C"}], passed[key{backend, "Rust"}]
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
	return table + "\n", sentence
}
