//go:build linux

package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// Torture: each system call of each call of the API fails in each way that it
// could, and the process dies before and after each. The law of descriptors holds
// all the same. SCM_TORTURE=full does it with every errno on every type of socket.

// play makes one run of a child with a fault.
func (op operation) play(strace, network string, f fault) (o outcome) {
	GinkgoHelper()
	o.fault = f
	folder, err := os.MkdirTemp("", "scm")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = os.RemoveAll(folder) }()
	t, sock, cargo := newTortured(op, network)
	defer t.close()

	// The child is lent its files by a message: what it inherited, strace would have too.
	talk, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	partner, childEnd := os.NewFile(uintptr(talk[0]), "partner"), os.NewFile(uintptr(talk[1]), "child")
	defer func() { _ = partner.Close() }()
	Expect(unix.Sendmsg(talk[0], []byte{0}, unix.UnixRights(sock, cargo), nil, 0)).To(Succeed())
	_, _ = unix.Close(sock), unix.Close(cargo)

	record := filepath.Join(folder, "record")
	options := []string{"-n", "-s", "8", "-o", record}
	switch {
	case f.kill:
		options = append(options, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", f.call, f.nth))
	case f.call != "":
		options = append(options, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", f.call, unix.ErrnoName(f.errno), f.nth))
	}
	cmd := ChildCommand(tortureChild, op.name, network, folder, strconv.Itoa(int(f.errno)), f.call)
	ChildUnder(cmd, strace, options...)
	cmd.ExtraFiles = []*os.File{childEnd}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1")
	Expect(cmd.Start()).To(Succeed())
	_ = childEnd.Close()

	// What it says, or the end if it does not live to say anything.
	var report tortureReport
	switch err := json.NewDecoder(partner).Decode(&report); {
	case err == nil:
		o.report = &report
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, unix.ECONNRESET):
		o.failure = err.Error()
	}
	// It lives on while the partner looks, so that what it has not closed is open.
	// What strace kept it from closing is no leak of its own, and a leak that it
	// tells of itself needs no wait to be found.
	if f.call == "close" || o.report != nil &&
		(len(o.report.Left) > len(o.report.Returned) || o.report.Err != "" && len(o.report.Left) > 0) {
		_ = partner.Close()
	}
	o.seen = t.drains()
	for i, w := range t.witnesses {
		n, err := w.ended()
		if err != nil {
			o.leaks = append(o.leaks, fmt.Sprintf("file %d (%s): %v", i, w.kind, err))
		}
		o.arrivals = append(o.arrivals, n)
	}
	_ = partner.Close()
	err = cmd.Wait()
	o.failure += fmt.Sprint(err, " ", &stderr)
	text, err := os.ReadFile(record)
	Expect(err).NotTo(HaveOccurred())
	o.record = parseRecord(string(text))
	return o
}

// some are few of the errors of a system call: those that can be no error, and one
// that is.
func (op operation) some(c tracedCall, errnos []unix.Errno, which int) (few []unix.Errno) {
	var plain []unix.Errno
	for _, errno := range errnos {
		if errno == unix.EINTR || slices.Contains(op.retries[c.kind()], errno) {
			few = append(few, errno)
		} else {
			plain = append(plain, errno)
		}
	}
	if len(plain) == 0 {
		return few
	}
	return append(few, plain[which%len(plain)])
}

// faults are those to put into a call that makes these system calls: all, or some.
func (op operation) faults(r tortureRecord, all bool) (faults []fault, unknown []string) {
	for i, c := range r.calls {
		errnos, ok := plausible[c.kind()]
		if !ok {
			unknown = append(unknown, c.kind())
		}
		if !all {
			errnos = op.some(c, errnos, len(op.name)+i)
		}
		for _, errno := range errnos {
			if op.spares[c.kind()] != "" || op.spares[c.kind()+" "+unix.ErrnoName(errno)] != "" {
				continue
			}
			if strings.Contains(c.line, " = -1 "+unix.ErrnoName(errno)+" ") {
				continue // it is what the kernel says without a fault
			}
			faults = append(faults, fault{call: c.traced, kind: c.kind(), nth: c.ordinal, place: i, errno: errno})
		}
		faults = append(faults, fault{call: c.traced, kind: c.kind(), nth: c.ordinal, place: i, kill: true})
	}
	return append(faults, fault{call: "getsid", kind: "the mark", nth: 1, place: len(r.calls), kill: true}), unknown
}

// oneCall is what the partner receives of one call, from the table, or for a format
// from its own sender.
func (op operation) oneCall(network string) seen {
	GinkgoHelper()
	one := seen{bytes: strings.Repeat(op.sends.payload, max(op.sends.count, 1)), files: op.sends.files * op.sends.messages()}
	if op.sends.format == nil {
		return one
	}
	t, sock, cargo := newTortured(op, network)
	defer t.close()
	Expect(op.sends.format.Send(wire.FD(sock), op.sends.payload, cargo)).To(Succeed())
	_, _ = unix.Close(sock), unix.Close(cargo)
	return t.drains()
}

// torture makes every run of an operation on a network, and returns how many there
// were and what went wrong.
func (op operation) torture(strace, network string, all bool) (runs int64, wrong []string) {
	GinkgoHelper()
	one := op.oneCall(network)
	plain := op.play(strace, network, fault{})
	plain.one = one
	if plain.report != nil && plain.report.Unsupported {
		Skip("this kernel has no such option: " + plain.report.Err)
	}
	for _, v := range plain.violations(op) {
		wrong = append(wrong, network+", no fault: "+v)
	}
	if len(plain.record.calls) == 0 {
		wrong = append(wrong, network+": the call makes no system call")
	}
	faults, unknown := op.faults(plain.record, all)
	if len(unknown) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s: no errno is known of %v", network, unknown))
	}

	var made atomic.Int64
	var mutex sync.Mutex
	var workers sync.WaitGroup
	next := make(chan fault)
	for range runtime.NumCPU() {
		workers.Add(1)
		go func() {
			defer workers.Done()
			defer GinkgoRecover()
			for f := range next {
				o := op.play(strace, network, f)
				for range 5 {
					if !o.missed() {
						break
					}
					o = op.play(strace, network, f)
				}
				made.Add(1)
				o.one = one
				found := o.violations(op)
				if o.missed() {
					found = append(found, "the fault did not hit")
				}
				mutex.Lock()
				for _, v := range found {
					wrong = append(wrong, fmt.Sprintf("%s, %v: %s", network, f, v))
				}
				mutex.Unlock()
			}
		}()
	}
	for _, f := range faults {
		mutex.Lock()
		enough := len(wrong) > 9 // what hangs takes its time
		mutex.Unlock()
		if enough {
			break
		}
		next <- f
	}
	close(next)
	workers.Wait()
	slices.Sort(wrong)
	return made.Load() + 1, wrong
}

func tortureInFull() bool { return os.Getenv("SCM_TORTURE") == "full" }

var _ = Describe("torture", Label("torture"), func() {
	BeforeEach(func() { CannotEmulate(fdtest.Traced) })

	for _, op := range operations {
		It("leaves nothing and loses nothing in "+op.name, func() {
			strace := FindStrace()
			networks := op.networks
			if networks == nil {
				networks = allNetworks
			}
			if !tortureInFull() {
				networks = networks[:1]
			}
			var runs int64
			for _, network := range networks {
				n, wrong := op.torture(strace, network, tortureInFull())
				runs += n
				Expect(wrong).To(BeEmpty())
			}
			AddReportEntry("runs", runs, ReportEntryVisibilityNever)
			tortureRuns.Add(runs)
		})
	}
})

// tortureRuns is how many there were, told at the end.
var tortureRuns atomic.Int64

var _ = ReportAfterSuite("torture", func(Report) {
	if n := tortureRuns.Load(); n > 0 {
		fmt.Printf("torture: %d runs\n", n)
	}
})
