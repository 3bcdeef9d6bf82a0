//go:build amd64 || arm64 || riscv64

package raw

import "golang.org/x/sys/unix"

// MemfdSecret makes a memory that the kernel itself does not see.
func MemfdSecret() (int, error) { return unix.MemfdSecret(unix.O_CLOEXEC) }
