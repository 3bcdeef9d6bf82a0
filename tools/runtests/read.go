//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/testrecord"
)

// readOutput reads the standard output or standard error of a part.
func (r *run) readOutput(p *running, in io.Reader, log *logFile, isJSON bool) {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.takeLine(p, line, log, isJSON)
		}
		if err != nil {
			return
		}
	}
}

func (r *run) takeLine(p *running, line []byte, log *logFile, isJSON bool) {
	r.Lock()
	defer r.Unlock()
	var e event
	if isJSON && json.Unmarshal(line, &e) == nil {
		r.takeEvent(p, e, log)
		return
	}
	text := plain(string(line))
	log.Write([]byte(text))
	if p.Show {
		r.screen.print(string(line))
	}
	switch {
	case p.TAP:
		p.tap.take(strings.TrimSuffix(text, "\n"))
	default:
		p.output.add(strings.TrimSuffix(text, "\n") + "\n")
	}
}

// takeEvent processes an event from go test. If a package cannot be built, its build events have the import path of
// what was being built, and no Package.
func (r *run) takeEvent(p *running, e event, log *logFile) {
	e.Output = plain(e.Output)
	if e.Package == "" {
		if e.Output != "" {
			log.Write([]byte(e.Output))
			p.output.add(e.Output)
		}
		return
	}
	q := p.packages[e.Package]
	if q == nil {
		q = newPackage(e.Package)
		p.packages[e.Package] = q
		p.names = append(p.names, e.Package)
	}
	if e.Output != "" {
		if len(p.packages) == 1 {
			log.Write([]byte(e.Output))
		} else {
			q.log.WriteString(e.Output)
		}
	}
	if r.interrupted != nil {
		return
	}
	q.take(e)
	if e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
		log.Write(q.log.Bytes())
		q.log.Reset()
		if e.FailedBuild != "" {
			q.at("").output = p.output
		}
		r.readPart(p)
		for _, t := range p.results(q) {
			r.show(p, t)
		}
	}
}

// results returns the results of a package. If it printed nothing, the go command says why it failed.
func (p *running) results(q *goPackage) []test {
	all := q.results(fdtest.Limit(timeLimit), p.cut)
	for i, t := range all {
		if t.State == failed && strings.HasSuffix(t.Why, "\n") {
			all[i].Why += p.output.String()
		}
	}
	return all
}

func newPackage(name string) *goPackage { return &goPackage{name: name, tests: map[string]*goTest{}} }

// readRecords reads the records that the suites of running parts have written since the last call, and shows failures.
func (r *run) readRecords() {
	r.Lock()
	defer r.Unlock()
	for _, p := range r.parts {
		if p.begun && !p.ended {
			r.readPart(p)
		}
	}
}

func (r *run) readPart(p *running) {
	if p.records == "" || r.interrupted != nil {
		return
	}
	files, _ := filepath.Glob(filepath.Join(p.records, "*.json"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		r.note(err)
		text = text[min(p.read[file], len(text)):]
		text = text[:bytes.LastIndexByte(text, '\n')+1] // leave an incomplete line for the next call
		p.read[file] += len(text)
		records, err := testrecord.Read(bytes.NewReader(text))
		r.note(err)
		for _, record := range records {
			if q := p.packages[record.Package]; q != nil {
				q.records = append(q.records, record)
				if record.Kind == testrecord.Spec || record.Kind == testrecord.Node {
					t := specResult(record)
					t.Package = q.name
					r.show(p, t)
				}
			}
		}
	}
}
