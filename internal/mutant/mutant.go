// Package mutant puts faults into sources with go build -overlay, to test the tests. It does not
// change the sources themselves.
package mutant

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An Edit replaces the only occurrence of Old in a file. The file's name is relative to the root.
type Edit struct{ File, Old, New string }

// Overlay applies edits to copies of files below root, in the folder dir, and returns the name of the
// file for -overlay. It fails if a file does not contain an Old exactly once.
func Overlay(root, dir string, edits ...Edit) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, e := range edits {
		file := filepath.Join(root, e.File)
		if _, ok := texts[file]; !ok {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			texts[file] = string(text)
		}
		if n := strings.Count(texts[file], e.Old); n != 1 {
			return "", fmt.Errorf("%q occurs %d times in %s, not once", e.Old, n, e.File)
		}
		texts[file] = strings.Replace(texts[file], e.Old, e.New, 1)
	}
	replace := map[string]string{}
	for file, text := range texts {
		changed := filepath.Join(dir, fmt.Sprintf("%d-%s", len(replace), filepath.Base(file)))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[file] = changed
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, list, 0o600)
}
