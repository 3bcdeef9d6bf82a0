//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/report"
)

// A column is a question that scenarios decide, played with the runner opposite. This
// list and the rows are where it is written which; README.md and docs/comparison.md
// are generated.
type column struct {
	name      string
	asks      string // what docs/comparison.md says of it
	role      scenario.Role
	scenarios []string // patterns
	except    []string // patterns of those that are another column's
	otherwise []string // patterns, for a peer that plays none of the scenarios
	checks    []scenario.Check
	yes       string // nothing was found
	none      string // the peer plays none of them
}

var columns = []column{
	{
		name: "descriptors", asks: "It sends and receives a message with 253 descriptors, the most that Linux takes.",
		scenarios: []string{"limits/limit-253-ok"},
		checks:    []scenario.Check{scenario.CheckAnswer, scenario.CheckFile, scenario.CheckCrash},
		yes:       "253", none: "1",
	},
	{
		name: "sent", asks: "What it sends is the open file that the caller named.", role: scenario.RoleA,
		scenarios: []string{"**"},
		checks:    []scenario.Check{scenario.CheckFile},
		yes:       "yes",
	},
	{
		name: "told", asks: "It reports, by a flag or an error, that a message was truncated, or nothing of the message is lost.", role: scenario.RoleB,
		scenarios: []string{"truncation", "resources/recv-emfile-*", "names/name-extra-fds-closed", "hostile/receiver-wrong-count",
			"limits/{max-fds-and-creds-together,peer-limit-7-odd}", "credentials/ctrunc-creds-eat-the-room", "ordering/stream-{coalesced-read-drops-both,partial-read-loses-fd}"},
		except:    []string{"*/*-empty-packet*"},
		otherwise: []string{"truncation/ctrunc-empty-packet-of-two"},
		checks:    []scenario.Check{scenario.CheckAnswer, scenario.CheckCrash},
		yes:       "yes", none: "–",
	},
	{
		name: "closed", asks: "No received descriptor is open that was not reported to the caller.", role: scenario.RoleB,
		scenarios: []string{"**"},
		except:    []string{"credentials/scm-pidfd-*"},
		checks:    []scenario.Check{scenario.CheckLeak, scenario.CheckCrash},
		yes:       "yes", none: "–",
	},
	{
		name: "pidfd", asks: "A pidfd that the kernel adds where the receiver has set SO_PASSPIDFD is not left open.", role: scenario.RoleB,
		scenarios: []string{"credentials/scm-pidfd-*"},
		checks:    []scenario.Check{scenario.CheckLeak, scenario.CheckAnswer, scenario.CheckCrash},
		yes:       "yes", none: "–",
	},
	{
		name: "cloexec", asks: "Received descriptors are close-on-exec.", role: scenario.RoleB,
		scenarios: []string{"**"},
		checks:    []scenario.Check{scenario.CheckCloexec},
		yes:       "yes", none: "–",
	},
	{
		name: "empty packet sent", asks: "A datagram or packet without bytes is sent as it is, with its descriptor.", role: scenario.RoleA,
		scenarios: []string{"payload/dgram-zero-byte-fd-delivered"},
		checks:    []scenario.Check{scenario.CheckAnswer, scenario.CheckFile, scenario.CheckCrash, scenario.CheckHang},
		yes:       "yes", none: "cannot be sent",
	},
	{
		name: "received", asks: "A datagram or packet without bytes is received, with its descriptor.", role: scenario.RoleB,
		scenarios: []string{"payload/dgram-zero-byte-fd-delivered"},
		checks:    []scenario.Check{scenario.CheckLeak, scenario.CheckAnswer, scenario.CheckFile, scenario.CheckCrash, scenario.CheckHang},
		yes:       "yes", none: "–",
	},
}

// words are what a cell says where a check failed; the first of them counts.
var words = []struct {
	check scenario.Check
	text  string
}{
	{scenario.CheckLeak, "no"}, {scenario.CheckAnswer, "no"}, {scenario.CheckFile, "no"}, {scenario.CheckCloexec, "no"},
	{scenario.CheckCrash, "it crashes"}, {scenario.CheckHang, "it hangs"},
}

// A row is an interface, and the peers that are it: all of them have to do what a cell
// says. Where its words say more than a verdict, they stand for that verdict of that
// column, and for no other.
type row struct {
	name  string
	peers []string
	words map[string]string // of a column and what its cell says
}

const (
	callersFlag    = "by the caller's flag"
	callersControl = "left to the caller"
)

// byFlag is a library whose caller gives MSG_CMSG_CLOEXEC, as the peers do.
var byFlag = map[string]string{"cloexec: yes": callersFlag}

// control is a library that hands its caller the control messages as they are.
func control(more map[string]string) map[string]string {
	all := map[string]string{"pidfd: no": callersControl}
	maps.Copy(all, more)
	return all
}

var added = map[string]string{"empty packet sent: no": "a byte is added"}

var rows = []row{
	{name: "scm (`Send`, `Recv`; `scm_rights_send`, `scm_rights_recv`)", peers: []string{"csrc", "scm-cgo", "scm-purego"}},
	{name: "scm (`WriteFD`, `ReadFD`; `write_fd`, `read_fd`)", peers: []string{"csrc-pair", "scm-pair-cgo", "scm-pair-purego"}},
	{name: "scm/fdchannel", peers: []string{"scm-fdchannel-cgo", "scm-fdchannel-purego"}},
	{name: "the book (UNP §15.7)", peers: []string{"book"}, words: map[string]string{"received: no": "its descriptor leaks"}},
	{name: "the question and answer", peers: []string{"qa"}},
	{name: "Go `net` with x/sys", peers: []string{"net"}, words: control(map[string]string{"empty packet sent: no": "a byte is added", "received: no": "as EOF"})},
	{name: "x/sys alone", peers: []string{"xsys"}, words: control(map[string]string{"empty packet sent: no": "a byte is added", "cloexec: yes": callersFlag})},
	{name: "runc SendFile, RecvFile", peers: []string{"runc"}, words: added},
	{name: "gVisor fdchannel", peers: []string{"fdchannel"}},
	{name: "ChromiumOS ScmSocket", peers: []string{"scmsocket"}},
	{name: "Rust nix", peers: []string{"nix"}, words: byFlag},
	{name: "Rust rustix", peers: []string{"rustix"}, words: byFlag},
	{name: "Rust sendfd", peers: []string{"sendfd"}},
	{name: "Python send_fds, recv_fds", peers: []string{"python"}},
	{name: "Java jnr-posix", peers: []string{"jnr-posix"}, words: control(nil)},
	{name: "Ruby sendmsg, recvmsg", peers: []string{"ruby-sendmsg"}, words: control(nil)},
	{name: "Ruby send_io, recv_io", peers: []string{"ruby-send-io"}},
	{name: "Perl Socket::MsgHdr", peers: []string{"perl-msghdr"}, words: control(nil)},
	{name: "Perl IO::FDPass", peers: []string{"perl-fdpass"}},
	{name: "PHP socket_sendmsg, socket_recvmsg", peers: []string{"php"}, words: map[string]string{"sent: no": "a `Socket` as descriptor 0"}},
}

// rowless are peers that are no library of their own, and why.
var rowless = map[string]string{
	"libc":              "the crate has the system calls; what is made of them is the caller's",
	scenario.RunnerName: "it is what the others are held against",
	scenario.KernelName: "it is what the runner is held against",
}

// A cell is what the scenarios of a column decided of a row.
type cell struct {
	text     string
	findings []string // CHECK of SCENARIO, sorted
	played   []string // scenarios that had a verdict, sorted
}

// A comparison is the table, from the verdicts of a run.
type comparison struct {
	versions []string // by row
	cells    [][]cell // by row and column
}

// compare makes the table of a report.
func compare(r *report.Report) (*comparison, error) {
	t := &comparison{}
	hellos := hellosOf(r)
	for _, w := range rows {
		t.versions = append(t.versions, w.version(hellos))
		var line []cell
		for _, c := range columns {
			got, err := c.decide(w, r.Cases)
			if err != nil {
				return nil, err
			}
			line = append(line, got)
		}
		t.cells = append(t.cells, line)
	}
	return t, nil
}

func (w row) version(hellos map[string]contract.Hello) string {
	var versions []string
	for _, name := range w.peers {
		versions = append(versions, hellos[name].Version)
	}
	return strings.Join(slices.Compact(versions), ", ")
}

// expected makes the table that interop/catalogue/expected.txt stands for, on Linux: of
// the cases that the peers say they can play, those fail in which that is expected. A
// run is held to it by the runner, case by case.
func expected(hellos map[string]contract.Hello) (*comparison, error) {
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		return nil, err
	}
	list, err := catalogue.Expected()
	if err != nil {
		return nil, err
	}
	r := &report.Report{}
	var cases []scenario.Case
	runner := &scenario.Peer{Name: scenario.RunnerName, Hello: hellos[scenario.RunnerName]}
	for _, name := range slices.Sorted(maps.Keys(hellos)) {
		r.Peers = append(r.Peers, report.Peer{Name: name, Hello: hellos[name]})
		if name != scenario.RunnerName {
			cases = append(cases, scenario.Plan(scenarios, []*scenario.Peer{{Name: name, Hello: hellos[name]}}, runner)...)
		}
	}
	for _, c := range cases {
		if c.Kernel() || (c.A == runner) == (c.B == runner) {
			continue
		}
		res := scenario.Result{Name: c.Name(), Verdict: scenario.Pass}
		if c.OutOfReach(scenario.RoleA) != "" || c.OutOfReach(scenario.RoleB) != "" {
			res.Verdict = scenario.Unsupported
		}
		for _, e := range list {
			if e.On(scenario.KernelLinux) && e.Selects(c) {
				res.Findings = append(res.Findings, scenario.Finding{Check: e.Check, Peer: e.Peer})
			}
		}
		r.Cases = append(r.Cases, res)
	}
	return compare(r)
}

// decide reads the verdicts of the column's scenarios in which a peer of the row plays
// with the runner.
func (c *column) decide(w row, cases []scenario.Result) (got cell, err error) {
	if got, err = c.among(w, cases, c.scenarios, c.except); err == nil && len(got.played) == 0 {
		got, err = c.among(w, cases, c.otherwise, nil)
	}
	if err != nil {
		return got, fmt.Errorf("column %s: %w", c.name, err)
	}
	got.text = c.yes
	switch {
	case len(got.played) == 0:
		got.text = c.none
	case len(got.findings) > 0:
		got.text = c.worst(got.findings)
	}
	if text, ok := w.words[c.name+": "+got.text]; ok {
		got.text = text
	}
	return got, nil
}

// among is what was found in the cases that the patterns select.
func (c *column) among(w row, cases []scenario.Result, patterns, except []string) (got cell, err error) {
	selected, err := parse(patterns)
	if err != nil {
		return got, err
	}
	left, err := parse(except)
	if err != nil {
		return got, err
	}
	findings, played := map[string]bool{}, map[string]bool{}
	for _, r := range cases {
		part := strings.Split(r.Name, "/")
		if len(part) != 5 || !match(selected, r.Name) || match(left, r.Name) || r.Verdict == scenario.Unsupported || r.Verdict == scenario.NotRun {
			continue
		}
		sender, receiver := part[3], part[4]
		asSender := slices.Contains(w.peers, sender) && receiver == scenario.RunnerName && c.role != scenario.RoleB
		asReceiver := slices.Contains(w.peers, receiver) && sender == scenario.RunnerName && c.role != scenario.RoleA
		if !asSender && !asReceiver {
			continue
		}
		scenario := part[0] + "/" + part[1]
		played[scenario] = true
		for _, f := range r.Findings {
			if slices.Contains(w.peers, f.Peer) && slices.Contains(c.checks, f.Check) {
				findings[string(f.Check)+" "+scenario] = true
			}
		}
	}
	return cell{findings: slices.Sorted(maps.Keys(findings)), played: slices.Sorted(maps.Keys(played))}, nil
}

func parse(patterns []string) (list []scenario.Pattern, err error) {
	for _, text := range patterns {
		p, err := scenario.ParsePattern(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func match(list []scenario.Pattern, name string) bool {
	return slices.ContainsFunc(list, func(p scenario.Pattern) bool { return p.Match(name) })
}

// worst is the word for what was found.
func (c *column) worst(findings []string) string {
	for _, w := range words {
		if slices.ContainsFunc(findings, func(f string) bool { return strings.HasPrefix(f, string(w.check)+" ") }) {
			return w.text
		}
	}
	return "no"
}

// head are the first two lines of the table.
func head() string {
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range columns {
		b.WriteString(" " + c.name + " |")
	}
	return b.String() + "\n|---|" + strings.Repeat("---|", len(columns)) + "\n"
}

// line is a row as README.md has it.
func (t *comparison) line(i int) string {
	var b strings.Builder
	b.WriteString("| " + rows[i].name + " |")
	for _, c := range t.cells[i] {
		b.WriteString(" " + c.text + " |")
	}
	return b.String() + "\n"
}

// table is the one in README.md.
func (t *comparison) table() string {
	var b strings.Builder
	b.WriteString(head())
	for i := range rows {
		b.WriteString(t.line(i))
	}
	return b.String()
}

// legend says what the columns ask.
func legend() string {
	var asks []string
	for _, c := range columns {
		asks = append(asks, "*"+c.name+"*: "+c.asks)
	}
	return strings.Join(asks, " ") + "\n"
}

// A difference is a row that README.md has otherwise.
type difference struct {
	row, line string
	version   string // why that may be: the peer is of another version than the table is about
}

// differences are those between README.md's table and this one. hellos are of the run
// that README.md's is about.
func (t *comparison) differences(body string, hellos map[string]contract.Hello) (list []difference) {
	if !strings.HasPrefix(body, head()) || !strings.HasSuffix(body, "\n\n"+legend()) || strings.Count(body, "\n") != strings.Count(head()+"\n"+legend(), "\n")+len(rows) {
		list = append(list, difference{row: "all", line: head()})
	}
	for i, w := range rows {
		if strings.Contains(body, "\n"+t.line(i)) {
			continue
		}
		d := difference{row: w.name, line: t.line(i)}
		if was := w.version(hellos); was != t.versions[i] {
			d.version = fmt.Sprintf("it is %s here, and the table is about %s", t.versions[i], was)
		}
		list = append(list, d)
	}
	return list
}

// few is how many scenarios a cell names that decided by passing.
const few = 12

// page is docs/comparison.md.
func (t *comparison) page() string {
	var b strings.Builder
	b.WriteString(`# What decides the comparison

README.md compares scm with other libraries. Each cell of its table comes from the verdicts of ` + "`make interop`" + `, where a peer plays with the runner.
This page names the scenarios that decide. ` + "`go run ./tools/readme -w REPORT`" + ` writes both; tools/readme/comparison.go defines columns and rows.
What each failure is: [expected.txt](../interop/catalogue/expected.txt). To play one: ` + "`./scm interop run --peers build/peers/peers.json --run SCENARIO`" + `.

## Columns

| column | question | scenarios | role | checks |
|---|---|---|---|---|
`)
	for _, c := range columns {
		scenarios := quoted(c.scenarios)
		if len(c.except) > 0 {
			scenarios += " but " + quoted(c.except)
		}
		if len(c.otherwise) > 0 {
			scenarios += "; for a peer that plays none of them " + quoted(c.otherwise)
		}
		role := map[scenario.Role]string{scenario.RoleA: "sender", scenario.RoleB: "receiver"}[c.role]
		if role == "" {
			role = "both"
		}
		var checks []string
		for _, check := range c.checks {
			checks = append(checks, string(check))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", c.name, c.asks, scenarios, role, quoted(checks))
	}
	b.WriteString("\nA cell with " + quoted([]string{callersFlag}) + " or " + quoted([]string{callersControl}) + " is about a library that leaves it to its caller: it takes MSG_CMSG_CLOEXEC from the caller, as the peer gives it, or returns the control messages as they are.\n")
	b.WriteString("\n## Not in the table\n\n| peer | why |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(rowless)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, rowless[name])
	}
	for i, w := range rows {
		fmt.Fprintf(&b, "\n## %s\n\nThe peers %s. Version: %s.\n\n| column | cell | failed | passed |\n|---|---|---|---|\n", w.name, quoted(w.peers), t.versions[i])
		for j, c := range columns {
			got := t.cells[i][j]
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.name, got.text, got.failed(), got.passed())
		}
	}
	return b.String()
}

// failed names the scenarios in which something was found, with the checks.
func (c cell) failed() string {
	if len(c.findings) == 0 {
		return "none"
	}
	var list []string
	for _, f := range c.findings {
		check, of, _ := strings.Cut(f, " ")
		if check == string(scenario.CheckCloexec) && len(c.findings) > few {
			return fmt.Sprintf("%s in %d scenarios", check, len(c.findings))
		}
		list = append(list, check+" `"+of+"`")
	}
	return strings.Join(list, ", ")
}

// passed names the other scenarios, or says how many they are.
func (c cell) passed() string {
	var list []string
	for _, scenario := range c.played {
		if !slices.ContainsFunc(c.findings, func(f string) bool { return strings.HasSuffix(f, " "+scenario) }) {
			list = append(list, scenario)
		}
	}
	switch {
	case len(list) == 0:
		return "none"
	case len(list) > few:
		return fmt.Sprintf("%d scenarios", len(list))
	}
	return quoted(list)
}

func quoted(list []string) string { return "`" + strings.Join(list, "`, `") + "`" }
