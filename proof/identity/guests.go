//go:build linux

package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"github.com/scm-rights/scm/proof/machine"
	"github.com/scm-rights/scm/proof/must"
	machines "github.com/scm-rights/scm/proof/target"
)

// A guest is an architecture whose programs the host cannot run natively. The backends are recorded and compared on a
// kernel of that architecture, in an emulated machine.
type guest struct {
	kernel      machines.Kernel
	purego, cgo target
}

// guests returns the architectures that have a kernel and a C compiler.
func guests() (list []guest) {
	for _, t := range machines.OnePerArch() {
		kernel := slices.IndexFunc(machines.Kernels(), func(k machines.Kernel) bool { return k.Arch == t.Arch })
		if t.Native() || kernel < 0 {
			continue
		}
		purego, cgo := backendsOf(t)
		list = append(list, guest{machines.Kernels()[kernel], purego, cgo})
	}
	return list
}

// inGuests adds the rows of the guests. It boots as many machines at once as the host has processors.
func (p *proof) inGuests(t *table, w workload) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for _, g := range guests() {
		row := t.row(g.cgo.arch, g.cgo.libc)
		wait.Add(1)
		go func() {
			defer wait.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			var result Result
			err := must.Try(func() { g.compare(p, p.dir, "", w, &result) })
			row.recorded, row.differential, row.differ = result.Recorded, result.Differential, result.Differ
			if result.First != "" {
				err = errors.New(result.First)
			}
			if err != nil {
				row.failed(err)
			}
		}()
	}
	wait.Wait()
}

// compare builds the program in the folder walk with each backend into a folder, and compares the builds inside an
// emulated machine, in detail and with `scm diff`. overlay is the file for go build -overlay of the cgo build, or "".
func (g *guest) compare(p *proof, dir, overlay string, w workload, result *Result) {
	must.Get(machines.MachineFor(g.kernel.Arch))
	tree := machine.Tree{}
	command := []string{"/bin/prove", "inside", "-o", "/out/result.json", "-calls", strconv.Itoa(w.guest)}
	for _, b := range []struct {
		target             target
		pkg, name, overlay string
	}{
		{g.purego, "./proof", "prove", ""}, {g.purego, "./cmd/scm", "scm", ""},
		{g.purego, walkPackage, "purego", ""}, {g.cgo, walkPackage, "cgo", overlay},
	} {
		tree.Copy("bin/"+b.name, must.Get(b.target.build(p.root, dir, b.pkg, b.overlay)))
	}
	if w.guestDifferential > 0 {
		command = append(command, "-difftest", "/bin/difftest", "-differential", strconv.Itoa(w.guestDifferential))
		tree.Copy("bin/difftest", p.buildDifftest(g.cgo))
	}
	logs := filepath.Join(p.root, "build/identity", g.kernel.Arch)
	if overlay != "" {
		logs = dir // mutants run at the same time
	}
	must.OK(os.MkdirAll(logs, 0o777))
	log := must.Get(os.Create(filepath.Join(logs, "console")))
	defer log.Close()
	var console bytes.Buffer
	m := machine.Machine{Kernel: g.kernel, Tree: tree, Log: io.MultiWriter(log, &console), Commands: [][]string{
		append(command, "/bin/purego", "/bin/cgo"),
		{"/bin/scm", "diff", "--padding", "--", "/bin/purego", "1", "64", "---", "/bin/cgo", "1", "64"},
	}}
	results, err := m.Run()
	if err != nil {
		must.Failf("%w\n%s", err, &console)
	}
	text := results[0].Files["result.json"]
	if err := json.Unmarshal(text, result); err != nil {
		must.Failf("%s: %w\n%s", results[0].Error, err, &console)
	}
	if diff := results[1].Error; diff != "" && result.First == "" {
		must.Failf("scm diff: %s\n%s", diff, &console)
	}
}
