package scenario

// The kinds of kernels that expectations may be about, by their headings.
const (
	KernelLinux  = "linux"
	KernelGVisor = "gvisor"
)

// KernelKinds are all of them.
var KernelKinds = []string{KernelLinux, KernelGVisor}
