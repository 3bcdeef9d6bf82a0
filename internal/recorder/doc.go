// Package recorder records the system calls that a tree of processes uses to pass descriptors:
// sendmsg, recvmsg, sendmmsg, recvmmsg and, on 386, ppc64le and s390x, socketcall. At the entry and at
// the exit of each call, it reads the memory that the arguments point to. A [Comparison] compares two
// records, and returns the differences with the field that contains each of them.
//
// The recorder uses ptrace and /proc/PID/mem, and requires Linux 5.3 or later
// (PTRACE_GET_SYSCALL_INFO). It supports amd64, 386, arm64, arm, riscv64, ppc64le and s390x. A tracer
// records programs of its own architecture. An amd64 tracer also records 386 programs, and an arm64
// tracer also records arm programs. x32 programs are not recorded.
//
// Record starts the current program again as a stub (see Main). The stub waits until it is traced,
// installs a seccomp filter and executes the command. The filter stops the command at the recorded
// calls, and all other calls run at full speed. A filter cannot be removed, and without a tracer the
// calls that it stops fail. The command is therefore killed when its tracer ends. Attach does not
// install a filter. It stops the process at each call, and the process keeps running when the tracer
// ends.
//
// # A recorded call
//
// A Call (call_linux.go) consists of
//
//   - the thread, the architecture, the system call number, and the result or the errno
//   - Registers, the arguments as the kernel received them, and Args, the same arguments decoded
//     according to the call's signature in the table (table_linux.go)
//   - Entry and Exit, each a Snapshot of the memory that the arguments point to
//   - Files, a description of the socket and of each descriptor that the call sends or receives
//
// A Snapshot (message_linux.go) contains the messages, and the timeout of a recvmmsg. A Message
// consists of a header, iovecs, an address, control data and a payload. Each of these is a
// Memory, which contains an address, a length, the bytes that could be read, including all padding,
// and the number of bytes that the kernel has used. The fields of a header and of each control
// message (Cmsg) are also decoded. The layouts (layout_linux.go) name all fields of the structures,
// and the padding between them.
//
// Call.decodeEntry and Call.decodeExit (decode_linux.go) read the memory and decode it once. Text,
// JSON, Raw and Comparison print or compare the decoded fields.
//
// # Received descriptors
//
// With Options.StillOpen the recorder reports the received descriptors that are still open when their
// process ends or the recorder detaches from it, and those that an execve passes on (received_linux.go). It keeps a
// list of received descriptors for each descriptor table. A child inherits the list of its parent. At the exit stop
// of the last thread that uses the table, the recorder reads /proc/TID/fd. The /proc/PID/fd of a process is empty
// once its first thread has ended. A thread can stop sharing a table, by unshare(2) with CLONE_FILES or close_range(2)
// with CLOSE_RANGE_UNSHARE. Before each use of a list, kcmp(2) shows which threads still share the table, and the
// others get a copy of the list. A received anonymous file, such as an eventfd, is found only at the descriptor at
// which it was received, because all anonymous files share one inode.
//
// # Effects on the program
//
// The program is traced, as under strace. It cannot trace its own children, TracerPid is set, and
// a set-user-ID program gains no privileges unless the tracer has CAP_SYS_PTRACE. Attaching
// interrupts any call in which a thread is blocked. A few calls, such as epoll_wait, then fail
// with EINTR. While the program is traced, a signal that it ignores can also make other calls
// fail with EINTR.
//
// Because of the filter, /proc/PID/status contains Seccomp: 2, the kernel rejects seccomp's strict
// mode, and the recorded calls of a child created with CLONE_UNTRACED fail with ENOSYS. Without
// CAP_SYS_ADMIN a filter requires no_new_privs. The recorder sets no_new_privs only if the tracer also
// lacks CAP_SYS_PTRACE, because set-user-ID programs then gain no privileges anyway. If the tracer has
// CAP_SYS_PTRACE but not CAP_SYS_ADMIN, it uses no filter, as with Options.NoFilter.
//
// # Marks
//
// With Options.Sections the recorder records all calls, of any kind, that a thread makes
// between two marks, and nothing else. A mark is
//
//	getpriority(Mark, n)
//
// which fails with EINVAL and has no effect on the program. A mark with n > 0 begins section n, and
// a mark with n = 0 ends the section. The recorded calls include those that a language runtime
// makes on the thread. A Go program should therefore call runtime.LockOSThread, and disable the
// garbage collector and asynchronous preemption (GOGC=off, GODEBUG=asyncpreemptoff=1).
package recorder

// Mark is the first argument of a getpriority(2) call that marks the beginning or the end of a
// section.
const Mark = 0x5c3d
