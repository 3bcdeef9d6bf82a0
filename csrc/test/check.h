/* What the C tests share: checks, cases, and the count of open descriptors. */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>

/* Say where, what and how it differed, and go on: the case has failed. */
#define CHECK_EQ(got, want) check_eq(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define CHECK(condition) check_true(__FILE__, __LINE__, #condition, (condition) != 0)

/* What a case cannot go on without. */
#define NEED(condition) check_need(__FILE__, __LINE__, #condition, (condition) != 0)

void check_eq(const char *file, int line, const char *what, long long got, long long want);
void check_true(const char *file, int line, const char *what, int holds);
void check_need(const char *file, int line, const char *what, int holds);

/*
 * Run a case and print "ok NAME", "not ok NAME" or "skip NAME: why". It fails
 * too when it ends with more or fewer open descriptors than it began with.
 */
void check_run(const char *name, void (*test)(void));

/*
 * The same once for each type of socket in types, as NAME/stream (S),
 * NAME/dgram (D), NAME/seqpacket (Q).
 */
void check_run_types(const char *types, const char *name, void (*test)(int type));

/* Mark the running case as skipped. */
void check_skip(const char *why);

/* The exit status: 0 if every case held or was skipped, and there was one. */
int check_status(void);

/* How many descriptors this process has open. */
int open_count(void);

#endif
