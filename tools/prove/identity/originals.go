//go:build linux

package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/peers"
	"golang.org/x/sys/unix"
)

// An original is a system that scm is modelled on, as a peer of the interop
// suite, and scm's peers of the same interface.
type original struct {
	name    string
	heading string // in docs/departures.md
	theirs  string
	ours    []string
	flags   string // that ours are given, where the original's are fixed
	cases   []scene
}

// A scene is a case. One with a name is a row of the table: what the peers answer
// or leave open differs. In one without, the fields of all calls are compared.
type scene struct {
	name  string
	types []int
	play  play
}

var (
	anyType   = []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}
	stream    = anyType[:1]
	packets   = anyType[1:]
	seqpacket = anyType[2:]
)

var (
	recv0, recv16, recv4096 = say("recv bytes=0 fds=1"), say("recv bytes=16 fds=1"), say("recv bytes=4096 fds=1")
	// begun has the peer open what it needs itself, before it has no number left.
	begun = do(give("first", "z"), recv4096)
)

var originals = []original{
	{name: "UNP's write_fd, read_fd", heading: "UNP §15.7", theirs: "book", ours: []string{"csrc-pair", "scm-pair-cgo", "scm-pair-purego"}, cases: []scene{
		{"", anyType, say("send payload=00 fds=4", "send payload=68656c6c6f fds=5", "send payload=00 fds=-1")},
		{"", packets, say("send payload=- fds=4")},
		{"", anyType, do(give("hello", "x"), recv16, give("hello"), recv16)},
		{"`*recvfd`, two descriptors received in a buffer for one", anyType, do(give("hello", "x", "y"), recv16)},
		{"`*recvfd`, one descriptor received and MSG_CTRUNC set", anyType, do(give("hello", "x", "y"), limit(1), recv16)},
		{"`*recvfd`, no descriptor received and MSG_CTRUNC set", anyType, do(give("hello", "x"), limit(0), recv16)},
		{"a control message of another level or type", anyType, do(option(unix.SO_PASSPIDFD), give("hello"), recv16)},
		{"`*recvfd`, if n ≤ 0", packets, do(give("", "x"), recv16)},
	}},
	{name: "Stack Overflow answer", heading: "Stack Overflow answer", theirs: "qa", ours: []string{"csrc-pair", "scm-pair-cgo", "scm-pair-purego"}, cases: []scene{
		{"", anyType, say("send payload=00 fds=4", "send payload=68656c6c6f fds=5", "send payload=00 fds=-1")},
		{"", packets, say("send payload=- fds=4")},
		{"", anyType,
			do(give("hello", "x"), recv16, give("\x00", "y"), say("recv bytes=1 fds=1"), give("hello", "z"),
				say("recv bytes=2 fds=1"))},
		{"", packets, do(give("", "x"), recv16)},
		{"two descriptors received", anyType, do(give("hello", "x", "y"), recv16)},
		{"three descriptors received", anyType, do(give("hello", "x", "y", "z"), recv16)},
		{"one of two descriptors received because the table was full", anyType, do(give("hello", "x", "y"), limit(1), recv16)},
		{"no descriptor in the message", anyType, do(give("hello"), recv16)},
		{"no descriptor received because the table was full", anyType, do(give("hello", "x"), limit(0), recv16)},
		{"a pidfd received", anyType, do(option(unix.SO_PASSPIDFD), give("hello"), recv16)},
		{"credentials received before the descriptor", anyType, do(option(unix.SO_PASSCRED), give("hello", "x"), recv16)},
		{"end of stream", stream, do(shut, recv16)},
	}},
	{name: "gVisor's fdchannel", heading: "gVisor's fdchannel", theirs: "fdchannel", ours: []string{"scm-fdchannel-cgo", "scm-fdchannel-purego"}, cases: []scene{
		{"", seqpacket, say("send payload=- fds=4", "send payload=- fds=5", "send payload=- fds=-1")},
		{"", seqpacket, do(give("", "x"), give("payload", "y"), recv0, recv0, shut, recv0)},
		{"one descriptor received and MSG_CTRUNC set", seqpacket, do(give("", "x", "y"), recv0)},
		{"no descriptor received and MSG_CTRUNC set", seqpacket, do(give("", "x"), limit(0), recv0)},
		{"a control message of another type received", seqpacket, do(option(unix.SO_PASSPIDFD), give(""), recv0)},
	}},
	{name: "runc's SendFile, RecvFile", heading: "runc's SendFile and RecvFile", theirs: "runc", ours: []string{sendFile}, cases: []scene{
		{"", anyType,
			say("send payload=2f6465762f707473 fds=4", "send payload=78 fds=5", "send payload=@4095 fds=4")},
		{"sending a name of 4096 bytes", anyType, say("send payload=@4096 fds=4")},
		{"", anyType, do(give("/dev/pts/1", "x"), recv4096, give(strings.Repeat("n", 4095), "y"), recv4096)},
		{"sending an empty name", anyType, say("send payload=- fds=4")},
		{"receiving a name that ends in a NUL", anyType, do(give("name\x00", "x"), recv4096)},
		{"two descriptors received", anyType, do(give("name", "x", "y"), recv4096)},
		{"three descriptors received", anyType, do(give("name", "x", "y", "z"), recv4096)},
		{"no descriptor in the message", anyType, do(give("name"), recv4096)},
		{"no descriptor received because the table was full", anyType, do(begun, give("name", "x"), limit(0), recv4096)},
		{"one of two descriptors received because the table was full", anyType, do(begun, give("name", "x", "y"), limit(1), recv4096)},
		{"a control message of another type received", anyType, do(option(unix.SO_PASSPIDFD), give("name"), recv4096)},
		{"receiving a name of 4096 bytes", anyType, do(give(strings.Repeat("n", 4096), "x"), recv4096)},
		{"receiving an empty name", packets, do(give("", "x"), recv4096)},
		{"end of stream", stream, do(shut, recv4096)},
	}},
	{name: "ScmSocket, on Rust's libc", heading: "ChromiumOS's ScmSocket", theirs: "scmsocket", ours: []string{"csrc", "scm-cgo", "scm-purego"}, flags: " flags=nosignal", cases: scmSocket},
	{name: "vmm-sys-util's ScmSocket", heading: "vmm-sys-util", theirs: vmmSysUtil, ours: []string{"csrc", "scm-cgo", "scm-purego"}, flags: " flags=nosignal", cases: scmSocket},
}

var scmSocket = []scene{
	{"", anyType, say("send payload=00 fds=4", "send payload=68656c6c6f fds=4,5,6", "send payload=68656c6c6f fds=-",
		"send payload=68,656c,6c6f fds=5,4", "send payload=00 fds=-1",
		"send payload=00 fds="+repeated(32), "send payload=00 fds="+repeated(33), "send payload=00 fds="+repeated(253))},
	{"", packets, say("send payload=- fds=4")},
	{"", anyType,
		do(give("hello", "x"), recv16, give("hello", "x", "y"), say("recv bytes=2,14 fds=2"), give("hello"),
			say("recv bytes=16 fds=3"), give("hello"), say("recv bytes=16 fds=0"))},
	{"one descriptor more than an odd capacity", anyType, do(give("hello", "x", "y"), recv16)},
	{"more descriptors than an even capacity", anyType,
		do(give("hello", "x", "y", "z"), say("recv bytes=16 fds=2"))},
	{"one of two descriptors received because the table was full", anyType,
		do(give("hello", "x", "y"), limit(1), say("recv bytes=16 fds=2"))},
	{"a control message of another type received", anyType,
		do(option(unix.SO_PASSPIDFD), give("hello"), say("recv bytes=16 fds=2"))},
}

func repeated(n int) string { return strings.TrimSuffix(strings.Repeat("4,", n), ",") }

const (
	sendFile   = "scm-sendfile"
	vmmSysUtil = "vmm-sys-util"
)

// commands builds the peers, and says why one could not be built.
func (p *proof) commands() (commands map[string][]string, why map[string]string) {
	commands, why = map[string][]string{}, map[string]string{}
	var names []string
	for _, o := range originals {
		for _, name := range append(o.ours, o.theirs) {
			if name != sendFile && name != vmmSysUtil && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	out := filepath.Join(p.root, "build", "peers")
	for _, b := range peers.Build(context.Background(), p.root, out, names, io.Discard) {
		commands[b.Name], why[b.Name] = b.Command, b.Why
	}
	bin := filepath.Join(p.dir, sendFile)
	if text, err := exec.Command("go", "build", "-C", p.root, "-o", bin, "./tools/prove/identity/sendfile").CombinedOutput(); err != nil {
		why[sendFile] = fmt.Sprintf("%v\n%s", err, text)
	}
	commands[sendFile] = []string{bin}
	cargo := exec.Command("cargo", "build", "--release", "--locked", "--quiet",
		"--manifest-path", filepath.Join(p.root, "tools/prove/identity/vmm/Cargo.toml"), "--target-dir", filepath.Join(out, "rust"))
	if text, err := cargo.CombinedOutput(); err != nil {
		why[vmmSysUtil] = fmt.Sprintf("cargo: %v\n%s", err, text)
	}
	commands[vmmSysUtil] = []string{filepath.Join(out, "rust", "release", "vmm-sys-util-peer")}
	return commands, why
}

// originals does claim (b), and prints it.
func (p *proof) originals() error {
	commands, why := p.commands()
	const line = "%-26s %-17s %6s %11s %13s  %s\n"
	_, _ = fmt.Fprintf(p.out, line, "original", "scm's", "calls", "departures", "undocumented", "")
	var failed error
	total, documented := 0, 0
	for _, o := range originals {
		rows, err := departures(p.root, o.heading)
		if err != nil {
			return err
		}
		if why[o.theirs] != "" {
			p.missing++
			_, _ = fmt.Fprintf(p.out, line, o.name, "", "-", "-", "-", "not run: "+firstLine(errors.New(why[o.theirs])))
			continue
		}
		for _, ours := range o.ours {
			if why[ours] != "" {
				p.missing++
				_, _ = fmt.Fprintf(p.out, line, o.name, ours, "-", "-", "-", "not run: "+firstLine(errors.New(why[ours])))
				continue
			}
			r := reading{rows: rows}
			err := r.all(&o, commands[o.theirs], commands[ours])
			wrong := r.wrong()
			remark := ""
			if err != nil {
				wrong = append(wrong, err)
			}
			if len(wrong) > 0 {
				remark = wrong[0].Error()
				for _, err := range wrong {
					failed = errors.Join(failed, fmt.Errorf("%s against %s: %w", o.name, ours, err))
				}
			}
			_, _ = fmt.Fprintf(p.out, line, o.name, ours, commas(r.calls), commas(len(rows)), commas(len(wrong)), remark)
			total += r.calls
		}
		documented += len(rows)
	}
	if err := p.mycat(commands["scm-purego"]); err != nil {
		failed = errors.Join(failed, err)
	}
	if total == 0 {
		failed = errors.Join(failed, errors.New("nothing was compared with any original"))
	}
	verdict := "as documented"
	if failed != nil {
		verdict = "not as documented"
	}
	_, _ = fmt.Fprintf(p.out, "%s: %s calls compared with %d originals, %d departures\n", verdict, commas(total), len(originals), documented)
	return failed
}

// A reading holds what is found against the rows of a table.
type reading struct {
	rows  []*departure
	calls int
	seen  map[*departure]bool
	extra []error // differences without a row
	told  map[string]bool
}

func (r *reading) all(o *original, theirs, ours []string) error {
	r.seen, r.told = map[*departure]bool{}, map[string]bool{}
	for _, c := range o.cases {
		for _, typ := range c.types {
			a, err := perform(theirs, typ, c.play)
			if err != nil {
				return fmt.Errorf("%s: %w", o.theirs, err)
			}
			b, err := perform(ours, typ, func(s *stage) { s.flags = o.flags; c.play(s) })
			if err != nil {
				return err
			}
			r.compare(&c, a, b)
		}
	}
	return nil
}

func (r *reading) compare(c *scene, a, b *stage) {
	described := exactly
	described.Describe = describe
	var found []*recorder.Difference
	for i := range max(len(a.steps), len(b.steps)) {
		x, y := at(a.steps, i), at(b.steps, i)
		found = append(found, described.All(x, y)...)
		r.calls += len(y)
	}
	same := slices.Equal(a.outcome, b.outcome)
	if c.name == "" {
		for _, d := range found {
			r.field(d)
		}
		if !same {
			r.undocumented("a case without a name", fmt.Sprintf("%q", a.outcome), fmt.Sprintf("%q", b.outcome))
		}
		return
	}
	// What the kernel does at a departure, it does to one side alone.
	if same {
		return
	}
	for _, row := range r.rows {
		if row.text == c.name {
			r.seen[row] = true
			return
		}
	}
	r.undocumented(c.name, fmt.Sprintf("%q", a.outcome), fmt.Sprintf("%q", b.outcome))
}

// undocumented notes a difference that has no row, once.
func (r *reading) undocumented(what, a, b string) {
	if !r.told[what] {
		r.told[what] = true
		r.extra = append(r.extra, fmt.Errorf("%s: %s against %s, which docs/departures.md does not list", what, a, b))
	}
}

// describe says which of the stage's files a descriptor is.
func describe(c *recorder.Call, fd int32, atExit bool) string {
	for _, f := range c.Files {
		if f.FD == fd && f.AtExit == atExit && f.Open() {
			return fileName(f.Name)
		}
	}
	return fmt.Sprint(fd)
}

func (r *reading) field(d *recorder.Difference) {
	key := cmp.Or(d.A, d.B).Name() + ": " + d.Field
	if d.When == "exit" {
		key += " on return"
	}
	for _, row := range r.rows {
		about, right := row.covers(key, d)
		if about && right {
			r.seen[row] = true
			return
		}
	}
	r.undocumented(key, d.TextA, d.TextB)
}

// wrong is what the table does not have, and what it has and was not found.
func (r *reading) wrong() []error {
	wrong := r.extra
	for _, row := range r.rows {
		if !r.seen[row] {
			wrong = append(wrong, fmt.Errorf("docs/departures.md lists a difference that was not found: %s", row.text))
		}
	}
	return wrong
}
