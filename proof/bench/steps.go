//go:build linux && cgo

package main

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// stepped is the environment variable that makes this program the process whose instructions are counted.
const stepped = "SCM_BENCH_STEPPED"

// counted reports whether the instructions of a load are counted. Stepping through larger loads would take too long.
func (l load) counted() bool { return !l.echo && l.goroutines == 1 && l.count == 1 }

// countInstructions sets the number of instructions per pass in user space. Another process of this program makes
// no pass and one pass of each way and load, three times each. This process steps through them, and the
// difference is one pass. Not every virtual machine has the processor's counters.
func countInstructions(rows []row) {
	counts := step()
	for i := range rows {
		if rows[i].counted {
			rows[i].Instructions = quantile(counts[3:6], 0.5) - quantile(counts[:3], 0.5)
			counts = counts[6:]
		}
	}
}

// beCounted makes these passes, in the order of the rows.
func beCounted(ways []way) {
	mark(unix.SIGHUP)
	// Only this thread runs from now on, so nothing else can take the goroutine. While locked, it could not
	// yield: it would wait for a frozen thread to hand the processor back.
	runtime.UnlockOSThread()
	for _, l := range loads {
		for _, w := range l.of(ways) {
			if !l.counted() {
				continue
			}
			loop := l.loop(w.loop)
			loop(500) // fill the pools
			for _, n := range []int{0, 0, 0, 1, 1, 1} {
				mark(unix.SIGUSR1)
				loop(n)
				mark(unix.SIGUSR1)
			}
		}
	}
	mark(unix.SIGUSR2)
}

// mark sends this thread a signal that the counting process sees: SIGHUP before the first loop, SIGUSR1 before and
// after each loop, and SIGUSR2 after the last one.
func mark(signal syscall.Signal) { check(unix.Tgkill(os.Getpid(), unix.Gettid(), signal)) }

// step counts the instructions between two marks of another process.
func step() (counts []float64) {
	runtime.LockOSThread() // only the thread that started the child may trace it
	defer runtime.UnlockOSThread()
	defer onOneProcessor()() // a step is ten times as fast
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), stepped+"=1", "GOGC=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	cmd.Stderr = os.Stderr
	// without Pdeathsig it would continue untraced
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	check(cmd.Start())
	for pid, steps, counting := cmd.Process.Pid, 0, false; ; {
		var status unix.WaitStatus
		if must(unix.Wait4(-1, &status, unix.WALL, nil)) != pid {
			continue // a frozen thread, which ends with the process
		}
		signal := status.StopSignal()
		switch signal {
		case unix.SIGHUP:
			freeze(pid)
			signal = 0
		case unix.SIGUSR1:
			if counting {
				counts = append(counts, float64(steps))
			}
			counting, steps, signal = !counting, 0, 0
		case unix.SIGUSR2:
			check(cmd.Process.Kill())
			return counts
		case unix.SIGTRAP:
			steps, signal = steps+1, 0
		}
		if counting && signal == 0 {
			check(unix.PtraceSingleStep(pid))
		} else {
			check(unix.PtraceCont(pid, int(signal)))
		}
	}
}

// onOneProcessor keeps this process, and the processes that it starts, on one processor until back is called.
func onOneProcessor() (back func()) {
	var all unix.CPUSet
	check(unix.SchedGetaffinity(0, &all))
	one := all
	for cpu := 0; one.Count() > 1; cpu++ {
		one.Clear(cpu)
	}
	use := func(set *unix.CPUSet) {
		for _, tid := range must(procfs.Tasks(procfs.Self)) {
			check(unix.SchedSetaffinity(tid, set))
		}
	}
	use(&one)
	return func() { use(&all) }
}

// freeze stops all other threads for good, because the scheduler would interrupt a pass that is stepped through. A
// thread that is not asleep may hold a lock of the runtime, so freeze lets it continue until it sleeps.
func freeze(pid int) {
	for _, tid := range must(procfs.Tasks(pid)) {
		for frozen := tid == pid; !frozen; {
			check(unix.PtraceAttach(tid))
			must(unix.Wait4(tid, nil, unix.WALL, nil))
			if frozen = asleep(tid); !frozen {
				check(unix.PtraceDetach(tid))
			}
		}
	}
}

// asleep reports whether a stopped thread was in one of the system calls in which the runtime waits.
func asleep(tid int) bool {
	call, waits, err := procfs.ReadSyscall(tid)
	check(err)
	return waits && slices.Contains([]int{unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_EPOLL_PWAIT}, call.Number)
}
