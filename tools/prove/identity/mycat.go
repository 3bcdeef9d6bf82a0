//go:build linux

package identity

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// mycat holds examples/mycat in C against that in Go, and the mixtures, by scm
// diff: they say the same.
func (p *proof) mycat(scm []string) error {
	source := filepath.Join(p.root, "examples", "mycat")
	goDir, cDir := filepath.Join(p.dir, "mycat-go"), filepath.Join(p.dir, "mycat-c")
	builds := []*exec.Cmd{
		exec.Command("go", "build", "-C", source, "-tags=purego", "-o", goDir+"/", "./go/..."),
		exec.Command("make", "-C", filepath.Join(source, "c"), "OUT="+cDir),
	}
	for _, cmd := range builds {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("mycat: %w\n%s", err, out)
		}
	}
	if len(scm) == 0 {
		return errors.New("mycat: the command scm was not built")
	}
	run := func(cat, open string) []string {
		return []string{filepath.Join(cat, "mycat"), "-o", filepath.Join(open, "openfile"), filepath.Join(source, "mycat_test.go")}
	}
	inC := run(cDir, cDir)
	for _, other := range [][]string{run(goDir, goDir), run(goDir, cDir), run(cDir, goDir)} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		args := append(append(append([]string{"diff", "--"}, inC...), "---"), other...)
		out, err := exec.CommandContext(ctx, scm[0], args...).Output()
		cancel()
		text := strings.TrimSpace(string(out))
		if err != nil || !strings.HasPrefix(text, "same: ") {
			return fmt.Errorf("mycat: scm %s: %w\n%s", strings.Join(args, " "), errors.Join(err), text)
		}
		_, _ = fmt.Fprintf(p.out, "mycat in C, and %s with %s: %s\n", half(other[0]), half(other[2]), text)
	}
	return nil
}

// half is one of the programs, and what it is written in.
func half(path string) string {
	language := "Go"
	if strings.HasSuffix(filepath.Dir(path), "mycat-c") {
		language = "C"
	}
	return filepath.Base(path) + " in " + language
}
