//go:build aix || darwin || solaris

package sys

// CmsgCloexec is 0: these systems lack MSG_CMSG_CLOEXEC, or x/sys does not know it (illumos).
const CmsgCloexec = 0
