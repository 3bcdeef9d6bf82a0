//go:build linux

package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// A column describes a property of the compared libraries, and the scenarios that test it with a library's
// peer and the runner. The verdicts of these scenarios determine the cells of the column. The tables in
// README.md and docs/comparison.md are generated from columns and rows.
type column struct {
	name      string
	meaning   string // what a "yes" in the column means
	role      scenario.Role
	scenarios patterns
	except    patterns // scenarios that another column covers
	fallback  patterns // scenarios for a peer that supports none of the others
	checks    []scenario.Check
	passed    string // the cell if there is no finding (default "yes")
	untested  string // the cell if the peer supports no scenario (default "–")
}

const (
	answer, file = scenario.CheckAnswer, scenario.CheckFile
	leak, crash  = scenario.CheckLeak, scenario.CheckCrash
)

// withPidfd selects the scenarios in which the kernel adds a pidfd to a message.
const withPidfd = "credentials/{scm-pidfd-*,ctrunc-pidfd-no-room}"

var columns = []column{
	{name: "descriptors per message", meaning: "253 if the library sends and receives a message with 253 descriptors, the most that Linux accepts; otherwise the most that it passes.",
		scenarios: of("limits/limit-253-ok"), checks: []scenario.Check{answer, file, crash}, passed: "253", untested: "1"},
	{name: "right file sent", meaning: "The library sends the open file that the caller specified.", role: scenario.RoleA,
		scenarios: of("**"), checks: []scenario.Check{file}},
	{name: "truncation reported", meaning: "The library reports truncation with a flag or an error, unless no part of the message is lost.", role: scenario.RoleB,
		scenarios: of("truncation", "resources/recv-emfile-*", "names/name-extra-fds-closed", "hostile/receiver-wrong-count",
			"limits/{max-fds-and-creds-together,peer-limit-7-odd}", "credentials/ctrunc-creds-eat-the-room",
			"ordering/stream-{coalesced-read-drops-both,partial-read-loses-fd}"),
		except: of("*/*-empty-packet*"), fallback: of("truncation/ctrunc-empty-packet-of-two"),
		checks: []scenario.Check{answer, crash}},
	{name: "no leaks", meaning: "Every received descriptor is either reported to the caller or closed.", role: scenario.RoleB,
		scenarios: of("**"), except: of(withPidfd), checks: []scenario.Check{leak, crash}},
	{name: "pidfd closed", meaning: "The library does not leave open the pidfd that the kernel adds if the receiver has set SO_PASSPIDFD.", role: scenario.RoleB,
		scenarios: of(withPidfd), checks: []scenario.Check{leak, answer, crash}},
	{name: "close-on-exec", meaning: "Received descriptors are close-on-exec.", role: scenario.RoleB,
		scenarios: of("**"), checks: []scenario.Check{scenario.CheckCloexec}},
	{name: "empty packet sent", meaning: "The library sends a datagram or packet that has a descriptor but no payload, without adding anything to it.", role: scenario.RoleA,
		scenarios: of("payload/dgram-zero-byte-fd-delivered"),
		checks:    []scenario.Check{answer, file, crash, scenario.CheckHang}, untested: "not possible"},
	{name: "empty packet received", meaning: "The library receives a datagram or packet that has a descriptor but no payload, and returns the descriptor.", role: scenario.RoleB,
		scenarios: of("payload/dgram-zero-byte-fd-delivered"),
		checks:    []scenario.Check{leak, answer, file, crash, scenario.CheckHang}},
}

// A row describes a library interface and lists the peers that test it. A cell is "yes" only if
// all of these peers pass. words replaces the text of some cells with more precise wording.
type row struct {
	name    string
	peers   []string
	words   map[string]string // by "COLUMN: TEXT"
	readme  bool              // in the table of README.md too, because Go programmers consider it
	project string            // whose version README.md gives (default none)
	note    string            // a sentence or two for the row's section in docs/comparison.md
}

const (
	callersFlag    = "with the caller's flag"
	callersControl = "left to the caller"
	addsByte       = "adds a byte on seqpacket"
	seqpacketEOF   = "reported as EOF on seqpacket"
)

// byFlag is for libraries whose caller must pass MSG_CMSG_CLOEXEC. byControl is for libraries
// that return the control messages to their caller.
var (
	byFlag    = map[string]string{"close-on-exec: yes": callersFlag}
	byControl = map[string]string{"pidfd closed: no": callersControl}
)

var rows = []row{
	{name: "scm (`Send`, `Recv`; `scm_rights_send`, `scm_rights_recv`)", peers: []string{"csrc", "scm-cgo", "scm-purego"}, readme: true},
	{name: "scm (`WriteFD`, `ReadFD`; `write_fd`, `read_fd`)", peers: []string{"csrc-pair", "scm-pair-cgo", "scm-pair-purego"}, readme: true},
	{name: "scm/fdchannel", peers: []string{"scm-fdchannel-cgo", "scm-fdchannel-purego"}, readme: true},
	{name: "UNP §15.7 (our rewrite)", peers: []string{"book"}, words: map[string]string{"empty packet received: no": "the descriptor leaks"}, readme: true},
	{name: "Stack Overflow answer (our rewrite)", peers: []string{"qa"}},
	{name: "GLib GSocket, GUnixFDMessage", peers: []string{"glib"}},
	{name: "libuv IPC pipes", peers: []string{"libuv"}, words: map[string]string{"right file sent: no": "makes it non-blocking, as documented"},
		note: "`uv_pipe_open` makes the descriptor non-blocking, and its documentation says so. The file description that is sent is the same one, so its other copies become non-blocking too."},
	{name: "Go `net` with x/sys", peers: []string{"net"}, words: map[string]string{
		"pidfd closed: no": callersControl, "empty packet sent: no": addsByte, "empty packet received: no": seqpacketEOF}, readme: true, project: "Go"},
	{name: "x/sys alone", peers: []string{"xsys"}, words: map[string]string{
		"pidfd closed: no": callersControl, "empty packet sent: no": addsByte, "close-on-exec: yes": callersFlag}, readme: true, project: "x/sys"},
	{name: "runc SendFile, RecvFile", peers: []string{"runc"}, words: map[string]string{"empty packet sent: no": addsByte}, readme: true, project: "runc",
		note: "In v1.5.2 the functions of `libcontainer/utils` are deprecated. v1.6.0-rc.1 has them only in `internal/cmsg`."},
	{name: "gVisor fdchannel", peers: []string{"fdchannel"}, readme: true, project: "gVisor"},
	{name: "gVisor unet", peers: []string{"unet"}, words: map[string]string{"empty packet received: no": seqpacketEOF}},
	{name: "ScmSocket before December 2023 (our rewrite)", peers: []string{"scmsocket"},
		note: "The peer is a port of crosvm's code to the libc crate. Since crosvm's commit a0aad9eb0, `recv_with_fds` returns a Vec of owned descriptors. " +
			"If more descriptors arrive than the caller asked for, the Vec has the one that the padding lets in too, so nothing panics and none of them leaks. " +
			"The newer code (f1e797a68, August 2026) still passes flags 0, does not report truncation, and leaves a pidfd open."},
	{name: "rust-vmm vmm-sys-util", peers: []string{"vmm-sys-util"}, words: map[string]string{
		"truncation reported: no": "yes, unless the only extra descriptor fits into the padding"}},
	{name: "Rust nix", peers: []string{"nix"}, words: map[string]string{"close-on-exec: yes": callersFlag, "pidfd closed: no": callersControl}, readme: true, project: "nix"},
	{name: "Rust rustix", peers: []string{"rustix"}, words: byFlag},
	{name: "Rust sendfd", peers: []string{"sendfd"}},
	{name: "Rust tokio-seqpacket", peers: []string{"tokio-seqpacket"}, words: byControl},
	{name: "Python send_fds, recv_fds", peers: []string{"python"}, readme: true, project: "Python"},
	{name: "Python multiprocessing", peers: []string{"multiprocessing"}, words: map[string]string{"descriptors per message: 1": "253"},
		note: "`sendfds` sends the number of descriptors as the payload, and a peer has a single payload, so the peer passes one descriptor. By hand, the library passed 253."},
	{name: "Java jnr-posix", peers: []string{"jnr-posix"}, words: map[string]string{"close-on-exec: no": callersFlag, "pidfd closed: no": callersControl},
		note: "A caller can pass 0x40000000, the value of MSG_CMSG_CLOEXEC on Linux. The peer does not, because jnr-constants has no name for it."},
	{name: "Java junixsocket", peers: []string{"junixsocket"}, words: map[string]string{
		"descriptors per message: no": "60", "right file sent: no": "yes, but an error closes the socket", "empty packet received: no": "reported as EOF"}},
	{name: "Ruby sendmsg, recvmsg", peers: []string{"ruby-sendmsg"}, words: byControl},
	{name: "Ruby send_io, recv_io", peers: []string{"ruby-send-io"}},
	{name: "Perl Socket::MsgHdr", peers: []string{"perl-msghdr"}, words: map[string]string{
		"truncation reported: no": "from version 0.06 on", "close-on-exec: no": callersFlag, "pidfd closed: no": callersControl},
		note: "A caller can pass 0x40000000, the value of MSG_CMSG_CLOEXEC on Linux. The peer does not, because neither Socket::MsgHdr nor Socket has a name for it."},
	{name: "Perl IO::FDPass", peers: []string{"perl-fdpass"}},
	{name: "OCaml ExtUnix", peers: []string{"extunix"}},
	{name: "Erlang `socket`", peers: []string{"erlang"}, words: map[string]string{"pidfd closed: no": callersControl, "close-on-exec: yes": callersFlag}},
	{name: "PHP socket_sendmsg, socket_recvmsg", peers: []string{"php"}, words: map[string]string{"right file sent: no": "sends descriptor 0 instead of a `Socket`, in 8.2"}},
}

// rowless lists the peers that have no row, with the reason.
var rowless = map[string]string{
	"csrc-musl":         "csrc itself, built with another libc",
	"book-musl":         "book itself, built with another libc",
	"libc":              "the crate provides the bare system calls; how they are used is up to the caller",
	scenario.RunnerName: "the other peers are tested against it",
	scenario.KernelName: "the runner is tested against it",
}

// A cell is the result of one row in one column.
type cell struct {
	text      string
	findings  []string // CHECK SCENARIO, sorted
	decidedBy []string // scenarios with a verdict, sorted
}

// A comparison contains the cells computed from a report, and the pages generated from the report.
type comparison struct {
	pages    map[string]string // generated text by file name
	versions []string          // by row
	cells    [][]cell          // by row and column
}

// compare makes the comparison from a report.
func compare(r *report.Report) *comparison {
	t := &comparison{pages: map[string]string{}}
	for _, w := range rows {
		var versions []string
		for _, name := range w.peers {
			for _, p := range r.Peers {
				if p.Name == name {
					versions = append(versions, p.Hello.Version)
				}
			}
		}
		t.versions = append(t.versions, strings.Join(slices.Compact(versions), ", "))
		trials := w.trials(r.Cases)
		var line []cell
		for _, c := range columns {
			line = append(line, c.decide(w, trials))
		}
		t.cells = append(t.cells, line)
	}
	return t
}

// A trial is a case with a verdict that pairs a peer of a row with the runner.
type trial struct {
	peer, scenario string
	role           scenario.Role
	result         scenario.Result
}

// trials returns the cases that pair a peer of the row with the runner.
func (w row) trials(cases []scenario.Result) (list []trial) {
	for _, r := range cases {
		part := strings.Split(r.Name, "/")
		if len(part) != 5 || r.Verdict == scenario.Unsupported || r.Verdict == scenario.NotRun {
			continue
		}
		name, a, b := part[0]+"/"+part[1], part[3], part[4]
		if b == scenario.RunnerName && slices.Contains(w.peers, a) {
			list = append(list, trial{a, name, scenario.RoleA, r})
		}
		if a == scenario.RunnerName && slices.Contains(w.peers, b) {
			list = append(list, trial{b, name, scenario.RoleB, r})
		}
	}
	return list
}

// decide returns the cell of a row in this column.
func (c *column) decide(w row, trials []trial) cell {
	got := c.collect(trials, c.scenarios, c.except)
	if len(got.decidedBy) == 0 {
		got = c.collect(trials, c.fallback, nil)
	}
	switch {
	case len(got.decidedBy) == 0:
		got.text = cmp.Or(c.untested, "–")
	case len(got.findings) == 0:
		got.text = cmp.Or(c.passed, "yes")
	default:
		got.text = cellText(got.findings)
	}
	if text, ok := w.words[c.name+": "+got.text]; ok {
		got.text = text
	}
	return got
}

// collect returns a cell with the findings in the trials that the patterns select.
func (c *column) collect(trials []trial, selected, except patterns) cell {
	findings, scenarios := map[string]bool{}, map[string]bool{}
	for _, p := range trials {
		if c.role != 0 && c.role != p.role || !selected.match(p.result.Name) || except.match(p.result.Name) {
			continue
		}
		scenarios[p.scenario] = true
		for _, f := range p.result.Findings {
			if f.Peer == p.peer && slices.Contains(c.checks, f.Check) {
				findings[string(f.Check)+" "+p.scenario] = true
			}
		}
	}
	return cell{findings: slices.Sorted(maps.Keys(findings)), decidedBy: slices.Sorted(maps.Keys(scenarios))}
}

// cellText returns the text of a cell with findings.
func cellText(findings []string) (text string) {
	for _, f := range findings {
		switch check, _, _ := strings.Cut(f, " "); scenario.Check(check) {
		case crash:
			text = "crashes"
		case scenario.CheckHang:
			text = cmp.Or(text, "hangs")
		default:
			return "no"
		}
	}
	return text
}

// patterns selects cases by name.
type patterns []scenario.Pattern

func of(texts ...string) (list patterns) {
	for _, text := range texts {
		p, err := scenario.ParsePattern(text)
		if err != nil {
			panic(err)
		}
		list = append(list, p)
	}
	return list
}

func (list patterns) match(name string) bool {
	return slices.ContainsFunc(list, func(p scenario.Pattern) bool { return p.Match(name) })
}

func (list patterns) String() string {
	var texts []string
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return quoted(texts)
}
