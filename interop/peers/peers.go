// Package peers builds the peers whose source is in this folder, and keeps the list of the outcomes.
//
// Which peers there are, and how each is built, is in registry.json. A peer that could not be built is in the
// list with the reason, so that nobody takes its silence for success.
package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Built is the outcome of building a peer: a Command, or the reason Why there is none.
type Built struct {
	Name    string   `json:"name"`
	Lang    string   `json:"lang"`
	Command []string `json:"command,omitempty"`
	Why     string   `json:"why,omitempty"`
	// Broken: the tools are there, and the build failed all the same.
	Broken bool `json:"broken,omitempty"`
	// Setup is the group of tools/setup that installs the missing tools.
	Setup string `json:"setup,omitempty"`
}

// Names returns the names of all peers, in the order of registry.json.
func Names() []string {
	var names []string
	for _, s := range embedded().Peers {
		names = append(names, s.Name)
	}
	return names
}

// Build builds the named peers and those in the named languages, or all if none is named, from the repository at root into the folder outDir.
// It returns one Built per peer, in the order of the names. The output of a build that fails goes to log.
//
// What is up to date is not built again: that is left to make, cargo and go.
func Build(ctx context.Context, root, outDir string, names []string, log io.Writer) []Built {
	return build(ctx, embedded(), root, outDir, names, log)
}

func build(ctx context.Context, r registry, root, outDir string, names []string, log io.Writer) []Built {
	picked := r.Peers
	if len(names) > 0 {
		picked = nil
		for _, name := range names {
			picked = append(picked, r.sources(name)...)
		}
	}
	// Commands run elsewhere.
	root, err := filepath.Abs(root)
	if err == nil {
		outDir, err = filepath.Abs(outDir)
	}
	if err == nil {
		err = os.MkdirAll(outDir, 0o777)
	}
	var outcomes map[string]outcome
	if err == nil {
		unlock, err := lock(filepath.Join(outDir, ".lock"))
		if err != nil {
			fmt.Fprintf(log, "peers: no lock: %v\n", err)
		}
		outcomes = r.runAll(ctx, picked, root, outDir, log)
		unlock()
	}
	var list []Built
	for _, s := range picked {
		o := outcomes[s.Build]
		b := Built{Name: s.Name, Lang: r.recipe(s.Build).Lang, Why: o.why, Broken: o.broken}
		switch {
		case err != nil:
			b.Why, b.Broken = err.Error(), true
		case s.Build == "":
			b.Why, b.Broken = "there is no such peer; there are: "+strings.Join(Names(), " "), true
		case b.Why != "" && !b.Broken:
			b.Setup = r.recipe(s.Build).Setup
		case b.Why == "":
			b.Command = o.places.expand(s.Command)
			if _, err := exec.LookPath(b.Command[0]); err != nil {
				b.Command, b.Why, b.Broken = nil, "the build made no such program: "+err.Error(), true
			}
		}
		list = append(list, b)
	}
	return list
}

// An outcome is that of a recipe: why it failed, or where its things are.
type outcome struct {
	why    string
	broken bool
	places places
}

// runAll runs each recipe that a picked peer needs, once. Those of one language run one after the other,
// since they share a cache, and two languages run side by side.
func (r registry) runAll(ctx context.Context, picked []source, root, outDir string, log io.Writer) map[string]outcome {
	byLang := map[string][]recipe{}
	for _, b := range r.Builds {
		if slices.ContainsFunc(picked, func(s source) bool { return s.Build == b.Name }) {
			byLang[b.Lang] = append(byLang[b.Lang], b)
		}
	}
	outcomes := map[string]outcome{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, recipes := range byLang {
		wg.Add(1)
		go func() {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, b := range recipes {
				start := time.Now()
				o, output := b.run(ctx, root, outDir)
				mu.Lock()
				outcomes[b.Name] = o
				if o.why == "" {
					fmt.Fprintf(log, "peers: %s: built in %.1f s\n", b.Name, time.Since(start).Seconds())
				} else if o.broken { // a missing tool is in the list, and nothing was run
					fmt.Fprintf(log, "%speers: %s: the build failed\n", output, b.Name)
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	return outcomes
}

func (b recipe) run(ctx context.Context, root, outDir string) (o outcome, output []byte) {
	o.places = places{"root": root, "out": outDir}
	for _, need := range b.Needs {
		tool, command, err := find(ctx, need)
		if err != nil {
			o.why = err.Error()
			return o, nil
		}
		o.places[tool] = command
	}
	if len(b.Run) == 0 {
		return o, nil
	}
	args := o.places.expand(b.Run)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = root
	// The job server is of a make that may have started us.
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=", "MAKELEVEL=", "MAKEOVERRIDES=")
	cmd.Env = append(cmd.Env, b.Env...)
	cmd.WaitDelay = 10 * time.Second // a grandchild may hold the output open
	output, err := cmd.CombinedOutput()
	if err != nil {
		o.why, o.broken = fmt.Sprintf("%s: %v: %s", args[0], err, lastLine(output)), true
	}
	return o, output
}

func lastLine(text []byte) string {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(lines[len(lines)-1])
}
