// Package recorder records what the processes of a tree say to the kernel
// when they pass descriptors: sendmsg, recvmsg, sendmmsg, recvmmsg and, in
// 32-bit programs, socketcall. Each call is read at its entry and at its exit:
// arguments, msghdr, iovecs, payload, address and control buffer by their raw
// bytes, padding among them, and the result. Diff compares two records and
// names the first byte that differs, by its field; a Comparison names all.
//
// # How
//
// By ptrace and process_vm_readv, on Linux from 5.3 (PTRACE_GET_SYSCALL_INFO).
// A tracer on amd64 records amd64 and 386 programs, one on 386 and one on
// arm64 record their own; the one on arm64 was built and not run. x32 programs
// are not recorded. Nor is what a process sends and receives by io_uring, of
// which Options.Escapes reports.
//
// While it records, the process gets no SIGCHLD for children that stop.
//
// Into a program that it starts, the recorder puts a seccomp filter before the
// first instruction, which stops it at the recorded calls, and at the few of which
// Options.Escapes reports: all others run at full speed. A filter cannot be taken off, so a program that Attach
// finds running gets none, and is stopped at each call.
//
// Memory is read by the thread that traces. Where a page of it does not arrive
// (userfaultfd, a file of FUSE), the recorder waits, and so do all that it
// traces: a Watch reports it. The recorder is no guard against the program: one that
// means to can hide what it passes. The kernel does not let even KILL end the wait for
// a FUSE server that has read the request.
//
// # What the program can notice
//
// It is traced, as by strace: it cannot trace its own children, TracerPid is
// set, and a program that is set-user-ID gains nothing unless the tracer has
// CAP_SYS_PTRACE. Attaching interrupts what a thread waits in; a few calls,
// such as epoll_wait, then fail with EINTR. Each signal that is not blocked
// interrupts a traced thread, also one that it ignores or whose default action
// is nothing, such as SIGCHLD: a call that the kernel does not make again, such
// as recvmsg on a socket with SO_RCVTIMEO, then fails with EINTR.
//
// Because of the filter /proc/PID/status says Seccomp: 2, seccomp's strict
// mode is refused, and a child that is made with CLONE_UNTRACED gets ENOSYS
// from the recorded calls. Without CAP_SYS_ADMIN a filter needs no_new_privs,
// which is set only where it changes nothing for set-user-ID programs, because
// the tracer lacks CAP_SYS_PTRACE too; a tracer that has it then goes without
// a filter, as Options.NoFilter does. A call that the program's own filter
// refuses is not seen, and one that it wants traced is made; neither is so without the
// recorder's filter. Options.Escapes reports a process that does this.
//
// # Marks
//
// With Options.Sections the recorder takes all calls, of any kind, that a
// thread makes between two marks of its own, and nothing else. A mark is
//
//	getpriority(Mark, n)
//
// which fails with EINVAL and does nothing: n > 0 begins section n, 0 ends it.
// Any language can make it, and no program asks for the priority of a "which"
// of that value otherwise. What a language's runtime does on the thread in
// between is recorded too, so a Go program locks the thread and stops its
// collector and its preemption (GOGC=off, GODEBUG=asyncpreemptoff=1).
package recorder

// Mark is the first argument of getpriority(2) in a mark.
const Mark = 0x5c3d
