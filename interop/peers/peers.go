// Package peers builds the peers in this directory, and writes and reads lists of the results.
//
// The file language.json in the folder of each language lists its peers and describes how to build each of them. If a
// peer cannot be built, the list of results contains the reason. If the peer were left out of the list, a run without
// it could be mistaken for a success.
package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Built is the result of building a peer. If the peer can run, Command is set. Otherwise, Why is the reason.
type Built struct {
	Name    string   `json:"name"`
	Lang    string   `json:"lang"`
	Command []string `json:"command,omitempty"`
	Why     string   `json:"why,omitempty"`
	// FewPairs reports whether a run with few pairs includes the peer only with scm, the runner and itself.
	FewPairs bool `json:"few_pairs,omitempty"`
	// Broken reports whether the build failed even though all tools are installed.
	Broken bool `json:"broken,omitempty"`
	// Lacks is the missing tool that the build needs.
	Lacks string `json:"lacks,omitempty"`
	// Setup is the name of the group in tools/setup that installs the missing tools.
	Setup string `json:"setup,omitempty"`
}

// Obstacle returns why the peer cannot run, with the command that installs the missing tools, or "".
func (b Built) Obstacle() string {
	if b.Setup == "" {
		return b.Why
	}
	return fmt.Sprintf("%s; to install it: make setup-%s", b.Why, b.Setup)
}

// Names returns the names of all peers, in their order.
func Names() []string {
	var names []string
	for _, s := range embedded().Peers {
		names = append(names, s.Name)
	}
	return names
}

// Build builds peers from the repository at root into the directory outDir. Each name is the name of a peer, or the
// name of a language to select all peers in that language. Without names, Build builds every peer. It returns one
// Built per peer, in the order of the names. It writes the output of failed builds to log.
//
// Build always runs the build tools. These tools (make, cargo and go) do not rebuild files
// that are up to date.
func Build(ctx context.Context, root, outDir string, names []string, log io.Writer) []Built {
	return build(ctx, embedded(), root, outDir, names, log)
}

func build(ctx context.Context, r registry, root, outDir string, names []string, log io.Writer) []Built {
	picked := r.Peers
	if len(names) > 0 {
		picked = nil
		for _, name := range names {
			for _, s := range r.sources(name) {
				// A peer may also be selected by its language.
				if !slices.ContainsFunc(picked, func(p source) bool { return p.Name == s.Name }) {
					picked = append(picked, s)
				}
			}
		}
	}
	// Use absolute paths, because peers run in other working directories.
	root, err := filepath.Abs(root)
	if err == nil {
		outDir, err = filepath.Abs(outDir)
	}
	if err == nil {
		err = os.MkdirAll(outDir, 0o777)
	}
	var outcomes map[string]recipeOutcome
	if err == nil {
		unlock, err := lock(ctx, filepath.Join(outDir, ".lock"))
		if err != nil {
			fmt.Fprintf(log, "peers: cannot lock %s: %v\n", outDir, err)
		}
		outcomes = r.runAll(ctx, picked, root, outDir, log)
		unlock()
	}
	var list []Built
	for _, s := range picked {
		o := outcomes[s.Build]
		b := Built{Name: s.Name, Lang: r.recipe(s.Build).Lang, FewPairs: s.FewPairs, Why: o.why, Lacks: o.lacks, Broken: o.broken}
		switch {
		case err != nil:
			b.Why, b.Broken = err.Error(), true
		case s.Build == "":
			b.Why, b.Broken = "no such peer; the peers are: "+strings.Join(Names(), " "), true
		case b.Why != "" && !b.Broken:
			b.Setup = r.recipe(s.Build).Setup
		case b.Why == "":
			b.Command = o.words.expand(s.Command)
			if _, err := exec.LookPath(b.Command[0]); err != nil {
				b.Command, b.Why, b.Broken = nil, "the build did not create the program: "+err.Error(), true
			}
		}
		list = append(list, b)
	}
	return list
}

// A recipeOutcome is the result of running a recipe. It contains the values to substitute for words in braces in
// the commands of the recipe's peers. If the recipe failed, it also contains the reason, and the tool that is missing.
type recipeOutcome struct {
	why, lacks string
	broken     bool
	words      replacements
}

// runAll runs each recipe that the picked peers need, once. Recipes for the same language run one after
// another, because they share a build cache. Recipes for two different languages can run in parallel.
func (r registry) runAll(ctx context.Context, picked []source, root, outDir string, log io.Writer) map[string]recipeOutcome {
	byLang := map[string][]recipe{}
	for _, b := range r.Builds {
		if slices.ContainsFunc(picked, func(s source) bool { return s.Build == b.Name }) {
			byLang[b.Lang] = append(byLang[b.Lang], b)
		}
	}
	outcomes := map[string]recipeOutcome{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	running := map[string]time.Time{} // the recipes that are running, and when they started
	defer Every(firstProgress, progressInterval, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(running)) {
			fmt.Fprintf(log, "peers: %s: building for %.0f s\n", name, time.Since(running[name]).Seconds())
		}
	})()
	for _, recipes := range byLang {
		wg.Add(1)
		go func() {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, b := range recipes {
				start := time.Now()
				mu.Lock()
				running[b.Name] = start
				mu.Unlock()
				o, output := b.run(ctx, root, outDir)
				mu.Lock()
				delete(running, b.Name)
				outcomes[b.Name] = o
				if o.why == "" {
					fmt.Fprintf(log, "peers: %s: built in %.1f s\n", b.Name, time.Since(start).Seconds())
				} else if o.broken { // if a tool is missing, nothing was run and there is no output
					fmt.Fprintf(log, "%speers: %s: the build failed\n", output, b.Name)
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	return outcomes
}

// When Build prints what it is building.
const (
	firstProgress    = 5 * time.Second
	progressInterval = 15 * time.Second
)

// Every calls f after first, and then at each interval, until stop is called.
func Every(first, interval time.Duration, f func()) (stop func()) {
	ended, returned := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(returned)
		for wait := first; ; wait = interval {
			select {
			case <-ended:
				return
			case <-time.After(wait):
				f()
			}
		}
	}()
	return func() {
		close(ended)
		<-returned
	}
}

// run runs the recipe, if all its tools are installed. It also returns what the build printed.
func (b recipe) run(ctx context.Context, root, outDir string) (o recipeOutcome, output []byte) {
	o.words = replacements{"root": root, "out": outDir}
	if rel, err := filepath.Rel(filepath.Join(root, "interop", "peers", b.Lang), outDir); err == nil {
		o.words["relative-out"] = rel
	}
	for _, need := range b.Needs {
		tool, command, err := findTool(ctx, need)
		if err != nil {
			o.why, o.lacks = err.Error(), toolName(need)
			return o, nil
		}
		o.words[tool] = command
	}
	if len(b.Run) == 0 {
		return o, nil
	}
	args := o.words.expand(b.Run)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = root
	// If make started this program, these variables refer to its job server, which the build
	// must not use.
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=", "MAKELEVEL=", "MAKEOVERRIDES=")
	cmd.Env = append(cmd.Env, b.Env...)
	cmd.WaitDelay = 10 * time.Second // a grandchild may keep the output open
	output, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // exit status 0, and sccache or the like runs on
		o.why, o.broken = fmt.Sprintf("%s: %v: %s", args[0], err, lastLine(output)), true
	}
	return o, output
}

// lastLine returns the last line of the output of a tool, which is usually the error. It ignores the line that make -C
// prints at its end.
func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := len(lines) - 1; last > 0 && strings.Contains(lines[last], ": Leaving directory ") {
		lines = lines[:last]
	}
	return lines[len(lines)-1]
}
