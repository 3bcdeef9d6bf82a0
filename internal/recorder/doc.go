// Package recorder records the system calls by which the processes of a tree pass descriptors:
// sendmsg, recvmsg, sendmmsg, recvmmsg and, in 32-bit programs, socketcall. It reads the memory of
// each call at its entry and at its exit. Diff compares two records and names the field of the first
// byte that differs. A Comparison can also return all differences.
//
// It uses ptrace and /proc/PID/mem, on Linux 5.3 and later (PTRACE_GET_SYSCALL_INFO). A tracer on
// amd64 records amd64 and 386 programs. On 386 and arm64 it records programs of its own architecture.
// The tracer on arm64 is built, but not tested. x32 programs are not recorded.
//
// Record starts the current program again as a stub (Main). The stub waits until it is traced, installs
// a seccomp filter and executes the command. The filter stops the command at the recorded calls, and
// all other calls run at full speed. A filter cannot be removed, and without a tracer the calls that it
// stops fail, so the command is killed when its tracer ends. Attach installs no filter in a running
// process. It stops the process at each call, and when the tracer ends the process runs on.
//
// # A recorded call
//
// A Call (call_linux.go) consists of
//
//   - the thread, the architecture, the system call number, and the result or the errno
//   - Registers and Args, the arguments as the kernel got them and as the call's signature in
//     the table (table_linux.go) describes them
//   - Entry and Exit, each a Snapshot of the memory that the arguments point to
//   - Files, a description of each descriptor that the call names, sends, receives or creates
//
// A Snapshot (message_linux.go) contains the buffers of arguments and the messages. A Message has a
// header, iovecs, an address, control data and a payload. Each of these is a Memory: its address, its
// length, the bytes that could be read, including all padding, and how many of them the kernel has
// used. The fields of a header and of each control message (Cmsg) are decoded as well. The layouts
// (layout_linux.go) name all fields of the structures, and the padding between them.
//
// Call.decodeEntry and Call.decodeExit (decode_linux.go) read the memory and decode it once. Text,
// JSON, Raw and Comparison print or compare the fields.
//
// # Effects on the program
//
// The program is traced, as by strace. It cannot trace its own children, TracerPid is set, and a
// set-user-ID program gains no privileges unless the tracer has CAP_SYS_PTRACE. Attaching
// interrupts a call in which a thread waits. A few calls, such as epoll_wait, then fail with
// EINTR. Others can do so after a signal that the program ignores.
//
// Because of the filter, /proc/PID/status contains Seccomp: 2, seccomp's strict mode is rejected, and
// the recorded calls of a child made with CLONE_UNTRACED fail with ENOSYS. Without CAP_SYS_ADMIN a
// filter needs no_new_privs. The recorder sets that only if the tracer lacks CAP_SYS_PTRACE as well, so
// that it changes nothing for set-user-ID programs. If the tracer has only CAP_SYS_PTRACE, it uses no
// filter, as with Options.NoFilter.
//
// # Marks
//
// With Options.Sections the recorder records all calls, of any kind, that a thread makes
// between two marks, and nothing else. A mark is
//
//	getpriority(Mark, n)
//
// which fails with EINVAL and has no effect: n > 0 begins section n, 0 ends it. Calls that a language
// runtime makes on the thread between the marks are recorded as well. A Go program therefore
// locks the thread and disables the garbage collector and asynchronous preemption (GOGC=off,
// GODEBUG=asyncpreemptoff=1).
package recorder

// Mark is the first argument of getpriority(2) in a mark.
const Mark = 0x5c3d
