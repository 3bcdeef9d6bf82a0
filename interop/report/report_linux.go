// Package report shows what came of an interop run: on the console and as JSON.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/scm-rights/scm/interop"
	"golang.org/x/sys/unix"
)

// Schema is the version of the JSON form. It grows when a reader has to change.
const Schema = 1

// A Report is a run, for reading by programs.
type Report struct {
	Schema    int              `json:"schema"`
	Version   string           `json:"version"` // of scm
	System    System           `json:"system"`
	Started   time.Time        `json:"started"`
	Seconds   float64          `json:"seconds"`
	Peers     []Peer           `json:"peers"`
	Totals    Totals           `json:"totals"`
	Witnesses map[string]int   `json:"witnesses"` // how the kernel told which descriptor is which
	Aside     []string         `json:"aside"`     // expectations for peers that were not built
	Cut       string           `json:"cut,omitempty"`
	Cases     []interop.Result `json:"cases"`
}

// System is where the run was.
type System struct {
	Kernel  string `json:"kernel"`
	Machine string `json:"machine"`
	User    int    `json:"uid"`
}

// A Peer is who played, or did not.
type Peer struct {
	Name string `json:"name"`
	interop.Hello
	NotRun string `json:"not_run,omitempty"` // why
	Totals Totals `json:"totals"`            // of the cases in which it played
}

// Totals count verdicts, and apart from them what is none.
type Totals struct {
	Pass        int `json:"pass"`
	Expected    int `json:"expected"`
	Fail        int `json:"fail"`
	Fixed       int `json:"fixed"`
	Unsupported int `json:"unsupported"`
	NotRun      int `json:"not_run"`
}

// Verdicts is how many cases have one.
func (t Totals) Verdicts() int { return t.Pass + t.Expected + t.Fail + t.Fixed }

// AsExpected tells whether nothing is other than expected.
func (t Totals) AsExpected() bool { return t.Fail == 0 && t.Fixed == 0 }

func (t *Totals) count(v interop.Verdict) {
	switch v {
	case interop.Pass:
		t.Pass++
	case interop.Expected:
		t.Expected++
	case interop.Fail:
		t.Fail++
	case interop.Fixed:
		t.Fixed++
	case interop.Unsupported:
		t.Unsupported++
	case interop.NotRun:
		t.NotRun++
	}
}

// New makes the report of an outcome. The runner counts as a peer.
func New(version string, started time.Time, peers []*interop.Peer, x *interop.Expectations, o interop.Outcome) *Report {
	r := &Report{
		Schema:    Schema,
		Version:   version,
		System:    system(),
		Started:   started.UTC(),
		Seconds:   time.Since(started).Seconds(),
		Witnesses: o.Witnesses,
		Aside:     []string{},
		Cases:     o.Results,
	}
	if o.Cut != nil {
		r.Cut = o.Cut.Error()
	}
	for _, e := range x.Aside {
		r.Aside = append(r.Aside, e.String())
	}
	for _, p := range peers {
		row := Peer{Name: p.Name, Hello: p.Hello, NotRun: p.Why}
		for _, c := range o.Results {
			if c.Case.A == p || c.Case.B == p {
				row.Totals.count(c.Verdict)
			}
		}
		r.Peers = append(r.Peers, row)
	}
	for _, c := range o.Results {
		r.Totals.count(c.Verdict)
	}
	return r
}

func system() System {
	s := System{User: os.Getuid()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
		s.Machine = unix.ByteSliceToString(u.Machine[:])
	}
	return s
}

// Read reads a report from its JSON file.
func Read(file string) (*Report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s: schema %d, and this reads %d", file, r.Schema, Schema)
	}
	return r, nil
}

// JSON writes the report for programs.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(r)
}

// WriteJSON writes the report to a file, whole or not at all.
func (r *Report) WriteJSON(file string) error {
	var text bytes.Buffer
	if err := r.JSON(&text); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	temp := file + ".new"
	if err := os.WriteFile(temp, text.Bytes(), 0o666); err != nil {
		_ = os.Remove(temp)
		return err
	}
	if err := os.Rename(temp, file); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return nil
}
