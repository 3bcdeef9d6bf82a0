package mutant

import (
	"fmt"

	"github.com/scm-rights/scm/internal/recorder"
)

const (
	sendC = "\treturn scm_result(syscall(SYS_sendmsg, sock, msg, flags));\n"
	recvC = "\treturn scm_result(syscall(SYS_recvmsg, sock, msg, flags));\n"
)

// before inserts lines before a place in a file, and after inserts them after it.
func before(file, place, lines string) []Edit {
	return []Edit{{File: file, Old: place, New: lines + place}}
}

func after(file, place, lines string) []Edit {
	return []Edit{{File: file, Old: place, New: place + lines}}
}

// guestFaults returns a fault that can be found only inside an emulated machine.
func guestFaults() []Fault {
	const only = "#ifdef __s390x__\n%s#endif\n"
	return []Fault{{
		What: "padding after msg_namelen, byte 2, on s390x alone", Arch: "s390x", Field: "padding after msg_namelen",
		Edits: before("csrc/private.h", sendC, fmt.Sprintf(only, inC("msg", 14))),
	}}
}

// paddingFaults returns, for each backend, a fault for each byte of padding.
func paddingFaults() (list []Fault) {
	const (
		header = "\t(*[56]byte)(unsafe.Pointer(hdr))[%d] = 0x5a\n"
		pairGo = "\tr, errno := sendmsg(sock, &hdr, 0)\n"
		putC   = "\tscm_put(&msg, SCM_RIGHTS, &sendfd, sizeof(sendfd));\n"
	)
	for i := range 4 {
		for _, f := range []struct {
			field string
			often bool
			edits []Edit
		}{
			{"padding after msg_namelen", i == 0, after(pureLinux, sendGo, fmt.Sprintf(header, 12+i))},
			{"padding after msg_namelen", false, before("csrc/private.h", sendC, inC("msg", 12+i))},
			{"padding after msg_flags", i == 0, after(pureLinux, sendGo, fmt.Sprintf(header, 52+i))},
			{"padding after msg_flags", false, before("csrc/private.h", sendC, inC("msg", 52+i))},
			{"padding after cmsg_data", false, before(pureLinux, pairGo, fmt.Sprintf("\tc.bytes()[unix.CmsgLen(4)+%d] = 0x5a\n", i))},
			{"padding after cmsg_data", i == 3, after("csrc/write_fd.c", putC,
				fmt.Sprintf("\tcontrol.bytes[CMSG_LEN(sizeof(int)) + %d] = 0x5a;\n", i))},
		} {
			fault := Fault{What: fmt.Sprintf("%s, byte %d", f.field, i), Field: f.field, Edits: f.edits}
			if f.often {
				fault.Often = Record
			}
			list = append(list, fault)
		}
	}
	return list
}

// inC returns a line of C that sets a byte of a structure.
func inC(pointer string, at int) string {
	return fmt.Sprintf("\t((unsigned char *)(size_t)%s)[%d] = 0x5a;\n", pointer, at)
}

// flagFaults returns a fault for each flag, which sets it in every send of pure Go or, for every second
// flag, in every receive of csrc.
func flagFaults() (list []Fault) {
	for bit := range 31 {
		flag := uint32(1) << bit
		words := recorder.FlagText(flag)
		if bit%2 == 0 {
			list = append(list, Fault{What: "a send has " + words, Field: "flags", Words: words,
				Edits: after(pureLinux, sendGo, fmt.Sprintf("\tflags |= %#x\n", flag))})
		} else {
			list = append(list, Fault{What: "a receive has " + words, Field: "flags", Words: words,
				Edits: before("csrc/private.h", recvC, fmt.Sprintf("\tflags |= %#x;\n", flag))})
		}
	}
	return list
}
