//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/testrecord"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// A run runs the parts of a plan.
type run struct {
	plan      string
	results   string // RESULTS
	temporary string
	screen    *screen
	began     time.Time
	noC       string          // why C cannot be compiled, or ""
	ctx       context.Context // until an interrupt
	cancel    context.CancelFunc

	sync.Mutex  // for the fields below, and those of the parts
	parts       []*running
	changed     *sync.Cond
	interrupted os.Signal
	errors      []string // of runtests itself
	shown       *report.Failures
	tabled      bool // the table of partners was printed
}

// A running is a part of the plan and its state. It may not have begun.
type running struct {
	part
	begun, ended, cut bool
	skipped           string // why it did not run
	packages          map[string]*goPackage
	names             []string // of the packages, sorted
	tap               tapReader
	output            tail   // outside of packages
	failure           string // how the command failed
	group             int    // of its processes
	outputs           []io.Closer
	records, log      string // a folder, a file
	read              map[string]int64
	tests             []test
	seen              map[string]bool // the failed tests that show has printed or left out
	start             time.Time
	seconds           float64
}

func newRun(plan string, names []string, from []part) *run {
	r := &run{plan: plan, results: os.Getenv("RESULTS"), shown: report.NewFailures(mostShown), screen: newScreen(os.Stdout)}
	if r.results == "" {
		r.results = "build/test"
	}
	r.changed = sync.NewCond(r)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for _, name := range names {
		i := slices.IndexFunc(from, func(p part) bool { return p.Name == name })
		r.parts = append(r.parts, &running{part: from[i], packages: map[string]*goPackage{}, read: map[string]int64{}, seen: map[string]bool{}})
	}
	return r
}

// schedule runs the parts in order, up to atOnce at a time, and returns when all have ended.
func (r *run) schedule() {
	r.Lock()
	defer r.Unlock()
	for {
		active, alone, left := 0, false, false
		for _, p := range r.parts {
			if p.begun && !p.ended {
				active, alone = active+1, alone || p.Alone
			}
			left = left || !p.ended
		}
		if !left || active == 0 && r.interrupted != nil {
			return
		}
		if p := r.next(); p != nil && active < atOnce && !alone && (active == 0 || !p.Alone) && r.interrupted == nil {
			p.begun, p.start = true, time.Now()
			go r.runPart(p)
			continue
		}
		r.changed.Wait()
	}
}

// next returns the first part that can begin.
func (r *run) next() *running {
	for _, p := range r.parts {
		if p.begun {
			continue
		}
		waits := slices.ContainsFunc(r.parts, func(o *running) bool { return !o.ended && slices.Contains(p.After, o.Name) })
		if !waits {
			return p
		}
	}
	return nil
}

// skips returns why a part cannot run here.
func (r *run) skips(p *running) string {
	if p.NeedsC && r.noC != "" {
		return r.noC
	}
	if p.Dir == "" {
		return ""
	}
	// go list fails if the go command is too old for this module, and cannot download a newer one.
	out, err := exec.CommandContext(r.ctx, goCommand, "-C", p.Dir, "list", "-m").CombinedOutput()
	if err != nil && r.ctx.Err() == nil && version.Compare("go"+goOf(p.Dir), goEnv("GOVERSION")) > 0 {
		return strings.TrimSpace(string(out))
	}
	return ""
}

var goLine = regexp.MustCompile(`(?m)^go (\S+)`)

// goOf returns the version of Go that a module needs.
func goOf(dir string) string {
	text, _ := os.ReadFile(filepath.Join(dir, "go.mod"))
	if m := goLine.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// asUser returns the command that runs the part as another user, or "".
func (p *running) asUser() string {
	if !p.AsUser {
		return ""
	}
	return os.Getenv("AS_USER")
}

// runPart runs a part.
func (r *run) runPart(p *running) {
	why := r.skips(p)
	if p.Installs && os.Getenv("SETUP") == "0" {
		why = "SETUP=0"
	}
	var err error
	if why == "" {
		err = r.execute(p)
	}
	if p.Installs && err == nil {
		err = r.findCompiler() // it may have been installed
	}
	r.Lock()
	defer r.Unlock()
	p.seconds, p.skipped = time.Since(p.start).Seconds(), why
	if err != nil {
		p.failure = err.Error()
	}
	r.readPart(p)
	p.cut = r.interrupted != nil
	r.finish(p)
	p.ended = true
	r.changed.Broadcast()
}

// execute runs the command of a part.
func (r *run) execute(p *running) error {
	// The names are short, because the path of a socket below TMPDIR is limited to 107 bytes.
	number := strconv.Itoa(slices.Index(r.parts, p))
	tmp, records := filepath.Join(r.temporary, number), filepath.Join(r.temporary, number+"r")
	for _, folder := range []string{tmp, records} {
		if err := errors.Join(os.Mkdir(folder, 0o777), os.Chmod(folder, 0o777|os.ModeSticky)); err != nil {
			return err
		}
	}
	command, packages, err := r.commandOf(p)
	if err != nil {
		return err
	}
	r.Lock()
	for _, q := range packages {
		p.packages[q.name] = q
		p.names = append(p.names, q.name)
	}
	r.Unlock()
	if user := p.asUser(); user != "" {
		command = append([]string{user}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = r.environment(p, tmp, records)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	log, err := newLog(filepath.Join(r.results, p.Name+".log"))
	if err != nil {
		return ofResults(err)
	}
	r.Lock()
	p.log, p.records = log.name, records
	r.Unlock()
	defer func() {
		r.Lock()
		defer r.Unlock()
		r.note(ofResults(log.close()))
	}()
	log.Write([]byte(strings.Join(command, " ") + "\n"))
	return r.start(p, cmd, tmp, log)
}

// environment returns the environment of the command of a part.
func (r *run) environment(p *running, tmp, records string) []string {
	env := slices.DeleteFunc(r.environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=") })
	env = append(env, "TMPDIR="+tmp)
	if len(p.Packages) > 0 {
		// Less garbage collection makes the compiler faster. For the tests, -exec unsets GOGC. Leaving out debugging
		// information makes the linker faster, also for the programs that tests build.
		env = append(env, testrecord.Variable+"="+records, "GOGC=400", "GOFLAGS=-ldflags=-w "+goEnv("GOFLAGS"))
		// The part partners, which has built them, has added the user's own.
		if r.noC == "" && slices.ContainsFunc(r.parts, func(o *running) bool { return o.Name == "partners" }) {
			root, _ := os.Getwd()
			env = append(env, "SCM_PARTNERS="+filepath.Join(root, "build/peers/partners.json"))
		}
	}
	return append(env, p.Env...)
}

// timeLimit is the time limit for the tests of a package. If they take longer, go test prints the stacks.
var timeLimit = 20 * time.Minute

// commandOf returns the command of a part, and the packages that it tests.
func (r *run) commandOf(p *running) (command []string, packages []*goPackage, err error) {
	if len(p.Packages) == 0 {
		return p.Command, nil, nil
	}
	packages, err = r.packagesOf(p)
	if err == nil && len(packages) == 0 {
		err = fmt.Errorf("no package matches %s", strings.Join(p.Packages, " "))
	}
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for _, q := range packages {
		names = append(names, q.name)
	}
	return r.goTest(p, names), packages, nil
}

// goTest returns the command that tests packages. It turns vet off, because make lint runs it.
func (r *run) goTest(p *running, packages []string) []string {
	command := []string{goCommand, "test"}
	if p.Dir != "" {
		command = append(command, "-C", p.Dir)
	}
	command = append(command, "-json", "-count=1", fmt.Sprint("-timeout=", fdtest.Limit(timeLimit)), "-vet=off", "-p="+strconv.Itoa(2*runtime.NumCPU()))
	run := os.Expand(p.Exec, func(name string) string {
		path, _ := filepath.Abs(map[string]string{"ROOT": ".", "KERNEL": os.Getenv("KERNEL")}[name])
		return path
	})
	command = append(command, "-exec="+strings.TrimSpace("env -u GOGC "+run))
	if p.Tags != "" {
		command = append(command, "-tags="+p.Tags)
	}
	if p.asUser() != "" && r.noC == "" {
		command = append(command, "-short") // skips long tests whose result does not depend on the user
	}
	return slices.Concat(command, packages, p.Flags)
}

// start starts the command of a part, whose TMPDIR is tmp, and reads what it prints until it ends.
func (r *run) start(p *running, cmd *exec.Cmd, tmp string, log *logFile) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	r.Lock()
	if r.interrupted != nil {
		r.Unlock()
		return nil
	}
	if err := cmd.Start(); err != nil {
		r.Unlock()
		return err
	}
	p.group, p.outputs = cmd.Process.Pid, []io.Closer{out, errs}
	r.Unlock()
	var readers sync.WaitGroup
	readers.Add(2)
	go func() { defer readers.Done(); r.readOutput(p, out, log, len(p.Packages) > 0) }()
	go func() { defer readers.Done(); r.readOutput(p, errs, log, false) }()
	// A process that the command left running can keep its output open.
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	kill := time.AfterFunc(time.Second, func() { r.killLeft(tmp) })
	readers.Wait()
	kill.Stop()
	err = cmd.Wait()
	r.Lock()
	defer r.Unlock()
	p.group, p.outputs = 0, nil
	p.tap.end()
	for _, name := range p.names {
		log.Write(p.packages[name].log.Bytes())
	}
	return err
}

// readOutput reads the standard output or standard error of a part.
func (r *run) readOutput(p *running, in io.Reader, log *logFile, isJSON bool) {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.takeLine(p, line, log, isJSON)
		}
		if err != nil {
			return
		}
	}
}

func (r *run) takeLine(p *running, line []byte, log *logFile, isJSON bool) {
	r.Lock()
	defer r.Unlock()
	var e event
	if isJSON && json.Unmarshal(line, &e) == nil {
		r.takeEvent(p, e, log)
		return
	}
	text := plain(string(line))
	log.Write([]byte(text))
	if p.Show {
		r.screen.print(string(line))
	}
	switch {
	case p.TAP:
		p.tap.take(strings.TrimSuffix(text, "\n"))
	default:
		p.output.add(strings.TrimSuffix(text, "\n") + "\n")
	}
}

// takeEvent processes an event from go test. If a package cannot be built, its build events have the import path of
// what was being built, and no Package.
func (r *run) takeEvent(p *running, e event, log *logFile) {
	e.Output = plain(e.Output)
	if e.Package == "" {
		if e.Output != "" {
			log.Write([]byte(e.Output))
			p.output.add(e.Output)
		}
		return
	}
	q := p.packages[e.Package]
	if q == nil {
		q = newPackage(e.Package)
		p.packages[e.Package] = q
		p.names = append(p.names, e.Package)
	}
	if e.Output != "" {
		if len(p.packages) == 1 {
			log.Write([]byte(e.Output))
		} else {
			q.log.WriteString(e.Output)
		}
	}
	if r.interrupted != nil {
		return
	}
	q.take(e)
	if e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
		log.Write(q.log.Bytes())
		q.log.Reset()
		if e.FailedBuild != "" {
			q.at("").output = p.output
		}
		r.readPart(p)
		for _, t := range p.results(q) {
			r.show(p, t)
		}
	}
}

// results returns the results of a package. If it printed nothing, the go command says why it failed.
func (p *running) results(q *goPackage) []test {
	all := q.results(fdtest.Limit(timeLimit), p.cut)
	for i, t := range all {
		if t.State == failed && strings.HasSuffix(t.Why, "\n") {
			all[i].Why += p.output.String()
		}
	}
	return all
}

func newPackage(name string) *goPackage { return &goPackage{name: name, tests: map[string]*goTest{}} }

// readRecords reads the records that the suites of running parts have written since the last call, and shows failures.
func (r *run) readRecords() {
	r.Lock()
	defer r.Unlock()
	for _, p := range r.parts {
		if p.begun && !p.ended {
			r.readPart(p)
		}
	}
}

func (r *run) readPart(p *running) {
	if p.records == "" || r.interrupted != nil {
		return
	}
	files, _ := filepath.Glob(filepath.Join(p.records, "*.json"))
	for _, file := range files {
		text, err := readFrom(file, p.read[file])
		r.note(err)
		text = text[:bytes.LastIndexByte(text, '\n')+1] // leave an incomplete line for the next call
		p.read[file] += int64(len(text))
		records, err := testrecord.Read(bytes.NewReader(text))
		r.note(err)
		for _, record := range records {
			if q := p.packages[record.Package]; q != nil {
				q.records = append(q.records, record)
				if record.Kind == testrecord.Spec || record.Kind == testrecord.Node {
					t := specResult(record)
					t.Package = q.name
					r.show(p, t)
				}
			}
		}
	}
}

func readFrom(file string, offset int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, offset, 1<<40))
}

// note records an error of runtests itself.
func (r *run) note(err error) {
	if err != nil && !slices.Contains(r.errors, err.Error()) {
		r.errors = append(r.errors, err.Error())
	}
}

// finish collects the results of a part that has ended, and prints the counts.
func (r *run) finish(p *running) {
	switch {
	case p.skipped == "SETUP=0":
		p.skipped = ""
		return
	case p.skipped != "":
		t := test{Name: p.Name, State: skipped, Why: p.skipped}
		if p.NeedsC && r.noC != "" && r.noC != noCgo {
			t.Missing = "C compiler"
		}
		p.tests = []test{t}
		if inCI {
			p.tests = append(p.tests, test{Name: p.Name, State: failed, Why: "skipped, which is a failure if CI=true"})
		}
		return
	}
	for _, name := range p.names {
		p.tests = append(p.tests, p.results(p.packages[name])...)
	}
	for _, t := range p.tap.tests {
		if t.State != failed || !p.cut {
			p.tests = append(p.tests, t)
		}
	}
	if p.failure == "" && p.TAP && len(p.tests) == 0 {
		p.failure = "it ran no test"
	}
	if p.failure != "" && !p.cut && !slices.ContainsFunc(p.tests, isFailed) {
		why := p.failure + "\n" + p.output.String() + p.tap.noise.String()
		p.tests = append(p.tests, test{Name: p.Name, State: failed, Why: why})
	}
	for i, t := range p.tests {
		if t.State == failed {
			p.tests[i].Again = p.again(t)
			r.show(p, t)
		}
	}
	if len(p.tests) > 0 {
		r.screen.printf("%s  %s: %v (%.0f s)", r.clock(), p.Name, countOf(p.tests), p.seconds)
	}
	r.printTable(p)
}

// printTable prints the table of the partners when the last part with the catalogue has ended.
func (r *run) printTable(p *running) {
	p.ended = true
	for _, o := range r.parts {
		if strings.HasPrefix(o.Name, "catalogue-") && !o.ended || r.tabled {
			return
		}
	}
	if table, sentence := partnerTable(r.outcomes(), false); table != "" {
		r.tabled = true
		r.screen.print(table + sentence + "\n")
	}
}

// again returns the command that runs a test again.
func (p *running) again(t test) string {
	if len(p.Packages) == 0 {
		if p.TAP {
			return "make -C csrc check"
		}
		return strings.Join(p.Command, " ")
	}
	command := strings.Join(append(slices.Clone(p.Env), "go test"), " ")
	if p.Dir != "" {
		command += " -C " + p.Dir
	}
	if p.Tags != "" {
		command += " -tags " + p.Tags
	}
	if t.Package == "" { // the part failed before its packages began
		return command + " " + strings.Join(p.Packages, " ")
	}
	at := path.Join(module, p.Dir)
	if name, ok := strings.CutPrefix(t.Package, at); ok && (p.Dir == "" || name != "") {
		command += " ." + name
	} else {
		command += " " + t.Package
	}
	switch q := p.packages[t.Package]; {
	case t.Name == "" || t.Name == suiteTest:
	case q != nil && q.tests[t.Name] == nil:
		name := t.Name
		if t.result != nil {
			name = t.result.Name
		}
		command += testrecord.Focus(name)
	default:
		var levels []string
		for _, level := range strings.Split(t.Name, "/") {
			levels = append(levels, "^"+regexp.QuoteMeta(level)+"$")
		}
		command += " -v -run '" + strings.Join(levels, "/") + "'"
	}
	return command
}

// mostShown is how many failed tests of a part are shown with their output. It does not apply to cases of the
// catalogue.
const mostShown = 3

// show prints a failed test, unless it was seen before or enough others were shown.
func (r *run) show(p *running, t test) {
	key := t.Package + " " + t.Name
	if t.State != failed || p.seen[key] || r.interrupted != nil && !p.ended {
		return
	}
	p.seen[key] = true
	r.screen.print(r.shown.Text(report.Failure{Part: p.Name, Name: p.Name + ": " + t.title(), Why: t.Why, Again: p.again(t), Case: t.result}))
}

// causeTable returns a table of why cases of the catalogue failed.
func (r *run) causeTable() string {
	all, again := &report.Report{}, map[string]string{}
	for _, p := range r.parts {
		for _, t := range p.tests {
			if t.result != nil {
				all.Cases = append(all.Cases, *t.result)
				if t.State == failed {
					again[t.result.Name] = t.Again
				}
			}
		}
	}
	return all.CauseTable(func(c scenario.Result) string { return again[c.Name] })
}

// interrupt sends a signal to every part.
func (r *run) interrupt(s os.Signal) {
	r.Lock()
	defer r.Unlock()
	if r.interrupted == nil {
		r.interrupted = s
		r.cancel()
		r.screen.printf("%s  %v: ending the tests", r.clock(), s)
	}
	n, _ := s.(unix.Signal)
	if n == unix.SIGPIPE {
		n = unix.SIGTERM
	}
	for _, p := range r.parts {
		if p.group != 0 {
			_ = unix.Kill(-p.group, n)
		}
		if n == unix.SIGKILL {
			// A process that has left the group can keep them open.
			for _, output := range p.outputs {
				output.Close()
			}
		}
	}
	r.changed.Broadcast()
}

// clock returns how long the run has taken.
func (r *run) clock() string {
	s := int(time.Since(r.began).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// progress describes the progress of the running parts.
func (r *run) progress() string {
	r.Lock()
	defer r.Unlock()
	var says []string
	for _, p := range r.parts {
		if p.begun && !p.ended {
			says = append(says, p.progress())
		}
	}
	return r.clock() + "  " + strings.Join(says, "; ")
}

func (p *running) progress() string {
	tests, ended, specs, planned := len(p.tap.tests), 0, 0, 0
	for _, q := range p.packages {
		tests += q.ended()
		if t := q.tests[""]; t != nil && t.state != "start" && t.state != "" {
			ended++
		}
		for _, record := range q.records {
			if planned += record.Planned; record.Kind == testrecord.Spec {
				specs++
			}
		}
	}
	switch {
	case tests == 0 && len(p.Packages) > 0 && ended == 0:
		return p.Name + ": compiling"
	case tests == 0 && len(p.Packages) == 0:
		return p.Name + ": running"
	case len(p.Packages) == 0:
		return p.Name + ": " + display.Plural(tests, "test")
	case len(p.packages) == 1 && specs > 0:
		return fmt.Sprintf("%s: %d of %d specs", p.Name, specs, planned)
	}
	return fmt.Sprintf("%s: %s, %d of %d packages", p.Name, display.Plural(tests, "test"), ended, len(p.packages))
}
