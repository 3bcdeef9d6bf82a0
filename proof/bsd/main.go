//go:build linux

// Command bsd runs a program for NetBSD in an emulated machine, for go test:
//
//	GOOS=netbsd GOARCH=amd64 go test -exec 'bsd [-user UID] KERNEL INIT' PACKAGE…
//
// KERNEL is a file with a kernel of NetBSD/amd64, which can be compressed with gzip or xz. INIT is the program
// proof/machine/init. The program runs in a copy of the current directory, of whose subdirectories only testdata is
// copied. The machine has no other programs, and no libc.
//
// If the program does not end, bsd prints everything that appeared on the console.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/machine"
	"github.com/scm-rights/scm/proof/machine/console"
	"github.com/scm-rights/scm/proof/must"
)

// grub has the modules of GRUB that read a compressed kernel from the root directory, and boots it.
var grub = []string{"biosdisk", "ufs1", "gzio", "xzio", "bsd", "boot", "serial", "terminal", "reboot"}

const grubConfig = `serial
terminal_output serial
knetbsd (hd0)/netbsd --serial=com0 -r wd0d
boot
reboot
`

// devices are the files in /dev, for makefs.
const devices = `#mtree
/set type=char uid=0 gid=0 mode=0666
.             type=dir mode=0755
./dev         type=dir mode=0755
./dev/console device=netbsd,0,0
./dev/tty     device=netbsd,1,0
./dev/null    device=netbsd,2,2
./dev/zero    device=netbsd,2,12
`

func main() {
	user := flag.String("user", "1000", "run the program as the user with this `number`")
	flag.Parse()
	signaled, _ := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGQUIT)
	go func() {
		<-signaled.Done()
		machine.Stop()
	}()
	must.Main("bsd", func() { run(*user, flag.Arg(0), flag.Arg(1), flag.Args()[2:]) })
}

// run runs the program, and fails if the program does.
func run(user, kernel, init string, program []string) {
	var log bytes.Buffer
	words := append([]string{"/sbin/init", "as", user, "/bin/program"}, program[1:]...)
	if bytes.Contains(must.Get(os.ReadFile(program[0])), []byte("/onsi/ginkgo/v2")) {
		words = append(words, "-ginkgo.v") // prints the name of each spec before it runs
	}
	m := machine.Machine{Commands: [][]string{words}, Log: &log, Limit: 15 * time.Minute}
	results, err := m.Emulate(func(dir string, commands *console.Commands) []string {
		for name, file := range map[string]string{"netbsd": kernel, "sbin/init": init, "bin/program": program[0]} {
			write(filepath.Join(dir, "root", name), must.Get(os.ReadFile(file)))
		}
		write(filepath.Join(dir, "root/commands"), must.Get(json.Marshal(commands)))
		return prepare(dir)
	})
	if err != nil {
		must.Failf("%w\n%s", err, &log)
	}
	fmt.Printf("%s", results[0].Files["log"])
	if failure := results[0].Error; failure != "" {
		must.Failf("%s", failure)
	}
}

func write(name string, data []byte) {
	must.OK(os.MkdirAll(filepath.Dir(name), 0o755))
	must.OK(os.WriteFile(name, data, 0o755))
}

// prepare completes the root directory in dir, makes a disk of it, and returns the command of the emulator.
func prepare(dir string) []string {
	root, image, config, loader := filepath.Join(dir, "root"), filepath.Join(dir, "image"), filepath.Join(dir, "config"), filepath.Join(dir, "grub")
	for _, name := range []string{"tmp", "out", "src"} {
		must.OK(os.MkdirAll(filepath.Join(root, name), 0o755))
	}
	for _, entry := range must.Get(os.ReadDir(".")) {
		if entry.Type().IsRegular() {
			write(filepath.Join(root, "src", entry.Name()), must.Get(os.ReadFile(entry.Name())))
		} else if entry.Name() == "testdata" {
			must.OK(os.CopyFS(filepath.Join(root, "src/testdata"), os.DirFS("testdata")))
		}
	}
	write(config, []byte(devices))
	must.Run(exec.Command("makefs", "-t", "ffs", "-F", config, image, root))
	write(config, []byte(grubConfig))
	const folder = "/usr/lib/grub/i386-pc"
	must.Run(exec.Command("grub-mkimage", append([]string{"-O", "i386-pc", "-d", folder, "-p", "/", "-c", config, "-o", loader}, grub...)...))
	// With this in front, GRUB boots like Linux.
	write(loader, append(must.Get(os.ReadFile(folder+"/lnxboot.img")), must.Get(os.ReadFile(loader))...))
	return []string{"qemu-system-x86_64", "-M", "pc", "-serial", "stdio", "-kernel", loader, "-drive", "format=raw,file=" + image}
}
