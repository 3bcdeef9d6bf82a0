//go:build linux

// Package machine boots a kernel in an emulated machine, runs commands in it, and returns the files
// that they wrote.
//
//	fetch.go      downloads Debian packages from a mirror
//	tree.go       the files of the machine, as an initramfs
//	machine.go    the machine
//	init/         the first process in it, on Linux and NetBSD
//	console/      runs the commands, and returns their results over the serial console
//
// The package installs nothing and does not need root. The machine has one processor, no disk and no network. Its clock
// counts the instructions that it executes (-icount), so calls in it do not time out when the host is busy.
package machine

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/machine/console"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// A Machine describes an emulated machine, which can be booted once.
type Machine struct {
	// Only Run uses these.
	Kernel target.Kernel
	Tree   Tree

	// Commands run one after the other. Files that a command leaves in /out are returned.
	Commands [][]string

	// Init is the program to run as the first process instead of /init. It must start `/init run`, which runs the
	// commands.
	Init string

	// Log receives everything that appears on the console.
	Log io.Writer

	// Limit is the CPU time that the emulator may use; if it is 0, 30 minutes. A machine that hangs uses up its limit,
	// because its clock does not wait for the host's.
	Limit time.Duration

	// CPU is the CPU time of the emulator. Run sets it.
	CPU time.Duration
}

// A Result is the result of one command.
type Result = console.Result

// Stop ends stopped. Each Run holds running until it has removed its files.
var (
	stopped, stop = context.WithCancel(context.Background())
	running       sync.RWMutex
)

// Stop stops all machines and downloads, and waits until their files are removed. No machine can be booted afterwards.
func Stop() {
	stop()
	running.Lock()
}

// Run boots Linux in the machine, and returns the results of the commands. If the machine stops too early, Run returns
// an error and the results so far.
func (m *Machine) Run() ([]Result, error) {
	hardware, err := target.MachineFor(m.Kernel.Arch)
	if err != nil {
		return nil, err
	}
	// Older kernels disable memfd_secret by default.
	boot := "quiet panic=-1 mitigations=off secretmem.enable=1 console=" + hardware.Console
	if m.Init != "" {
		boot += " rdinit=" + m.Init
	}
	return m.Emulate(func(dir string, commands *console.Commands) []string {
		m.prepare(dir, commands)
		return append(hardware.Command[:len(hardware.Command):len(hardware.Command)],
			"-kernel", filepath.Join(dir, "kernel"), "-initrd", filepath.Join(dir, "tree"), "-append", boot)
	})
}

// Emulate is Run for any system. prepare writes the files of the machine to a temporary directory, and returns the
// command of the emulator.
func (m *Machine) Emulate(prepare func(dir string, commands *console.Commands) []string) ([]Result, error) {
	running.RLock()
	defer running.RUnlock()
	dir, err := os.MkdirTemp("", "machine")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	commands := &console.Commands{Mark: rand.Text(), List: m.Commands}
	var emulator []string
	if err := must.Try(func() { emulator = prepare(dir, commands) }); err != nil {
		return nil, err
	}
	args := append(emulator[1:], "-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1", "-m", "1024", "-nographic", "-nodefaults", "-no-reboot")
	return m.start(exec.CommandContext(stopped, emulator[0], args...), commands)
}

// prepare writes the kernel and the tree to files, and adds the first process to the tree.
func (m *Machine) prepare(dir string, commands *console.Commands) {
	kernel := image(m.Kernel)
	init := filepath.Join(dir, "init")
	must.Run(target.Go(m.Kernel.Arch, "", "build", "-C", "proof", "-o", init, "./machine/init"))
	// The kernel opens /dev/console for the first process before that process can mount devtmpfs.
	m.Tree.add("dev/console", node{mode: device | 0o600, major: 5, minor: 1})
	m.Tree.Write("commands", 0o644, must.Get(json.Marshal(commands)))
	m.Tree.Copy("init", init)
	must.OK(os.WriteFile(filepath.Join(dir, "kernel"), kernel, 0o666))
	must.OK(os.WriteFile(filepath.Join(dir, "tree"), m.Tree.cpio(), 0o666))
}

// start runs the emulator, and reads what the machine prints.
func (m *Machine) start(emulator *exec.Cmd, commands *console.Commands) ([]Result, error) {
	var errs bytes.Buffer
	emulator.Stderr = &errs
	out, err := emulator.StdoutPipe()
	if err == nil {
		err = emulator.Start()
	}
	if err != nil {
		return nil, err
	}
	limit := cmp.Or(m.Limit, 30*time.Minute)
	// At Cur, the kernel sends SIGXCPU, which distinguishes this end from others. At Max, it would send SIGKILL.
	most := &unix.Rlimit{Cur: uint64(limit.Seconds()), Max: uint64(limit.Seconds()) + 10}
	unlimited := unix.Prlimit(emulator.Process.Pid, unix.RLIMIT_CPU, most, nil)
	results, err := commands.Read(io.TeeReader(out, m.Log))
	if err == nil || errors.Is(err, console.ErrRead) {
		_ = emulator.Process.Kill() // nothing reads its output from here on, and some machines take a minute to turn off
	}
	ended := emulator.Wait()
	if err != nil && ended != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w: %s", emulator.Args[0], ended, &errs))
	}
	m.CPU = emulator.ProcessState.UserTime() + emulator.ProcessState.SystemTime()
	if status, ok := emulator.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == unix.SIGXCPU {
		err = errors.Join(err, fmt.Errorf("the limit of the emulator is %v of CPU time", limit))
	}
	return results, errors.Join(unlimited, err)
}
