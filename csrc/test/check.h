/* Shared by the C tests: checks, cases, and the number of open descriptors. */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>

/* If the check fails, print where and what differs, mark the case as failed and continue. */
#define CHECK_EQ(got, want) check_eq(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define CHECK(condition) check_true(__FILE__, __LINE__, #condition, (condition) != 0)

/* Exit if the condition is false, because the case cannot continue. */
#define NEED(condition) check_need(__FILE__, __LINE__, #condition, (condition) != 0)

void check_eq(const char *file, int line, const char *what, long long got, long long want);
void check_true(const char *file, int line, const char *what, int holds);
void check_need(const char *file, int line, const char *what, int holds);

/*
 * Run a case and print its result, a line of TAP. The case also fails if it changes the
 * number of open descriptors.
 */
void check_run(const char *name, void (*test)(void));

/*
 * Run a case once for each socket type in types, as NAME/stream (S),
 * NAME/dgram (D), NAME/seqpacket (Q).
 */
void check_run_types(const char *types, const char *name, void (*test)(int type));

/* Mark the running case as skipped. */
void check_skip(const char *why);

/* Mark the running case as skipped, because something is not installed. With CI=true it fails. */
void check_missing(const char *what);

/* Print how many cases have run, and return the exit status: 0 if none failed, else 1. */
int check_status(void);

/* Return the number of open descriptors of this process. */
int open_count(void);

#endif
