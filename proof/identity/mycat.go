//go:build linux

package identity

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/must"
)

// mycat uses scm diff to compare examples/mycat in C with the same program in Go, and with
// mixtures of the two. All these programs must make the same system calls.
func (p *proof) mycat(scm []string) {
	source := filepath.Join(p.root, "examples", "mycat")
	goDir, cDir := filepath.Join(p.dir, "mycat-go"), filepath.Join(p.dir, "mycat-c")
	builds := []*exec.Cmd{
		exec.Command("go", "build", "-C", source, "-tags=scm_purego", "-o", goDir+"/", "./go/..."),
		exec.Command("make", "-C", filepath.Join(source, "c"), "OUT="+cDir),
	}
	for _, cmd := range builds {
		cmd.Env = fdtest.WithoutMake()
		must.Run(cmd)
	}
	if len(scm) == 0 {
		must.Failf("mycat: the command scm was not built")
	}
	command := func(mycat, openfile string) []string {
		return []string{filepath.Join(mycat, "mycat"), "-o", filepath.Join(openfile, "openfile"), filepath.Join(source, "mycat_test.go")}
	}
	inC := command(cDir, cDir)
	for _, other := range [][]string{command(goDir, goDir), command(goDir, cDir), command(cDir, goDir)} {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		args := append(append(append([]string{"diff", "--padding", "--"}, inC...), "---"), other...)
		out, err := exec.CommandContext(ctx, scm[0], args...).Output()
		cancel()
		text := strings.TrimSpace(string(out))
		if err != nil || !strings.HasPrefix(text, "same: ") {
			must.Failf("mycat: scm %s: %w\n%s", strings.Join(args, " "), err, text)
		}
		p.printf("mycat in C, and %s with %s: %s\n", describeProgram(other[0]), describeProgram(other[2]), text)
	}
}

// describeProgram returns the name of one of the two programs, and its language.
func describeProgram(path string) string {
	language := "Go"
	if strings.HasSuffix(filepath.Dir(path), "mycat-c") {
		language = "C"
	}
	return filepath.Base(path) + " in " + language
}
