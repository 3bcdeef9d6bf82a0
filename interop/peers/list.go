package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
)

// WriteList writes a list of peers to file, in the format that `scm interop run --peers FILE`
// reads. It creates the directory of the file if necessary.
func WriteList(file string, list []Built) error {
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o666)
}

// ReadList reads a file that WriteList wrote. Each peer must have a valid name of its own. It must also have
// either a command or the reason why it cannot run. A program that is given as a relative path is
// relative to the folder of the file; ReadList makes it absolute. No peer may have
// a reserved name.
func ReadList(file string, reserved ...string) ([]Built, error) {
	list, _, err := ReadListKeys(file, reserved...)
	return list, err
}

// CheckName returns an error if the name of a peer is reserved.
func CheckName(name string, reserved ...string) error {
	if slices.Contains(reserved, name) {
		return fmt.Errorf("the peer name %q is reserved: choose another name", name)
	}
	return nil
}

// ReadListKeys is like ReadList. It ignores unknown keys. If there are any, unknown is an error that names the first.
func ReadListKeys(file string, reserved ...string) (list []Built, unknown, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&[]Built{}); err != nil {
		unknown = fmt.Errorf("%s: %w", file, err)
	}
	folder, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for i, b := range list {
		if seen[b.Name] {
			return nil, nil, fmt.Errorf("%s: two peers are named %q", file, b.Name)
		}
		seen[b.Name] = true
		if !display.IsName(b.Name) || (len(b.Command) == 0) == (b.Why == "") {
			return nil, nil, fmt.Errorf("%s: peer %d (%q) needs a name of letters, digits and any of \"_.+-\","+
				" and either a command or the reason why it has none", file, i, b.Name)
		}
		if err := CheckName(b.Name, reserved...); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		if program := append(b.Command, "")[0]; strings.Contains(program, "/") && !filepath.IsAbs(program) {
			b.Command[0] = filepath.Join(folder, program)
		}
	}
	return list, unknown, nil
}

// NotBuilt returns a line for each reason for which peers in the list were not built: "NAME NAME: REASON".
func NotBuilt(list []Built) (lines []string) {
	names := map[string][]string{} // by reason
	for _, b := range list {
		if b.Why != "" {
			names[b.Obstacle()] = append(names[b.Obstacle()], b.Name)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(names)) {
		lines = append(lines, strings.Join(names[reason], " ")+": "+reason)
	}
	return lines
}
