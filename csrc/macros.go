//go:build cgo

package csrc

// #include "scm_rights_cgo.h"
import "C"

// Space is CMSG_SPACE of n descriptors, as this system's C has it. For tests.
func Space(n int) int { return int(C.scm_cgo_space(C.size_t(n))) }

// Len is CMSG_LEN of n descriptors, as this system's C has it. For tests.
func Len(n int) int { return int(C.scm_cgo_len(C.size_t(n))) }
