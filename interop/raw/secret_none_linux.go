//go:build !amd64 && !arm64 && !riscv64

package raw

import "golang.org/x/sys/unix"

// MemfdSecret is not there on this architecture.
func MemfdSecret() (int, error) { return -1, unix.ENOSYS }
