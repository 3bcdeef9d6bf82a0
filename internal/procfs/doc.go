// Package procfs reads what /proc reports about processes and their descriptors. It exists on Linux only.
//
// A pid can also be the ID of a thread. Errors are of type [*os.PathError]. If the process or the descriptor
// does not exist, or no longer does, [IsGone] reports true for the error.
//
// No function uses the runtime's poller. A caller that holds a process stopped, or that reads hundreds of
// files, does not wait for a file of the process itself: the kernel answers every read of /proc.
package procfs
