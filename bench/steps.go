//go:build linux && cgo

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stepped is the variable that makes this program the one whose instructions are counted.
const stepped = "SCM_BENCH_STEPPED"

// countInstructions gives the rows those of a pass in user space. Another process of this program makes
// one pass, and two, of each way and load, thrice: the difference is what it steps through. Counters of the
// processor are not in every virtual machine.
func countInstructions(rows []row, ways []way) {
	var loops []loop
	var names [][2]string
	inside := os.Getenv(stepped) != ""
	for _, l := range loads {
		if l.echo || l.goroutines > 1 || l.count > 1 {
			continue // to step through more takes long
		}
		for _, w := range l.of(ways) {
			names = append(names, [2]string{l.name, w.name})
			if inside {
				loops = append(loops, l.loop(w.loop))
			}
		}
	}
	if inside {
		time.Sleep(20 * time.Millisecond) // until no other thread has one of the runtime's locks
		for _, loop := range loops {
			loop(500) // fills the pools
			for _, n := range []int{1, 1, 1, 2, 2, 2} {
				mark()
				loop(n)
				mark()
			}
		}
		select {} // until it is killed
	}
	counts := step(6 * len(names))
	for i, name := range names {
		if j := slices.IndexFunc(rows, func(r row) bool { return r.Load == name[0] && r.Way == name[1] }); j >= 0 {
			rows[j].Instructions = quantile(counts[6*i+3:][:3], 0.5) - quantile(counts[6*i:][:3], 0.5)
		}
	}
}

// mark tells the process that counts: a loop begins, or has ended.
func mark() { check(unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1)) }

// step counts the instructions between n marks of another process and the next ones.
func step(n int) (counts []float64) {
	runtime.LockOSThread() // it alone may trace
	defer runtime.UnlockOSThread()
	var all, first unix.CPUSet // on one processor a step takes a tenth of the time
	check(unix.SchedGetaffinity(0, &all))
	for cpu := 0; first.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			first.Set(cpu)
		}
	}
	check(unix.SchedSetaffinity(0, &first))
	defer func() { check(unix.SchedSetaffinity(0, &all)) }()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), stepped+"=1", "GOGC=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	check(cmd.Start())
	pid, steps, counting := cmd.Process.Pid, 0, false
	for len(counts) < n {
		var status unix.WaitStatus
		must(unix.Wait4(pid, &status, 0, nil))
		signal := 0
		switch status.StopSignal() {
		case -1:
			panic("the process whose instructions are counted has ended")
		case unix.SIGUSR1:
			if counting {
				counts = append(counts, float64(steps))
			} else if len(counts) == 0 {
				freeze(pid)
			}
			counting, steps = !counting, 0
		case unix.SIGTRAP:
			steps++
		default:
			signal = int(status.StopSignal())
		}
		if counting {
			_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SINGLESTEP, uintptr(pid), 0, uintptr(signal), 0, 0)
			if errno != 0 {
				panic(errno)
			}
		} else {
			check(unix.PtraceCont(pid, signal))
		}
	}
	check(cmd.Process.Kill())
	return counts
}

// freeze stops all other threads for good: the scheduler would interrupt a pass that takes so long.
func freeze(pid int) {
	for _, thread := range must(filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*")) {
		if tid := must(strconv.Atoi(filepath.Base(thread))); tid != pid {
			check(unix.PtraceAttach(tid))
			must(unix.Wait4(tid, nil, unix.WALL, nil))
		}
	}
}
