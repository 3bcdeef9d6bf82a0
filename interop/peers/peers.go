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
}

// Names returns the names of all peers, in the order of registry.json.
func Names() []string {
	var names []string
	for _, s := range embedded().Peers {
		names = append(names, s.Name)
	}
	return names
}

// Build builds the named peers, or all if none is named, from the repository at root into the folder outDir.
// It returns one Built a peer, in the order of registry.json. What the build tools say goes to log when they fail.
//
// What is up to date is not built again: that is left to make, cargo and go.
func Build(ctx context.Context, root, outDir string, names []string, log io.Writer) []Built {
	return build(ctx, embedded(), root, outDir, names, log)
}

func build(ctx context.Context, r registry, root, outDir string, names []string, log io.Writer) []Built {
	picked, unknown := r.pick(names)
	outcomes := make(map[string]outcome)
	if err := prepare(&root, &outDir); err != nil {
		for _, b := range r.Builds {
			outcomes[b.Name] = outcome{why: err.Error(), broken: true}
		}
	} else {
		unlock, err := lock(filepath.Join(outDir, ".lock"))
		if err != nil {
			fmt.Fprintf(log, "peers: no lock: %v\n", err)
		}
		outcomes = r.runAll(ctx, picked, root, outDir, log)
		unlock()
	}

	var list []Built
	for _, s := range picked {
		b := Built{Name: s.Name, Lang: r.recipe(s.Build).Lang}
		o := outcomes[s.Build]
		b.Why, b.Broken = o.why, o.broken
		if o.why == "" {
			b.Command = o.places.expand(s.Command)
			if _, err := exec.LookPath(b.Command[0]); err != nil {
				b.Command, b.Why, b.Broken = nil, "the build made no such program: "+err.Error(), true
			}
		}
		list = append(list, b)
	}
	for _, name := range unknown {
		list = append(list, Built{Name: name, Why: "there is no such peer; there are: " + strings.Join(Names(), " "), Broken: true})
	}
	return list
}

// prepare makes both paths absolute, since commands run elsewhere, and the folder.
func prepare(root, outDir *string) (err error) {
	if *root, err = filepath.Abs(*root); err != nil {
		return err
	}
	if *outDir, err = filepath.Abs(*outDir); err != nil {
		return err
	}
	return os.MkdirAll(*outDir, 0o777)
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
	var langs []string
	byLang := make(map[string][]recipe)
	for _, b := range r.Builds {
		for _, s := range picked {
			if s.Build == b.Name {
				if byLang[b.Lang] == nil {
					langs = append(langs, b.Lang)
				}
				byLang[b.Lang] = append(byLang[b.Lang], b)
				break
			}
		}
	}

	outcomes := make(map[string]outcome)
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, lang := range langs {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, b := range byLang[lang] {
				start := time.Now()
				o, output := b.run(ctx, root, outDir)
				mu.Lock()
				outcomes[b.Name] = o
				if o.why == "" {
					fmt.Fprintf(log, "peers: %s: built in %.1f s\n", b.Name, time.Since(start).Seconds())
				} else {
					fmt.Fprintf(log, "%speers: %s: not built: %s\n", output, b.Name, o.why)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return outcomes
}

func (b recipe) run(ctx context.Context, root, outDir string) (o outcome, output []byte) {
	o.places = places{"root": root, "out": outDir}
	for _, need := range b.Needs {
		tool, command, why := find(ctx, need)
		if why != "" {
			o.why = why
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
	cmd.Env = append(environ(), b.Env...)
	cmd.WaitDelay = 10 * time.Second // a grandchild may hold the output open
	output, err := cmd.CombinedOutput()
	if err != nil {
		o.why, o.broken = fmt.Sprintf("%s: %v: %s", args[0], err, lastLine(output)), true
	}
	return o, output
}

// environ is the environment without the job server of a make that may have started us.
func environ() []string {
	var env []string
	for _, v := range os.Environ() {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES":
		default:
			env = append(env, v)
		}
	}
	return env
}

func lastLine(text []byte) string {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(lines[len(lines)-1])
}
