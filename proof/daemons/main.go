//go:build linux

// Command daemons tries scm poke on real programs. The list is programs.txt, which also says what
// each of them is known to do. A run fails if a program does anything else.
//
//	go run -C proof ./daemons [-scm build/programs/scm] [-check] [PROGRAM]...
//
// Programs that are not installed are skipped. With CI=true, they are errors.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

//go:embed programs.txt
var programs string

func main() {
	scm := flag.String("scm", "build/programs/scm", "the `program` to run, whose name is scm")
	check := flag.Bool("check", false, "run only the programs that CI runs")
	flag.Parse()
	must.Main("daemons", func() { run(*scm, *check, flag.Args()) })
}

func run(scm string, check bool, names []string) {
	must.OK(target.EnterRoot())
	list := must.Get(parse(programs))
	for _, name := range names {
		if !slices.ContainsFunc(list, func(p program) bool { return p.Name == name }) {
			must.Failf("no program is named %q", name)
		}
	}
	scm = must.Get(filepath.Abs(scm))
	var group sync.WaitGroup
	var mu sync.Mutex
	turns := make(chan bool, 4) // a run mostly waits
	tried, red := 0, 0
	for _, p := range list {
		if check && !p.Check || len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		tried++
		group.Add(1)
		go func() {
			defer group.Done()
			turns <- true
			defer func() { <-turns }()
			text, err := p.try(scm)
			mu.Lock()
			defer mu.Unlock()
			fmt.Print(text)
			if err != nil {
				red++
				fmt.Printf("%s: %v\n", p.Name, err)
			}
		}()
	}
	group.Wait()
	if tried == 0 {
		must.Failf("no program was chosen")
	}
	if red > 0 {
		must.Failf("%d programs differ from proof/daemons/programs.txt", red)
	}
}

// try runs the program, and returns a line about it. The error contains the output if it differs from the list.
func (p program) try(scm string) (text string, err error) {
	for _, need := range p.Needs {
		if _, err := exec.LookPath(need[0]); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			return "", fmt.Errorf("not installed: %s", need[1])
		}
		return p.Name + ": skipped: not installed: " + need[1] + "\n", nil
	}
	var out string
	if err := must.Try(func() { p.sh(scm, &out) }); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return fmt.Sprintf("%s: %s\n", p.Name, lines[len(lines)-1]), nil
}

// sh runs scm poke in an empty directory, and sets out to its output. At the end, it kills what the setup has
// started.
func (p program) sh(scm string, out *string) {
	dir := must.Get(os.MkdirTemp("", "programs-"))
	defer os.RemoveAll(dir)
	accept := filepath.Join(dir, "accept.txt")
	must.OK(os.WriteFile(accept, []byte(strings.Join(p.Accept, "\n")+"\n"), 0o666))
	script := p.Setup + "\nscm poke --accept " + accept + " " + p.Poke
	cmd := exec.Command("sh", "-ec", script)
	cmd.Env = append(os.Environ(), "DIR="+dir, "HOME="+dir, "XDG_RUNTIME_DIR="+dir, "PATH="+filepath.Dir(scm)+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	file := must.Get(os.Create(filepath.Join(dir, "output.txt"))) // not a pipe, which the setup would keep open
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // an error means that nothing is left
	}
	*out = string(must.Get(os.ReadFile(file.Name())))
	must.OK(err)
}
