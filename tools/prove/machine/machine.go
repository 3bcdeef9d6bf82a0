//go:build linux

package machine

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/target"
)

// A Machine is started once.
type Machine struct {
	Kernel target.Kernel
	Tree   Tree

	// Commands run one after the other. Files that a command leaves in /out are returned.
	Commands [][]string

	// Init is the first process, if it is not the package's own, which runs the commands.
	Init string

	// Log receives everything that appears on the console.
	Log io.Writer
}

// A Result is the result of a command in the machine.
type Result struct {
	Error string            // "", or why the command failed
	Files map[string][]byte // by name
}

// limit is the CPU time that the emulator may use. A machine that hangs uses it up quickly, because its clock
// does not wait for the host's.
const limit = 30 * time.Minute

// Run boots the machine. It returns the results of the commands, fewer than there are commands if the machine
// stopped too early, which is an error.
func (m *Machine) Run() ([]Result, error) {
	hardware, err := target.MachineFor(m.Kernel.Arch)
	if err != nil {
		return nil, err
	}
	kernel, err := image(m.Kernel)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "machine")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// The kernel opens the console for the first process, before that can mount anything.
	m.Tree.add("dev/console", node{mode: device | 0o600, major: 5, minor: 1})
	if m.Init == "" {
		if err := m.addInit(filepath.Join(dir, "init")); err != nil {
			return nil, err
		}
	}
	kernelFile, tree := filepath.Join(dir, "kernel"), filepath.Join(dir, "initrd")
	if err := os.WriteFile(kernelFile, kernel, 0o666); err != nil {
		return nil, err
	}
	if err := os.WriteFile(tree, m.Tree.cpio(), 0o666); err != nil {
		return nil, err
	}
	// memfd_secret has to be enabled until Linux 6.6.
	boot := "quiet panic=-1 mitigations=off secretmem.enable=1 console=" + hardware.Console
	if m.Init != "" {
		boot += " rdinit=" + m.Init
	}
	args := append(hardware.Command[1:len(hardware.Command):len(hardware.Command)],
		"-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1", "-m", "1024", "-nographic", "-nodefaults", "-no-reboot",
		"-kernel", kernelFile, "-initrd", tree, "-append", boot)
	return m.start(exec.Command(hardware.Command[0], args...))
}

// addInit builds the first process.
func (m *Machine) addInit(file string) error {
	build := target.Go(m.Kernel.Arch, "", "build", "-o", file, "./tools/prove/machine/init")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	commands, err := json.Marshal(m.Commands)
	if err != nil {
		return err
	}
	m.Tree.Write("commands", 0o644, commands)
	return m.Tree.Copy("init", file)
}

// start runs the emulator, and reads what the machine prints.
func (m *Machine) start(emulator *exec.Cmd) ([]Result, error) {
	var errs bytes.Buffer
	emulator.Stderr = &errs
	console, err := emulator.StdoutPipe()
	if err == nil {
		err = emulator.Start()
	}
	if err != nil {
		return nil, err
	}
	most := &unix.Rlimit{Cur: uint64(limit.Seconds()), Max: uint64(limit.Seconds())}
	err = unix.Prlimit(emulator.Process.Pid, unix.RLIMIT_CPU, most, nil)
	results, wrong := read(io.TeeReader(console, m.Log))
	if err == nil {
		err = wrong
	}
	if ended := emulator.Wait(); ended != nil {
		return results, fmt.Errorf("%s: %w: %s", emulator.Args[0], ended, &errs)
	}
	if err == nil && m.Init == "" && len(results) != len(m.Commands) {
		err = fmt.Errorf("%s stopped after %d of %d commands", m.Kernel.Name, len(results), len(m.Commands))
	}
	return results, err
}

// read reads the console. On lines of their own, init prints each file (@file NAME, then its contents as
// gzip and base64, then @end), and the end of each command (@ended ERROR).
func read(console io.Reader) ([]Result, error) {
	var results []Result
	files := map[string][]byte{}
	var name string
	var text strings.Builder
	in := bufio.NewReader(console)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return results, nil
		}
		// The kernel may have printed something without the end of a line.
		_, line, marked := strings.Cut(strings.TrimRight(line, "\r\n"), "@@")
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case !marked:
		case word == "file":
			name = rest
			text.Reset()
		case word == "=":
			text.WriteString(rest)
		case word == "end":
			if files[name], err = decode(text.String()); err != nil {
				return results, fmt.Errorf("%s arrived damaged: %w", name, err)
			}
		case word == "ended":
			results = append(results, Result{rest, files})
			files = map[string][]byte{}
		}
	}
}

func decode(text string) ([]byte, error) {
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	in, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(in)
}
