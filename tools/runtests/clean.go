//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killLeft kills the processes that tests left running: those whose TMPDIR is the directory or below it.
func (r *run) killLeft(dir string) {
	r.Lock()
	quiet := r.interrupted != nil
	r.Unlock()
	said := map[int]bool{}
	for range 100 {
		left := processes(dir)
		if len(left) == 0 {
			break
		}
		for pid, command := range left {
			if unix.Kill(pid, unix.SIGKILL) == nil && !quiet && !said[pid] {
				said[pid] = true
				r.screen.printf("killed a process that the tests left running: %d %s", pid, command)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// clean kills the processes that tests left running, and removes the directory.
func (r *run) clean() {
	r.killLeft(r.temporary)
	// Never remove the files of a file system that a test has mounted.
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	dir, err := filepath.EvalSymlinks(r.temporary)
	r.note(err)
	for _, mount := range mountsBelow(dir, string(mounts)) {
		if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil {
			r.note(fmt.Errorf("%s is left: umount %s: %w", r.temporary, mount, err))
			return
		}
	}
	r.note(os.RemoveAll(r.temporary))
}

// mountsBelow returns the places below a directory, in the order in which they can be unmounted, from the text of
// mountinfo, as proc_pid_mountinfo(5) describes it.
func mountsBelow(dir, mountinfo string) (places []string) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for _, line := range slices.Backward(strings.Split(mountinfo, "\n")) {
		if fields := strings.Fields(line); len(fields) > 4 {
			if place := unescape.Replace(fields[4]); strings.HasPrefix(place, dir+"/") {
				places = append(places, place)
			}
		}
	}
	return places
}

// processes returns the processes whose TMPDIR is the directory or below it, except those that have ended, and their
// commands.
func processes(dir string) map[int]string {
	left := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		environment, _ := os.ReadFile(file) // empty if the process has ended or belongs to another user
		if !bytes.Contains(environment, []byte("TMPDIR="+dir+"/")) && !bytes.Contains(environment, []byte("TMPDIR="+dir+"\x00")) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			left[pid] = strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return left
}
