package catalogue_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/peers/faulty/fault"
	"github.com/scm-rights/scm/interop/scenario"
)

// A row is a fault that shows in the facts of one answer. The facts are those of a peer without faults, with this
// change. A fault that the runner can only find by conversing with a process is a faulty peer instead.
type row struct {
	what   string
	checks []scenario.Check
	text   string
	change func(a *reply) bool // reports whether the answer can have the fault
	runner bool                // an answer of the runner can show the fault of its partner
}

// reply is an answer, what was seen with it, and what came before it.
type reply struct {
	fact.Answer
	fact.Observation
	contract.Line                 // the answer
	command       contract.Line   // to which it is the answer
	step          scenario.Step   // that expects it
	before        []string        // the descriptors that the side has received before
	passed        map[string]bool // the names of the files that a side has received before
	missing       *fact.Missing   // there is no answer
	record        *judge.Record
	held          *fact.Held // is still open somewhere after the end of the case
}

// side returns the role of the process.
func (a *reply) side() scenario.Role { return a.Answer.Side }

func (a *reply) receives() bool {
	return a.Verb == "ok" && a.Fields["payload"] != ""
}

// set changes a field of the answer.
func (a *reply) set(key, value string) bool {
	if a.Fields[key] == value {
		return false
	}
	var words []string
	for _, word := range strings.Split(a.Said, " ") {
		if k, _, _ := strings.Cut(word, "="); k != key {
			words = append(words, word)
		}
	}
	a.Said = strings.Join(append(words, key+"="+value), " ")
	a.Fields[key] = value
	return true
}

// setPayload changes the payload and its length.
func (a *reply) setPayload(payload string, n int) bool {
	if payload == "" {
		payload = "-"
	}
	a.set("n", strconv.Itoa(n))
	return a.set("payload", payload)
}

// hex returns the payload if the answer contains its bytes.
func (a *reply) hex() (text string, ok bool) {
	text = strings.TrimPrefix(a.Fields["payload"], "-")
	return text, a.receives() && !strings.ContainsAny(text, "@!|")
}

func (a *reply) count() int {
	n, _ := strconv.Atoi(a.Fields["n"])
	return n
}

// most lets a call transfer at most so many bytes.
func (a *reply) most(limit int) bool {
	if a.Verb == "ok" && a.command.Verb == "send" && a.count() > limit {
		return a.set("n", strconv.Itoa(limit))
	}
	if text, ok := a.hex(); ok && a.count() > limit {
		return a.setPayload(text[:2*limit], limit)
	}
	return a.receives() && strings.HasPrefix(a.Fields["payload"], "@") && a.count() > limit && a.setPayload(fmt.Sprintf("@%d", limit), limit)
}

// succeeds makes a failed send return success.
func (a *reply) succeeds() bool {
	a.Said = "ok n=1"
	return a.Verb == "err" && a.command.Verb == "send"
}

// fds changes the list of descriptors.
func (a *reply) fds(change func(list []string) []string) bool {
	list := a.List("fds")
	return a.receives() && a.set("fds", contract.List(change(slices.Clone(list))))
}

// descriptor changes what one of the descriptors is that the answer names.
func (a *reply) descriptor(i int, change func(d *fact.Descriptor)) bool {
	list := a.List("fds")
	if len(list) <= i || !a.receives() {
		return false
	}
	fd, _ := strconv.Atoi(list[i])
	for k, d := range a.Descriptors {
		if d.FD == fd && len(d.Files) > 0 {
			change(&a.Descriptors[k])
			return true
		}
	}
	return false
}

// closes adds that a descriptor is no longer open.
func (a *reply) closes(fd string) bool {
	n, err := strconv.Atoi(fd)
	a.Descriptors = append(a.Descriptors, fact.Descriptor{Side: a.side(), FD: n, Closed: true})
	return err == nil
}

// keeps adds that the side has another descriptor of the file that it has just received.
func (a *reply) keeps(as int) bool {
	var copied fact.Descriptor
	if !a.descriptor(0, func(d *fact.Descriptor) { copied = *d }) {
		return false
	}
	copied.FD = as
	a.Descriptors = append(a.Descriptors, copied)
	return true
}

// fileOf returns the last file that a side was started with, or the other side's if it had none.
func (a *reply) fileOf(role scenario.Role) fact.Match {
	given := a.record.Setup.Given[role]
	if len(given) == 1 {
		given = a.record.Setup.Given[scenario.RoleA+scenario.RoleB-role]
	}
	return given[len(given)-1].Files[0]
}

// has adds that the side has another descriptor of a file of a side.
func (a *reply) has(role scenario.Role) {
	a.Descriptors = append(a.Descriptors, fact.Descriptor{Side: a.side(), FD: 999, Files: []fact.Match{a.fileOf(role)}})
}

// isRunner reports whether the runner has given the answer.
func (a *reply) isRunner() bool { return a.record.Setup.Case.Scenario.RunByRunner(a.side()) }

// kind returns the kind of a file of the case.
func (a *reply) kind(name string) string {
	s := a.record.Setup.Case.Scenario
	i := slices.IndexFunc(s.Files, func(f scenario.FileSpec) bool { return f.Name == name })
	if i < 0 {
		return "sock"
	}
	return s.Files[i].Kind
}

// withOffset are the kinds of file that have an offset.
var withOffset = []string{"file", "memfd"}

// alters adds that the peer has changed a state of the files that no side had received before. change returns the state
// of a file of this kind before and after the change, or twice the same if it has no such state.
func (a *reply) alters(what string, change func(kind string, d *fact.Info) (was, now string)) (altered bool) {
	for i := range a.List("fds") {
		a.descriptor(i, func(d *fact.Descriptor) {
			file := d.Files[0].File
			if was, now := change(a.kind(file.Name), d.Info); was != now && !a.passed[file.Name] {
				a.States = append(a.States, fact.State{File: file, What: what, Was: was, Now: now})
				altered = true
			}
		})
	}
	return altered && !a.isRunner()
}

// moves changes the offset of files of these kinds.
func (a *reply) moves(by int64, kinds ...string) bool {
	return a.alters(fact.Offset, func(kind string, d *fact.Info) (was, now string) {
		if !slices.Contains(kinds, kind) {
			return "", ""
		}
		return strconv.FormatInt(d.Offset, 10), strconv.FormatInt(d.Offset+by, 10)
	})
}

// clears clears a status flag of the files.
func (a *reply) clears(flag string) bool {
	return a.alters("status flags", func(_ string, d *fact.Info) (was, now string) {
		without := strings.Trim(strings.ReplaceAll(d.Status, flag, ""), "|")
		return cmp.Or(d.Status, "none"), cmp.Or(without, "none")
	})
}

// lacks removes the first byte that the runner has read from a pipe that it had passed to the peer.
func (a *reply) lacks() bool {
	for _, d := range a.record.Setup.Given[a.side()] {
		name := d.Files[0].Name
		if strconv.Itoa(d.FD) == a.command.Fields["fd"] && a.command.Verb == "read" && a.kind(name) == "pipe-r" && a.passed[name] {
			text, ok := a.hex()
			return ok && text != "" && a.setPayload(text[2:], a.count()-1)
		}
	}
	return false
}

// late takes the answer to a receive away. The peer gives it too late, or nobody sees it.
func late(a *reply) bool {
	a.missing = &fact.Missing{Side: a.side(), Why: "no answer in time"}
	return a.receives()
}

// early ends a wait that a peer must not end.
func early(a *reply) bool {
	a.Said = "err EAGAIN"
	return a.step.Async
}

// more adds a descriptor to a message after the first that had one.
func more(a *reply) bool {
	return len(a.before) > 0 && a.fds(func(list []string) []string { return append(list, "700") })
}

// none takes the descriptors away.
func none(a *reply) bool { return a.fds(func([]string) []string { return nil }) }

// another answers a receive as a send.
func another(a *reply) bool {
	a.Said = "ok n=1"
	return a.receives()
}

var (
	onAnswer = []scenario.Check{scenario.CheckAnswer}
	onFile   = []scenario.Check{scenario.CheckFile}
	onLeak   = []scenario.Check{scenario.CheckLeak}
	onHang   = []scenario.Check{scenario.CheckHang}
)

var rows = map[string]row{
	"count": {"reports one byte too many", onAnswer, "n is ", func(a *reply) bool {
		return a.receives() && a.set("n", strconv.Itoa(a.count()+1))
	}, false},
	"eat": {"loses the first byte", onAnswer, "", func(a *reply) bool {
		text, ok := a.hex()
		return ok && text != "" && a.setPayload(text[2:], a.count()-1)
	}, false},
	"pad": {"reports its whole buffers as the payload", onAnswer, "payload is", func(a *reply) bool {
		room := 0
		for _, item := range a.command.List("bytes") {
			n, _ := strconv.Atoi(item)
			room += n
		}
		text, ok := a.hex()
		return ok && room > a.count() && a.set("payload", text+strings.Repeat("00", room-a.count()))
	}, false},
	"small":  {"receives at most 1,000 bytes", onAnswer, "", func(a *reply) bool { return a.most(1000) }, false},
	"bounce": {"copies through a buffer of 65,536 bytes, and loses everything beyond", onAnswer, "", func(a *reply) bool { return a.most(65536) }, false},
	"text": {"ends the payload at the first zero byte after the first byte", onAnswer, "", func(a *reply) bool {
		text, ok := a.hex()
		for i := 2; ok && i < len(text); i += 2 {
			if text[i:i+2] == "00" {
				return a.setPayload(text[:i], i/2)
			}
		}
		return a.command.Fields["payload"] != "" && strings.HasPrefix(a.command.Fields["payload"], "@") && a.most(251)
	}, false},
	"vector": {"uses only the first of several buffers", onAnswer, "", func(a *reply) bool {
		if parts := a.command.List("payload"); len(parts) > 1 {
			return a.succeeds() || a.most(len(parts[0])/2)
		}
		rooms := a.command.List("bytes")
		first, err := strconv.Atoi(slices.Concat(rooms, []string{"-"})[0])
		return len(rooms) > 1 && err == nil && a.most(first)
	}, false},
	"dummy": {"adds a byte to empty messages", onAnswer, "", func(a *reply) bool {
		if a.Fields["n"] == "0" && a.command.Verb == "send" {
			return a.set("n", "1")
		}
		return a.receives() && a.count() == 0 && a.setPayload("00", 1)
	}, false},
	"cry":  {"reports every message as truncated", onAnswer, "there are flags", func(a *reply) bool { return a.receives() && a.set("flags", "ctrunc,trunc") }, false},
	"hush": {"never reports truncation", onAnswer, "no flag", func(a *reply) bool { return a.receives() && a.Fields["flags"] != "" && a.set("flags", "-") }, false},
	"optimist": {"reports success for failed calls", onAnswer, "", func(a *reply) bool {
		if a.Said = "ok n=0 payload=- fds=-"; a.command.Verb == "send" {
			a.Said = "ok n=1"
		}
		return a.Verb == "err"
	}, false},
	"first": {"returns the first descriptor, and closes the others", onAnswer, " descriptors, and not ", func(a *reply) bool {
		return a.fds(func(list []string) []string { return list[:min(1, len(list))] })
	}, false},
	"firstcmsg": {"looks only at the first control message", onAnswer, "0 descriptors, and not ", func(a *reply) bool {
		return a.fds(func([]string) []string { return nil })
	}, false},
	"believe": {"treats an integer in the payload as a descriptor", onAnswer, " descriptors, and not ", func(a *reply) bool {
		return a.fds(func(list []string) []string { return append(list, "700") })
	}, false},
	"slots": {"pads the list of received descriptors with -1 up to the number requested", onFile, "which it had already", func(a *reply) bool {
		room, _ := strconv.Atoi(a.command.Fields["fds"])
		return a.fds(func(list []string) []string {
			return append(list, slices.Repeat([]string{"-1"}, max(0, room-len(list)))...)
		})
	}, false},
	"stale": {"reports the descriptors of the previous receive again if none arrive", onFile, "which it had already", func(a *reply) bool {
		return len(a.List("fds")) == 0 && a.fds(func([]string) []string { return a.before })
	}, false},
	"cache": {"reports the descriptors of the first peek again at later receives", onFile, "which it had already", func(a *reply) bool {
		return len(a.before) > 0 && a.fds(func([]string) []string { return a.before[:1] })
	}, false},
	"swap": {"reports several descriptors in the wrong order", onFile, "is not the open file description of", func(a *reply) bool {
		return a.fds(func(list []string) []string {
			slices.Reverse(list)
			return list
		})
	}, false},
	"cloexec-rest": {"makes only the first descriptor of a message close-on-exec", []scenario.Check{scenario.CheckCloexec}, "a received descriptor is not close-on-exec", func(a *reply) bool {
		return a.descriptor(1, func(d *fact.Descriptor) { d.Info = &fact.Info{Offset: d.Info.Offset, Status: d.Info.Status} })
	}, false},
	"close": {"closes the descriptors of the previous receive at each receive", []scenario.Check{scenario.CheckAnswer, scenario.CheckFile}, "", func(a *reply) bool {
		return a.receives() && len(a.before) > 0 && a.closes(a.before[len(a.before)-1])
	}, false},
	"hangup": {"closes its socket when a call fails, and does not say in hello that it does", onFile, "was closed without a command to do so", func(a *reply) bool {
		return a.Verb == "err" && a.closes(strconv.Itoa(a.record.Setup.Given[a.side()][0].FD))
	}, false},
	"owns": {"closes what it received when its socket is closed", onFile, "was closed without a command to do so", func(a *reply) bool {
		sock := strconv.Itoa(a.record.Setup.Given[a.side()][0].FD)
		return a.command.Verb == "close" && slices.Contains(a.command.List("fds"), sock) && len(a.before) > 0 && a.closes(a.before[0])
	}, false},
	"overwrite": {"duplicates what it received onto its standard error", onLeak, "as 2, is open, and the peer did not report it", func(a *reply) bool { return a.keeps(2) }, false},
	"hundredth": {"keeps a duplicate of every hundredth descriptor received on a connection", onLeak, "is open, and the peer did not report it", func(a *reply) bool {
		return len(a.before)+len(a.List("fds")) >= 100 && a.keeps(999)
	}, false},
	"blocking": {"makes the files that it receives blocking", onFile, "status flags", func(a *reply) bool { return a.clears("O_NONBLOCK") }, false},
	"seek":     {"moves the offset of the files that it receives", onFile, "is at offset", func(a *reply) bool { return a.moves(7, withOffset...) }, false},
	"read-byte": {"reads a byte from the files that it receives", []scenario.Check{scenario.CheckAnswer, scenario.CheckFile}, "", func(a *reply) bool {
		return a.moves(1, "file") || a.lacks() // a new memfd is empty
	}, true},
	"foreign": {"treats the data of every control message as descriptors", []scenario.Check{scenario.CheckAnswer, scenario.CheckFile}, "", func(a *reply) bool {
		return a.fds(func(list []string) []string { return append(list, "0") })
	}, false},
	"eof": {"treats a message of zero bytes as the end of the stream", onAnswer, "", func(a *reply) bool {
		a.Said += " eof"
		return a.receives() && a.count() == 0 && !a.Has("eof")
	}, false},
	"consume": {"closes the descriptors that it sent or failed to send", onFile, "was closed without a command to do so", func(a *reply) bool {
		fds := a.command.List("fds")
		return a.command.Verb == "send" && len(fds) > 0 && fds[0] != "-1" && a.closes(fds[0])
	}, false},
	"skipbad": {"leaves out bad descriptors", onAnswer, "", (*reply).succeeds, false},
	"plain":   {"reports success for bytes without descriptors, even if the send failed", onAnswer, "not err", (*reply).succeeds, false},
	"picky": {"rejects all flags", onAnswer, "EINVAL", func(a *reply) bool {
		a.Said = "err EINVAL"
		return a.command.Fields["flags"] != "" && a.command.Fields["flags"] != "-"
	}, false},
	"late":   {"answers too late", onHang, "no answer in time", late, false},
	"stderr": {"answers on standard error", onHang, "no answer in time", late, false},
	"leak": {"receives one descriptor more than requested, and keeps it", onLeak, "is open, and the peer did not report it",
		func(a *reply) bool {
			a.has(scenario.RoleA + scenario.RoleB - a.side())
			return a.receives()
		}, false},
	"keep": {"keeps a duplicate of what it sends", onLeak, "open",
		func(a *reply) bool {
			a.has(a.side())
			return a.command.Verb == "send"
		}, false},
	"hide": {"keeps what it sends in flight, in a message to itself", onLeak, "is still open somewhere", func(a *reply) bool {
		a.held = &fact.Held{File: a.fileOf(a.side()).File, Until: a.side()}
		return a.Verb == "ok" && a.command.Verb == "send"
	}, false},
	"mixup": {"reports the descriptors that it sent last as received", onFile, "which it had already", func(a *reply) bool {
		given := a.record.Setup.Given[a.side()]
		return a.fds(func([]string) []string { return []string{strconv.Itoa(given[len(given)-1].FD)} })
	}, false},
	"noappend": {"clears O_APPEND on what it receives", onFile, "O_APPEND", func(a *reply) bool { return a.clears("O_APPEND") }, false},
	"hup": {"reports the end of the connection without reading what is queued", onAnswer, "", func(a *reply) bool {
		a.Said = "ok n=0 payload=- fds=- eof"
		return a.receives() && (a.count() > 0 || len(a.List("fds")) > 0)
	}, false},
	"spare": {"needs a spare descriptor for each receive", onAnswer, "EMFILE", func(a *reply) bool {
		a.Said = "err EMFILE"
		return a.receives()
	}, false},
	"hasty":  {"never waits", onAnswer, "EAGAIN", early, false},
	"sticky": {"leaves its socket non-blocking after a call that must not wait", onAnswer, "EAGAIN", early, false},
	"readv": {"neither passes nor reports flags if there are several buffers, or if no descriptors are requested",
		[]scenario.Check{scenario.CheckAnswer, scenario.CheckHang}, "", func(a *reply) bool {
			if strings.HasPrefix(a.Said, "err EAGAIN") {
				late(a)
				return a.command.Verb == "recv"
			}
			return a.receives() && a.set("flags", "-")
		}, false},
	"garbage": {"answers with binary noise", []scenario.Check{scenario.CheckContract}, "not text", func(a *reply) bool {
		a.missing = &fact.Missing{Side: a.side(), Kind: fact.Broken, Why: `not text: "\x7fELF"`}
		return a.receives()
	}, false},
	"twice": {"repeats each answer", []scenario.Check{scenario.CheckContract}, "must have payload=", another, false},
	"turn": {"answers each command with the previous answer", []scenario.Check{scenario.CheckContract}, "must have n=", func(a *reply) bool {
		a.Said = "ok"
		return a.receives()
	}, false},

	// These are mistakes of the sender, which its partner receives.
	"add": {"sends one byte more than the payload", onAnswer, "", func(a *reply) bool {
		text, ok := a.hex()
		return ok && a.setPayload(text+"21", a.count()+1)
	}, true},
	"drop": {"sends the payload without the descriptors", onAnswer, "", func(a *reply) bool {
		return a.fds(func([]string) []string { return nil }) || a.succeeds()
	}, true},
	"extra": {"also sends its own standard input", onAnswer, "", func(a *reply) bool {
		return a.fds(func(list []string) []string { return append(list, "700") }) || a.succeeds()
	}, true},
	"length": {"sends a control message that is one descriptor too short", onAnswer, "", func(a *reply) bool {
		return a.fds(func(list []string) []string { return list[:max(0, len(list)-1)] }) || a.succeeds()
	}, true},
	"again":  {"sends the rest of a message with the same descriptors again", onAnswer, " descriptors, and not ", more, true},
	"chunk":  {"splits too many descriptors across several messages", onAnswer, "", (*reply).succeeds, false},
	"forget": {"sends the next message without descriptors if a full socket refused some", onAnswer, " descriptors, and not ", none, true},
	"fussy":  {"leaves out terminals, and sockets other than those of a connected Unix pair", onAnswer, " descriptor", none, true},
	"last":   {"sends the descriptors of a stream with the last buffer", onAnswer, " descriptors, and not ", none, true},
	"lazy": {"reports success at once, and sends only at the next command",
		[]scenario.Check{scenario.CheckAnswer, scenario.CheckHang}, "", func(a *reply) bool { return a.succeeds() || late(a) }, true},
	"sort": {"sends descriptors in ascending order", onFile, "is not the open file description of", func(a *reply) bool {
		return a.fds(func(list []string) []string {
			slices.Reverse(list)
			return list
		})
	}, true},
}

// spoil returns a copy of a record in which each answer that can have the fault has it, or nil if there is none.
func (r row) spoil(record *judge.Record) *judge.Record {
	bad := &judge.Record{Setup: record.Setup, Told: slices.Clone(record.Told)}
	commands, before, passed := map[scenario.Role]contract.Line{}, map[scenario.Role][]string{}, map[string]bool{}
	changed := false
	var held *fact.Held
	for i, told := range record.Told {
		if f, ok := told.Fact.(fact.Sent); ok {
			commands[f.Side], _ = contract.ParseLine(f.Text)
		}
		answer, ok := told.Fact.(fact.Answer)
		await, awaited := told.Request.(judge.Await)
		if !ok || !awaited || !r.runner && record.Setup.Case.Scenario.RunByRunner(answer.Side) {
			continue
		}
		seen := record.Told[i+1].Fact.(fact.Observation)
		line, err := contract.ParseLine(answer.Said)
		received := line.List("fds")
		a := &reply{Answer: answer, Observation: seen, Line: line, command: commands[answer.Side], step: await.Step,
			before: before[answer.Side], passed: passed, record: record}
		a.Descriptors, a.States, a.Fields = slices.Clone(seen.Descriptors), slices.Clone(seen.States), maps.Clone(line.Fields)
		if err == nil && r.change(a) {
			changed, held = true, a.held
			bad.Told[i].Fact, bad.Told[i+1].Fact = a.Answer, a.Observation
			if a.missing != nil {
				bad.Told[i].Fact = *a.missing
			}
		}
		if line.Verb == "ok" && commands[answer.Side].Verb == "recv" {
			before[answer.Side] = append(before[answer.Side], received...)
			for _, d := range seen.Descriptors {
				if len(d.Files) > 0 {
					passed[d.Files[0].Name] = true
				}
			}
		}
	}
	if !changed {
		return nil
	}
	for i, told := range bad.Told {
		if _, ok := told.Request.(judge.Watch); ok && held != nil {
			bad.Told[i].Fact = fact.Acted{Held: held}
		}
	}
	return bad
}

// Each scenario that names a row finds its fault.
func TestRows(t *testing.T) {
	told := records(t)
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		t.Run(name, func(t *testing.T) {
			named := 0
			for _, s := range scenarios(t) {
				if !slices.Contains(faultsNamedBy(s), name) {
					continue
				}
				named++
				record := told[s.Name]
				if record == nil {
					continue // this system lacks something
				}
				bad := r.spoil(record)
				if bad == nil {
					t.Errorf("%s has no answer that can have the fault", s.Name)
					continue
				}
				found := bad.Judge(s)
				if !slices.ContainsFunc(found.Findings, func(f scenario.Finding) bool {
					return slices.Contains(r.checks, f.Check) && strings.Contains(f.Text, r.text)
				}) {
					t.Errorf("%s names the fault, but has no %s finding with %q: %v, %s", s.Name, r.checks, r.text, found.Findings, found.Why)
				}
			}
			if named == 0 {
				t.Error("no scenario names the fault")
			}
		})
	}
}

// faultsNamedBy returns the names in a scenario's "Red:" line. The scenario fails with each of them.
func faultsNamedBy(s *scenario.Scenario) []string {
	for _, l := range s.Rule {
		if names, ok := strings.CutPrefix(l, "Red: "); ok {
			return strings.Split(names, ", ")
		}
	}
	return nil
}

// Every peer scenario names at least one fault with which it fails: a row, or a faulty peer. No fault is both.
func TestEveryScenarioNamesItsFault(t *testing.T) {
	peers := fault.All()
	for name := range rows {
		if _, ok := peers[name]; ok {
			t.Errorf("%s is a row, and a faulty peer", name)
		}
	}
	for _, s := range scenarios(t) {
		if s.Kernel() {
			continue
		}
		if len(faultsNamedBy(s)) == 0 {
			t.Errorf(`%s has no "Red:" line with a fault`, s.Name)
		}
		for _, name := range faultsNamedBy(s) {
			_, peer := peers[name]
			if _, row := rows[name]; !row && !peer {
				t.Errorf("%s: no such fault: %s", s.Name, name)
			}
		}
	}
}

// A library may close what it did not return, if its peer reports that.
func TestReportOfClosedDescriptors(t *testing.T) {
	told := records(t)
	for _, name := range []string{"truncation/ctrunc-three-into-one", "credentials/scm-pidfd-live"} {
		record := told[name]
		if record == nil {
			continue // this system lacks something
		}
		r := row{change: func(a *reply) bool {
			return a.fds(func(list []string) []string { return append(list[:1], "closed:1") })
		}}
		bad := r.spoil(record)
		if found := bad.Judge(record.Setup.Case.Scenario); len(found.Findings) > 0 || found.Verdict != "" {
			t.Errorf("%s: %+v", name, found)
		}
	}
}
