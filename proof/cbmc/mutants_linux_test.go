// Package cbmc tests the proofs of csrc: each must fail for faults that are put into csrc.
package cbmc

import (
	"cmp"
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/mutant"
)

// harnesses lists the files of csrc that are proved, and the harnesses that find a fault in each, the fastest first.
var harnesses = map[string]string{"check.c": "send_0", "close_installed.c": "read_fd", "close_keep_errno.c": "read_fd", "prepare_recv.c": "recv",
	"prepare_send.c": "send_0 send_1 send_3 send_251", "private.h": "write_fd read_fd", "put.c": "write_fd send_3 send_207", "read_fd.c": "read_fd",
	"take.c": "read_fd walk", "take_fds.c": "read_fd take_fds", "write_fd.c": "write_fd"}

// survive says why a fault is not found: it is equivalent, and changes nothing.
var survive = map[string]string{
	"more than the capacity ends the loop": "m->nfds is never more than room",
}

// own lists more faults: what, the file, and an edit.
var own = [][4]string{
	{"more than the capacity ends the loop", "take_fds.c", "if (m->nfds == room)", "if (m->nfds >= room)"},
	{"a descriptor after a rejected one is returned", "take_fds.c", "\t\t\troom = m->nfds;\n", "\t\t\tcontinue;\n"},
	{"close changes errno", "close_keep_errno.c", "\terrno = saved;\n", ""},
	{"the length of a message is trusted", "take.c", "\t\tif (len > left)\n\t\t\tlen = left;\n", ""},
	{"a length that is too short is trusted", "take.c", "\t\tif (len < CMSG_LEN(0))\n\t\t\tbreak;\n", ""},
	{"short credentials are read", "take.c", " && len >= sizeof(struct ucred)", ""},
	{"a second pidfd replaces the first", "take.c", " && *m->pidfd < 0", ""},
	{"messages are not aligned", "take.c", "step = CMSG_SPACE(len - CMSG_LEN(0));", "step = len;"},
	{"SCM_UNPADDED leaves out too much", "prepare_send.c", "CMSG_SPACE(last) - CMSG_LEN(last)", "CMSG_SPACE(last) - last"},
	{"ERESTARTSYS is returned", "private.h", "erestartsys = 512", "erestartsys = 513"},
}

func TestFaults(t *testing.T) {
	if !mutant.Full() {
		t.Skip("make proof-cbmc FULL=1 runs it")
	}
	list := slices.Concat(mutant.By(mutant.Rows), mutant.By(mutant.Specs), mutant.By(mutant.Walk), mutant.By(mutant.Record))
	for _, f := range own {
		list = append(list, mutant.Fault{What: f[0], Edits: []mutant.Edit{{File: "csrc/" + f[1], Old: f[2], New: f[3]}}})
	}
	tried := map[string]bool{}
	list = slices.DeleteFunc(list, func(f mutant.Fault) bool {
		known := tried[f.What] || harnesses[strings.TrimPrefix(f.Edits[0].File, "csrc/")] == ""
		tried[f.What] = tried[f.What] || !known
		return known
	})
	property := regexp.MustCompile(`Violated property:\n.*\n.*|no body for .*`)
	mutant.TryAll(t, 0, list, "../..", func(t *testing.T, f *mutant.Fault, o *mutant.Overlay) (found string, err error) {
		names := strings.Fields(harnesses[strings.TrimPrefix(f.Edits[0].File, "csrc/")])
		for _, file := range o.Replace { // there is one
			cmd := exec.Command("make", append(names, "CI=true", "FAULT="+file, "BUILD="+t.TempDir(), "ARCH="+cmp.Or(f.Arch, "amd64"))...)
			cmd.Env = fdtest.WithoutMake()
			out, err := cmd.CombinedOutput()
			if found = property.FindString(string(out)); err != nil && found == "" {
				return "", errors.New(string(out))
			}
		}
		if why := survive[f.What]; why != "" && found == "" {
			return "nothing: " + why, nil
		} else if why != "" {
			return "", errors.New(found)
		}
		return found, nil
	})
}
