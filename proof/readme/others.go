//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/proof/must"
)

// othersFile has the cells of rows that were computed from runs with other versions of the libraries.
const othersFile = "docs/comparison.json"

// An otherRow has the cells of a row for another version than that of the report.
type otherRow struct {
	Row     string   `json:"row"`
	Where   string   `json:"where"` // the release of Debian that has the version
	Version string   `json:"version"`
	Cells   []string `json:"cells"`
}

func readOthers(root string) (list []otherRow, err error) {
	text, err := os.ReadFile(filepath.Join(root, othersFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&list)
	}
	return list, err
}

// keepOthers stores the rows of all libraries for which the report has results, as those of a release of Debian.
func keepOthers(root, where, file string) {
	r := must.Get(report.Read(file))
	list := slices.DeleteFunc(must.Get(readOthers(root)), func(o otherRow) bool { return o.Where == where })
	t := compare(r)
	for i, w := range rows {
		if len(w.trials(r.Cases)) == 0 {
			continue
		}
		o := otherRow{Row: w.Name, Where: where, Version: t.versions[i]}
		for _, c := range t.cells[i] {
			text := c.text
			if c.replaced != "" {
				text += mark
			}
			o.Cells = append(o.Cells, text)
		}
		list = append(list, o)
	}
	text := must.Get(json.MarshalIndent(list, "", "  "))
	must.OK(os.WriteFile(filepath.Join(root, othersFile), append(text, '\n'), 0o666))
}

// otherLines returns the rows of docs/comparison.md for other versions of the library in row i. It leaves out those
// whose cells are the same.
func (t *comparison) otherLines(i int) (text string) {
	var cells []string
	for _, c := range t.cells[i] {
		cell := c.text
		if c.replaced != "" {
			cell += mark
		}
		cells = append(cells, cell)
	}
	var seen []string
	for _, o := range t.others {
		if o.Row != rows[i].Name || slices.Equal(o.Cells, cells) || slices.Contains(seen, o.Version) {
			continue
		}
		seen = append(seen, o.Version)
		text += fmt.Sprintf("| %s, version %s | %s |\n", o.Row, o.Version, strings.Join(o.Cells, " | "))
	}
	return text
}

// otherVersions says where the rows of row i for other versions come from.
func (t *comparison) otherVersions(i int) string {
	var tried []string
	for _, o := range t.others {
		if o.Row == rows[i].Name {
			tried = append(tried, fmt.Sprintf("%s (%s)", o.Version, o.Where))
		}
	}
	if tried == nil {
		return ""
	}
	text := "Also run with " + strings.Join(tried, " and ")
	if t.otherLines(i) == "" {
		text += ". The cells are the same"
	} else {
		text += ". A version whose cells differ has a row of its own"
	}
	return text + ".\n\n"
}
