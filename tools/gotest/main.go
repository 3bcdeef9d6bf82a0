// Command gotest runs `go test -json` and counts what passed: a spec of a Ginkgo suite is one,
// as a test without subtests is.
//
//	go run ./tools/gotest [-name NAME] [-count FILE] -- GO-TEST-ARGUMENTS…
//
// It prints a line a package, the output of what failed, the reason of what was skipped and what each suite said,
// ends with `NAME: N passed, N failed, N skipped`, and writes the three numbers to FILE.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

func main() {
	name := flag.String("name", "go test", "what the last line calls the run")
	file := flag.String("count", "", "the `file` for the numbers")
	flag.Parse()

	// make lint vets. Half of the time the tests wait for something, while as many others can run.
	args := []string{"test", "-json", "-count=1", "-timeout=30m", "-vet=off", fmt.Sprintf("-p=%d", 2*runtime.NumCPU())}
	cmd := exec.Command("go", append(args, flag.Args()...)...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GINKGO_NO_COLOR=TRUE")
	stdout, err := cmd.StdoutPipe()
	check(err)
	// A run that is interrupted still names what did not end.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	check(cmd.Start())
	total, err := report(stdout, os.Stdout)
	check(err)
	failed := cmd.Wait()

	fmt.Printf("%s: %d passed, %d failed, %d skipped\n", *name, total.passed, total.failed, total.skipped)
	if *file != "" {
		check(os.MkdirAll(filepath.Dir(*file), 0o777))
		check(os.WriteFile(*file, fmt.Appendf(nil, "%d %d %d\n", total.passed, total.failed, total.skipped), 0o666))
	}
	if failed != nil || total.failed > 0 {
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
}
