package scenario

// The kernels that expectations may be about, by their headings.
const (
	KernelLinux  = "linux"
	KernelGVisor = "gvisor"
)

// Kernels are all of them.
var Kernels = []string{KernelLinux, KernelGVisor}
