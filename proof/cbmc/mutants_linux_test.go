// Package cbmc tests the proofs of csrc: each must fail for faults that are put into csrc.
package cbmc

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/mutant"
)

// harnesses lists the functions of csrc that are proved, and the harnesses that find a fault in each, the fastest
// first.
var harnesses = map[string]string{
	"read_fd": "read_fd", "write_fd": "write_fd", "scm_result": "write_fd read_fd", "scm_sendmsg": "write_fd",
	"scm_recvmsg": "read_fd", "scm_put": "write_fd send_3 send_207",
	"scm_take": "read_fd walk", "scm_take_fds": "read_fd take_fds", "scm_close_installed": "read_fd", "scm_close_keep_errno": "read_fd",
	"scm_check": "send_0", "scm_prepare_send": "send_0 send_1 send_3 send_251", "scm_prepare_recv": "recv",
}

// definition matches the first line of a function after its type.
var definition = regexp.MustCompile(`(?m)^([a-z_]+)\(`)

// proves returns the harnesses for the function with the first edit of a fault, or "".
func proves(f mutant.Fault) string {
	edit := f.Edits[0]
	text, err := os.ReadFile("../../" + edit.File)
	before, _, found := strings.Cut(string(text), edit.Old)
	names := definition.FindAllStringSubmatch(before, -1)
	if err != nil || !found || !strings.HasPrefix(edit.File, "csrc/") || len(names) == 0 {
		return ""
	}
	return harnesses[names[len(names)-1][1]]
}

// survive says why a fault is not found: it is equivalent, and changes nothing.
var survive = map[string]string{
	"more than the capacity ends the loop": "m->nfds is never more than room",
}

// own lists more faults: what, the file, and an edit.
var own = [][4]string{
	{"more than the capacity ends the loop", "private.h", "if (m->nfds == room)", "if (m->nfds >= room)"},
	{"a descriptor after a rejected one is returned", "private.h", "\t\t\troom = m->nfds;\n", "\t\t\tcontinue;\n"},
	{"close changes errno", "private.h", "\terrno = saved;\n", ""},
	{"the length of a message is trusted", "private.h", "\t\tif (len > left)\n\t\t\tlen = left;\n", ""},
	{"a length that is too short is trusted", "private.h", "\t\tif (len < CMSG_LEN(0))\n\t\t\tbreak;\n", ""},
	{"short credentials are read", "private.h", " && len >= sizeof(struct ucred)", ""},
	{"a second pidfd replaces the first", "private.h", " && *m->pidfd < 0", ""},
	{"messages are not aligned", "private.h", "step = CMSG_SPACE(len - CMSG_LEN(0));", "step = len;"},
	{"SCM_UNPADDED leaves out too much", "scm_rights.c", "CMSG_SPACE(last) - CMSG_LEN(last)", "CMSG_SPACE(last) - last"},
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
		known := tried[f.What] || proves(f) == ""
		tried[f.What] = tried[f.What] || !known
		return known
	})
	property := regexp.MustCompile(`Violated property:\n.*\n.*|no body for .*`)
	mutant.TryAll(t, 0, list, "../..", func(t *testing.T, f *mutant.Fault, o *mutant.Overlay) (found string, err error) {
		names := strings.Fields(proves(*f))
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
