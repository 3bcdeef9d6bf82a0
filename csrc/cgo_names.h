/*
 * The names of the functions inside a Go program. read_fd and write_fd are the names
 * in UNP, and belong to the program. It may have its own functions with these names, in
 * its cgo code, in a shared library or in libscm_rights itself.
 */
#ifndef SCM_CGO_NAMES_H
#define SCM_CGO_NAMES_H

#define read_fd scm_rights_go_read_fd
#define write_fd scm_rights_go_write_fd
#define scm_rights_send scm_rights_go_send
#define scm_rights_recv scm_rights_go_recv

#endif
