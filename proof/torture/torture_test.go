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

// The specs call each function of the API in a child process. strace makes one of the
// child's system calls fail, or kills the child before it. Whatever happens, no descriptor
// may leak, be closed twice or be lost. By default each system call fails with a sample of
// errnos on one type of socket. With SCM_TORTURE=full it fails with every plausible errno
// on every type of socket.

// runChild runs the operation once in a child process, with a fault.
func (op operation) runChild(strace, network string, f fault) (o outcome) {
	GinkgoHelper()
	o.fault = f
	folder := OK(os.MkdirTemp("", "scm"))
	defer func() { _ = os.RemoveAll(folder) }()
	t, sock, cargo := newPartner(op, network)
	defer t.close()

	// The child receives its files in a message. If it inherited them, strace would hold them too.
	pair := OK(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	partner, childEnd := os.NewFile(uintptr(pair[0]), "partner"), os.NewFile(uintptr(pair[1]), "child")
	defer func() { _ = partner.Close() }()
	Expect(unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(sock, cargo), nil, 0)).To(Succeed())
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

	// Read the child's report. A child that was killed sends none.
	var report tortureReport
	switch err := json.NewDecoder(partner).Decode(&report); {
	case err == nil:
		o.report = &report
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, unix.ECONNRESET):
		o.failure = err.Error()
	}
	// The child stays alive while the partner waits for the files to be closed, so that a
	// leaked descriptor stays open. Two cases let the child exit first. If strace kept close
	// from running, the descriptor that stays open is not a leak. If the report already lists
	// a leak, waiting for it would only take time.
	if f.call == "close" || o.report != nil &&
		(len(o.report.Opened) > len(o.report.Returned) || o.report.Err != "" && len(o.report.Opened) > 0) {
		_ = partner.Close()
	}
	o.received = t.receiveAll()
	for i, w := range t.witnesses {
		n, err := w.waitUntilClosed()
		if err != nil {
			o.leaks = append(o.leaks, fmt.Sprintf("file %d (%s): %v", i, w.kind, err))
		}
		o.arrivals = append(o.arrivals, n)
	}
	_ = partner.Close()
	o.failure += fmt.Sprint(cmd.Wait(), " ", &stderr)
	text := OK(os.ReadFile(record))
	o.record = parseRecord(string(text))
	return o
}

// sampleErrnos returns some of the errnos of a system call: each one that the operation may
// retry, and one of the others.
func (op operation) sampleErrnos(c tracedCall, errnos []unix.Errno, which int) (few []unix.Errno) {
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

// faults returns the faults to inject into an operation that makes the recorded system
// calls, with all plausible errnos or a sample. unknown lists the system calls without a
// table of errnos.
func (op operation) faults(r tortureRecord, all bool) (faults []fault, unknown []string) {
	for i, c := range r.calls {
		errnos, ok := plausible[c.kind()]
		if !ok {
			unknown = append(unknown, c.kind())
		}
		if !all {
			errnos = op.sampleErrnos(c, errnos, len(op.name)+i)
		}
		for _, errno := range errnos {
			if op.notInjected[c.kind()] != "" || op.notInjected[c.kind()+" "+unix.ErrnoName(errno)] != "" {
				continue
			}
			if strings.Contains(c.line, " = -1 "+unix.ErrnoName(errno)+" ") {
				continue // the call fails with this errno anyway
			}
			faults = append(faults, fault{call: c.traced, kind: c.kind(), nth: c.ordinal, place: i, errno: errno})
		}
		faults = append(faults, fault{call: c.traced, kind: c.kind(), nth: c.ordinal, place: i, kill: true})
	}
	return append(faults, fault{call: "getsid", kind: "the mark", nth: 1, place: len(r.calls), kill: true}), unknown
}

// trafficOfOneCall returns what the partner receives if the operation succeeds once. It
// is calculated from the table or, for a wire format, observed by sending the message here.
func (op operation) trafficOfOneCall(network string) traffic {
	GinkgoHelper()
	if op.sends.format == nil {
		return traffic{bytes: op.sends.payload, files: op.sends.files}
	}
	t, sock, cargo := newPartner(op, network)
	defer t.close()
	Expect(op.sends.format.Send(wire.FD(sock), op.sends.payload, cargo)).To(Succeed())
	_, _ = unix.Close(sock), unix.Close(cargo)
	return t.receiveAll()
}

// runFault runs an operation with a fault, and again if the fault missed its call. The runtime's own calls on the
// thread are counted too, and the recorded run may have had more.
func (op operation) runFault(strace, network string, f fault) outcome {
	GinkgoHelper()
	o := op.runChild(strace, network, f)
	for range 5 {
		if !o.missed() {
			break
		}
		if f.place < len(o.record.calls) {
			f.nth = o.record.calls[f.place].ordinal
		}
		o = op.runChild(strace, network, f)
	}
	return o
}

// runAllFaults runs an operation on a network without a fault and then once with each
// fault. It returns the number of runs and everything that went wrong.
func (op operation) runAllFaults(strace, network string, all bool) (runs int64, wrong []string) {
	GinkgoHelper()
	oneCall := op.trafficOfOneCall(network)
	plain := op.runChild(strace, network, fault{})
	plain.oneCall = oneCall
	if plain.report != nil && plain.report.Unsupported {
		Skip("the kernel does not support it: " + plain.report.Err)
	}
	for _, v := range plain.violations(op) {
		wrong = append(wrong, network+", no fault: "+v)
	}
	if len(plain.record.calls) == 0 {
		wrong = append(wrong, network+": the operation makes no system call")
	}
	faults, unknown := op.faults(plain.record, all)
	if len(unknown) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s: plausible has no errnos for %v", network, unknown))
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
				o := op.runFault(strace, network, f)
				made.Add(1)
				o.oneCall = oneCall
				found := o.violations(op)
				if o.missed() {
					found = append(found, "the fault was not injected at the intended call")
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
		enough := len(wrong) > 9 // each of them may have taken until a time limit
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

var _ = It("a fault is injected although the runtime made fewer calls than before", Label("torture"), func() {
	CannotEmulate(fdtest.Traced)
	op := operations[slices.IndexFunc(operations, func(op operation) bool { return op.name == "Conn.Write" })]
	faults, _ := op.faults(op.runChild(FindStrace(), "unix", fault{}).record, false)
	faults[0].nth++
	Expect(op.runFault(FindStrace(), "unix", faults[0]).missed()).To(BeFalse())
})

func tortureInFull() bool { return os.Getenv("SCM_TORTURE") == "full" }

var _ = Describe("torture", Label("torture"), func() {
	BeforeEach(func() { CannotEmulate(fdtest.Traced) })

	for _, op := range operations {
		It(op.name+" leaks and loses nothing if a system call fails or the process is killed", func() {
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
				n, wrong := op.runAllFaults(strace, network, tortureInFull())
				runs += n
				Expect(wrong).To(BeEmpty())
			}
			AddReportEntry("runs", runs, ReportEntryVisibilityNever)
			tortureRuns.Add(runs)
		})
	}
})

// tortureRuns counts the runs of all specs, to be printed at the end.
var tortureRuns atomic.Int64

var _ = ReportAfterSuite("torture", func(Report) {
	if n := tortureRuns.Load(); n > 0 {
		fmt.Printf("torture: %d runs\n", n)
	}
})
