// Package procfs reads what /proc reports about processes and their descriptors. It exists on Linux only.
//
// A pid can also be the ID of a thread. Errors of reading /proc are of type [*os.PathError], and those of comparing
// files are errnos. If the process or the descriptor does not exist, or no longer does, [IsGone] reports true for the
// error.
//
// The kernel shows no descriptors of a thread that has ended. If the first thread of a process has, functions about
// descriptors look at another one.
//
// No function uses the runtime's poller, which would take as long as the reads themselves and would open
// descriptors of its own. It is not needed, because the kernel answers every read of /proc without waiting for
// the process.
package procfs
