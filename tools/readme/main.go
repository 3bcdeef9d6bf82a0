//go:build linux

// Command readme compares the matrix in README.md with the report of a run, or
// with -w puts the report's there.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/scm-rights/scm/interop/report"
)

const (
	begin = "<!-- matrix stream -->\n"
	end   = "<!-- end -->\n"
)

func main() {
	write := flag.Bool("w", false, "write the matrix to README.md")
	flag.Parse()
	if err := run(flag.Arg(0), *write); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(file string, write bool) error {
	r, err := report.Read(file)
	if err != nil {
		return err
	}
	for _, p := range r.Peers {
		if p.NotRun != "" {
			fmt.Printf("readme: the matrix is not compared, %s is not there: %s\n", p.Name, p.NotRun)
			return nil
		}
	}
	var matrix bytes.Buffer
	if err := r.Matrix(&matrix, "stream"); err != nil {
		return err
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(readme), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("README.md has no matrix")
	}
	text := head + begin + "```\n" + trimLines(matrix.String()) + "```\n" + end + tail
	switch {
	case text == string(readme):
		return nil
	case write:
		return os.WriteFile("README.md", []byte(text), 0o666)
	}
	return fmt.Errorf("README.md has another matrix than %s: go run ./tools/readme -w %s", file, file)
}

// trimLines takes the blanks from the ends of lines.
func trimLines(text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return b.String()
}
