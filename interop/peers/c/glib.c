/*
 * Peer for GSocket and GUnixFDMessage of GLib. GSocket makes its socket non-blocking, and waits in
 * poll unless it is asked not to block.
 */
#include "peer.h"

#include <errno.h>
#include <gio/gio.h>
#include <gio/gunixfdmessage.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ERRNOS 134 /* one more than Linux's highest */

static GSocket *connection;
static GError *refused; /* why there is no connection */

static void
use_glib(int sock)
{
	g_clear_error(&refused);
	connection = g_socket_new_from_fd(sock, &refused);
}

static void
close_with_glib(int fd)
{
	if (connection != NULL && g_socket_get_fd(connection) == fd) {
		(void)g_socket_close(connection, NULL);
		g_clear_object(&connection);
	} else {
		(void)close(fd);
	}
}

/* Reports a failure, for which GLib gives the text of strerror instead of errno. */
static ssize_t
failure(struct message *m, GError *error)
{
	static char *text;
	int number;

	g_free(text);
	text = g_strdup(error != NULL ? error->message : "GLib logged a critical warning");
	g_clear_error(&error);
	for (number = 1; number < ERRNOS; number++) {
		if (g_str_has_suffix(text, g_strerror(number))) {
			errno = number;
			return -1;
		}
	}
	m->error = text;
	return -1;
}

static ssize_t
send_with_glib(struct message *m)
{
	GOutputVector *vectors = g_new(GOutputVector, m->iovlen);
	GSocketControlMessage *rights = NULL;
	GError *error = NULL;
	gboolean ok = TRUE;
	gssize n = -1;
	size_t i;

	if (connection == NULL) {
		g_free(vectors);
		return failure(m, g_error_copy(refused));
	}
	for (i = 0; i < m->iovlen; i++) {
		vectors[i].buffer = m->iov[i].iov_base;
		vectors[i].size = m->iov[i].iov_len;
	}
	if (m->nfds > 0)
		rights = g_unix_fd_message_new();
	for (i = 0; ok && i < m->nfds; i++)
		ok = g_unix_fd_message_append_fd(G_UNIX_FD_MESSAGE(rights), m->fds[i], &error);
	g_socket_set_blocking(connection, (m->flags & MSG_DONTWAIT) == 0);
	if (ok)
		n = g_socket_send_message(connection, NULL, vectors, (gint)m->iovlen, &rights,
		    rights != NULL, m->flags, NULL, &error);
	g_clear_object(&rights);
	g_free(vectors);
	return n >= 0 ? n : failure(m, error);
}

/* Moves the descriptors of a control message to m, which has n of them already. */
static size_t
take(struct message *m, size_t n, GSocketControlMessage *control)
{
	gint count;
	gint *fds;
	gint i;

	if (!G_IS_UNIX_FD_MESSAGE(control))
		return n;
	fds = g_unix_fd_message_steal_fds(G_UNIX_FD_MESSAGE(control), &count);
	for (i = 0; i < count; i++)
		m->fds[n++] = fds[i];
	g_free(fds);
	return n;
}

static ssize_t
recv_with_glib(struct message *m)
{
	GInputVector *vectors = g_new(GInputVector, m->iovlen);
	GSocketControlMessage **controls = NULL;
	GError *error = NULL;
	gint ncontrols = 0;
	gint flags = m->flags;
	gssize n;
	size_t i;

	if (connection == NULL) {
		g_free(vectors);
		return failure(m, g_error_copy(refused));
	}
	for (i = 0; i < m->iovlen; i++) {
		vectors[i].buffer = m->iov[i].iov_base;
		vectors[i].size = m->iov[i].iov_len;
	}
	g_socket_set_blocking(connection, (flags & MSG_DONTWAIT) == 0);
	n = g_socket_receive_message(connection, NULL, vectors, (gint)m->iovlen,
	    m->nfds > 0 ? &controls : NULL, &ncontrols, &flags, NULL, &error);
	g_free(vectors);
	if (n < 0)
		return failure(m, error);
	m->flags = flags;
	m->nfds = 0;
	for (i = 0; controls != NULL && i < (size_t)ncontrols; i++) {
		m->nfds = take(m, m->nfds, controls[i]);
		g_object_unref(controls[i]);
	}
	g_free(controls);
	return n;
}

int
main(void)
{
	struct peer peer = {
	    .name = "glib",
	    .can = "stream,dgram,seqpacket,multi,iov,flags",
	    .polls = 1,
	    .reports_flags = 1,
	    .send = send_with_glib,
	    .recv = recv_with_glib,
	    .use = use_glib,
	    .close = close_with_glib,
	};
	char *version =
	    g_strdup_printf("%u.%u.%u", glib_major_version, glib_minor_version, glib_micro_version);
	int status;

	peer.version = version;
	status = peer_loop(&peer);
	g_free(version);
	return status;
}
