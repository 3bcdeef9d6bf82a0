// Package recorder records what the processes of a tree say to the kernel
// when they pass descriptors: sendmsg, recvmsg, sendmmsg, recvmmsg and, in
// 32-bit programs, socketcall. Each call is read at its entry and at its exit:
// arguments, msghdr, iovecs, payload, address and control buffer by their raw
// bytes, padding among them, and the result. Diff compares two records and
// names the first byte that differs, by its field; a Comparison names all.
//
// It works by ptrace and /proc/PID/mem, on Linux from 5.3
// (PTRACE_GET_SYSCALL_INFO). A tracer on amd64 records amd64 and 386 programs,
// one on 386 and one on arm64 record their own; the one on arm64 was built and
// not run. x32 programs are not recorded.
//
// Record starts this very program as a stub (Main), which stops until it is traced,
// installs a seccomp filter and executes the command: the filter stops it at
// the recorded calls, and all others run at full speed. A filter cannot be taken
// off, and without a tracer the calls that it stops fail: so the command ends with
// its tracer. What Attach finds running gets no filter, is stopped at each call,
// and runs on without the tracer.
//
// # What the program can notice
//
// It is traced, as by strace: it cannot trace its own children, TracerPid is
// set, and a program that is set-user-ID gains nothing unless the tracer has
// CAP_SYS_PTRACE. Attaching interrupts what a thread waits in; a few calls,
// such as epoll_wait, then fail with EINTR, and so can others after a signal that
// the program ignores. Because of the filter /proc/PID/status says Seccomp: 2,
// seccomp's strict mode is refused, and a child that is made with CLONE_UNTRACED
// gets ENOSYS from the recorded calls. Without CAP_SYS_ADMIN a filter needs
// no_new_privs, which is set only where it changes nothing for set-user-ID
// programs, because the tracer lacks CAP_SYS_PTRACE too; a tracer that has it then
// goes without a filter, as Options.NoFilter does.
//
// # Marks
//
// With Options.Sections the recorder takes all calls, of any kind, that a
// thread makes between two marks of its own, and nothing else. A mark is
//
//	getpriority(Mark, n)
//
// which fails with EINVAL and does nothing: n > 0 begins section n, 0 ends it.
// What a language's runtime does on the thread in between is recorded too, so a
// Go program locks the thread and stops its collector and its preemption
// (GOGC=off, GODEBUG=asyncpreemptoff=1).
package recorder

// Mark is the first argument of getpriority(2) in a mark.
const Mark = 0x5c3d
