//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
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
		o := otherRow{Row: w.Name, Where: where, Version: t.versions[i], Cells: t.cellsOf(i)}
		list = append(list, o)
	}
	text := must.Get(json.MarshalIndent(list, "", "  "))
	must.OK(os.WriteFile(filepath.Join(root, othersFile), append(text, '\n'), 0o666))
}

// cellsOf returns the texts of row i as they are in othersFile.
func (t *comparison) cellsOf(i int) (texts []string) {
	for _, c := range t.cells[i] {
		text := c.text
		if c.replaced {
			text += mark
		}
		texts = append(texts, text)
	}
	return texts
}

// otherLines returns the rows of docs/comparison.md for other versions of the library in row i, a row for all versions
// with the same cells. It leaves out those whose cells are the same as in row i.
func (t *comparison) otherLines(i int) (text string) {
	versions, order := map[string][]string{}, []string{}
	for _, o := range t.others {
		cells := strings.Join(o.Cells, "|")
		if o.Row != rows[i].Name || slices.Equal(o.Cells, t.cellsOf(i)) {
			continue
		}
		if versions[cells] == nil {
			order = append(order, cells)
		}
		if !slices.Contains(versions[cells], o.Version) {
			versions[cells] = append(versions[cells], o.Version)
		}
	}
	for _, cells := range order {
		text += "|" + rows[i].Name + ", " + strings.Join(versions[cells], " and ") + "|" + cells + "|\n"
	}
	return text
}

// also precedes the versions of other runs.
const also = ", also "

// version returns the version of the library in row i, and those of other runs.
func (t *comparison) version(i int) string {
	text := t.versions[i]
	var tried []string
	for _, o := range t.others {
		if o.Row == rows[i].Name && o.Version != t.versions[i] && !slices.Contains(tried, o.Version) {
			tried = append(tried, o.Version)
		}
	}
	if tried != nil {
		text += also + strings.Join(tried, " and ")
	}
	return text
}
