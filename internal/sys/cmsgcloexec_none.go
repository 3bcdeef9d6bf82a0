//go:build aix || darwin || solaris

package sys

// CmsgCloexec is 0 because these systems lack MSG_CMSG_CLOEXEC, or x/sys does not define it (illumos).
const CmsgCloexec = 0
