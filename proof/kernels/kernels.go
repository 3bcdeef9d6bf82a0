//go:build linux

// Package kernels runs the suite on real kernels, in emulated machines: the kernel scenarios, the built-in peers on
// amd64, the specs of fdchannel on both backends, as static programs, and the
// archive of make dist.
//
// The output names every case that did not end as expected, and ends with a table. If something is missing for a
// kernel, such as its emulator, the kernel is listed as not run. That is an error with CI=true, or if no kernel was
// run.
//
//	kernels.go    builds the programs, and runs them in the machines
//	judge.go      the results
//	page.go       testdata/results.md
package kernels

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm/proof/machine"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// Options says what to run. An empty list selects everything.
type Options struct {
	Kernels, Archs []string
	Quick          bool // without the peers
}

// out is the folder for the programs, the reports and the output of the consoles.
const out = "build/kernels"

// Programs are the programs for the machines of an architecture.
type programs struct {
	dir      string
	commands []command
	archive  string // of make dist
	missing  error  // why a part is missing
	err      error  // why they could not be built
}

// A command runs in the machine, and leaves a report with the command's name.
type command struct {
	name  string
	words []string
}

// A run is the run of one kernel.
type run struct {
	record
	kernel   target.Kernel
	cpu      time.Duration  // 0 if the kernel was not run
	missing  error          // why the kernel, or a part, was not run
	specs    map[string]int // of fdchannel that passed, by backend
	problems []string
}

// Prove runs the kernels, two at once.
func Prove(o Options) {
	list, pages := o.choose(), kept(pageFile)
	var wait sync.WaitGroup
	slots := make(chan struct{}, 2)
	built := map[string]*programs{} // by GOARCH
	for _, r := range list {
		// Building takes longer than finding out that the package cannot be downloaded.
		_, err := target.MachineFor(r.Arch)
		if err == nil {
			_, err = machine.Fetch(r.kernel.Path, r.kernel.SHA256)
		}
		if err != nil {
			fmt.Printf("kernels: %s: %v\n", r.Name, err)
			r.failed(err)
			continue
		}
		p := built[r.Arch]
		if p == nil {
			p = &programs{}
			p.err = must.Try(func() { p.build(r.Arch, o.Quick) })
			built[r.Arch] = p
		}
		slots <- struct{}{}
		wait.Add(1)
		go func() {
			defer wait.Done()
			r.run(p, o.Quick)
			if r.cpu > 0 {
				fmt.Printf("kernels: %s: %d problems, %.0f CPU seconds\n", r.Name, len(r.problems), r.cpu.Seconds())
			}
			<-slots
		}()
	}
	wait.Wait()
	printAll(list, pages)
}

// choose returns a run for each selected kernel.
func (o Options) choose() (list []*run) {
	var known []string
	for _, k := range target.Kernels() {
		known = append(known, k.Name, k.Arch)
		if (len(o.Kernels) == 0 || slices.Contains(o.Kernels, k.Name)) && (len(o.Archs) == 0 || slices.Contains(o.Archs, k.Arch)) {
			list = append(list, &run{kernel: k, record: record{Name: k.Name, Arch: k.Arch}})
		}
	}
	for _, name := range slices.Concat(o.Kernels, o.Archs) {
		if !slices.Contains(known, name) {
			slices.Sort(known)
			must.Failf("no kernel or architecture %q; there are %s", name, strings.Join(slices.Compact(known), ", "))
		}
	}
	if len(list) == 0 {
		must.Failf("no kernel has both this name and this architecture")
	}
	return list
}

// build builds the programs for an architecture, and determines the commands.
func (p *programs) build(arch string, quick bool) {
	p.dir = must.Get(filepath.Abs(filepath.Join(out, arch))) // the go command starts in the folder of a module
	must.OK(os.RemoveAll(p.dir))
	p.compile(arch, "", "scm", "build", "./cmd/scm")
	// Strict, because the releases in expected.txt are exact for the kernels in the table.
	run := []string{"/bin/scm", "interop", "run", "--strict-kernel"}
	p.add("kernel", append(slices.Clip(run), "--builtin=false", "--run=*/*/*/kernel/kernel", "--report=/out/kernel.json"))
	if !quick && arch == "amd64" {
		p.add("peers", append(slices.Clip(run), "--report=/out/peers.json"))
	}
	if !quick {
		p.compile(arch, "", "tryarchive", "build", "./proof/tryarchive")
		p.addArchive(arch)
	}
	p.specs(arch, "", "purego", "-tags=scm_purego")
	for _, t := range target.OnePerArch() {
		if t.Arch != arch {
			continue
		}
		if err := target.Compiles(append(slices.Clone(t.Compiler), "-static")...); err != nil {
			p.missing = fmt.Errorf("specs with cgo: %w; root can install the compiler: tools/setup machines", err)
			continue
		}
		p.specs(arch, strings.Join(t.Compiler, " "), "cgo", "-tags=netgo,osusergo", "-ldflags=-linkmode=external -extldflags=-static")
	}
}

func (p *programs) add(name string, words []string) {
	p.commands = append(p.commands, command{name, words})
}

// addArchive adds the programs of the archive that make dist wrote for an architecture.
func (p *programs) addArchive(arch string) {
	found, err := filepath.Glob("build/dist/scm-*-linux-" + arch + ".tar.gz")
	if err != nil || len(found) != 1 {
		must.Failf("make dist has written %d archives for %s", len(found), arch)
	}
	p.archive = found[0]
	p.add(archiveCommand, []string{"/bin/tryarchive", "/" + strings.TrimSuffix(filepath.Base(p.archive), ".tar.gz")})
}

// specs builds the specs of fdchannel for a backend. It leaves out those about gVisor's package, which need the go
// command.
func (p *programs) specs(arch, cc, backend string, flags ...string) {
	p.compile(arch, cc, backend, "test", append(append([]string{"-c"}, flags...), "./fdchannel")...)
	p.add(backend, []string{"/bin/" + backend, "-ginkgo.label-filter=!gvisor", "-ginkgo.json-report=/out/" + backend + ".json"})
}

// compile builds a program with the go command.
func (p *programs) compile(arch, cc, name, verb string, args ...string) {
	dir, pkg := target.Folder(".", args[len(args)-1])
	args = append([]string{verb, "-C", dir, "-o", filepath.Join(p.dir, name)}, append(args[:len(args)-1:len(args)-1], pkg)...)
	must.Run(target.Go(arch, cc, args...))
}

// run runs a kernel, and writes the record to a file if the run was complete and had no problems.
func (r *run) run(p *programs, quick bool) {
	r.missing = p.missing
	err := errors.Join(p.err, os.RemoveAll(r.file()))
	if err == nil {
		err = must.Try(func() { r.boot(p) })
	}
	if err == nil && r.missing == nil && len(r.problems) == 0 && !quick {
		err = writeJSON(r.file(), r.record)
	}
	if err != nil {
		r.failed(err)
	}
}

// failed adds a problem, unless something is missing.
func (r *run) failed(err error) {
	if errors.Is(err, target.ErrMissing) {
		r.missing = err
	} else {
		r.problems = append(r.problems, err.Error())
	}
}

// boot runs the commands in the machine, and judges their reports.
func (r *run) boot(p *programs) {
	dir := filepath.Join(out, r.Name)
	must.OK(os.RemoveAll(dir))
	must.OK(os.MkdirAll(dir, 0o777))
	log := must.Get(os.Create(filepath.Join(dir, "console")))
	defer log.Close()
	m := machine.Machine{Kernel: r.kernel, Tree: machine.Tree{}, Log: log}
	for _, c := range p.commands {
		m.Commands = append(m.Commands, c.words)
		name := filepath.Base(c.words[0])
		m.Tree.Copy("bin/"+name, filepath.Join(p.dir, name))
	}
	if p.archive != "" {
		m.Tree.UnpackArchive(p.archive)
	}
	results, err := m.Run()
	r.cpu = m.CPU
	for i, result := range results {
		name := p.commands[i].name
		file := filepath.Join(dir, name+".json")
		before := len(r.problems)
		wrong := must.Try(func() {
			must.OK(os.WriteFile(file, result.Files[name+".json"], 0o666))
			r.judge(name, file)
		})
		if result.Error != "" && (wrong != nil || len(r.problems) == before) {
			wrong = errors.Join(wrong, errors.New(result.Error))
		}
		if wrong != nil {
			r.problems = append(r.problems, fmt.Sprintf("%s: %v; see %s", name, wrong, log.Name()))
		}
	}
	if err != nil {
		must.Failf("%w; see %s", err, log.Name())
	}
}
