//go:build linux && cgo

package scm_test

import "github.com/scm-rights/scm/csrc"

// cSpace and cLen are C's CMSG_SPACE and CMSG_LEN of so many descriptors.
var cSpace, cLen = csrc.Space, csrc.Len
