/*
 * Peer for the IPC pipes of libuv: uv_write2, uv_read_start and uv_accept. libuv sends and closes
 * descriptors through handles, and makes each descriptor that it opens as a handle non-blocking. It
 * does not check what kind of file a pipe handle refers to, so every file is sent as a pipe. The
 * read callback stops reading: otherwise libuv would receive further messages before it returns.
 */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#define MOST_BUFFERS 1024   /* libuv sends more with several calls */
#define MOST_DESCRIPTORS 64 /* libuv's buffer for received descriptors; from 1.45 on it has 60 */

static uv_loop_t loop; /* its handles are those of the case */

static uv_pipe_t *connection; /* NULL after an error, because libuv reads and writes no more */
static int refused;           /* why there is no connection */

/* The read or write in progress. */
static int done;
static ssize_t result;
static uv_buf_t buffer;

static uv_pipe_t *
new_handle(int ipc)
{
	uv_pipe_t *handle = malloc(sizeof(*handle));

	if (handle == NULL || uv_pipe_init(&loop, handle, ipc) != 0)
		abort();
	return handle;
}

static void
on_close(uv_handle_t *handle)
{
	free(handle);
}

static void
close_handle(uv_pipe_t *handle)
{
	uv_close((uv_handle_t *)handle, on_close);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
}

struct search {
	int fd;
	uv_pipe_t *found;
};

static void
compare(uv_handle_t *handle, void *arg)
{
	struct search *search = arg;
	int fd;

	if (uv_fileno(handle, &fd) == 0 && fd == search->fd)
		search->found = (uv_pipe_t *)handle;
}

/* Returns the open handle of a descriptor, or NULL. */
static uv_pipe_t *
find(int fd)
{
	struct search search = {fd, NULL};

	uv_walk(&loop, compare, &search);
	return search.found;
}

/* Sets the handle of a descriptor, which is NULL after an error. */
static int
open_handle(int fd, int ipc, uv_pipe_t **handle)
{
	int error;

	*handle = find(fd);
	if (*handle != NULL)
		return 0;
	*handle = new_handle(ipc);
	error = uv_pipe_open(*handle, fd);
	if (error != 0) {
		close_handle(*handle);
		*handle = NULL;
	}
	return error;
}

static void
use_libuv(int sock)
{
	refused = open_handle(sock, 1, &connection);
}

static void
close_with_libuv(int fd)
{
	uv_pipe_t *handle = find(fd);

	if (handle == NULL) {
		(void)close(fd);
		return;
	}
	if (handle == connection)
		connection = NULL;
	close_handle(handle);
}

static ssize_t
failure(ssize_t error)
{
	errno = (int)-error;
	return -1;
}

static void
on_write(uv_write_t *request, int status)
{
	(void)request;
	result = status;
	done = 1;
}

static ssize_t
send_with_libuv(struct message *m)
{
	uv_stream_t *stream = (uv_stream_t *)connection;
	uv_pipe_t *sent = NULL;
	uv_write_t request;
	ssize_t total = 0;
	uv_buf_t *bufs;
	size_t i;
	int error = 0;

	if (m->nfds > 1 || m->iovlen > MOST_BUFFERS || m->flags != 0)
		return UNSUPPORTED;
	if (stream == NULL)
		return refused != 0 ? failure(refused) : UNSUPPORTED;
	if (m->nfds == 1)
		error = open_handle(m->fds[0], 0, &sent);
	if (error != 0)
		return failure(error);
	bufs = calloc(m->iovlen, sizeof(*bufs));
	if (bufs == NULL)
		abort();
	for (i = 0; i < m->iovlen; i++) {
		bufs[i] = uv_buf_init(m->iov[i].iov_base, (unsigned)m->iov[i].iov_len);
		total += (ssize_t)m->iov[i].iov_len;
	}
	done = 0;
	error =
	    uv_write2(&request, stream, bufs, (unsigned)m->iovlen, (uv_stream_t *)sent, on_write);
	while (error == 0 && !done)
		(void)uv_run(&loop, UV_RUN_ONCE);
	free(bufs);
	if (error == 0)
		error = (int)result;
	return error == 0 ? total : failure(error);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	*buf = buffer;
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	if (n == 0) /* nothing there yet */
		return;
	(void)uv_read_stop(stream);
	result = n;
	done = 1;
}

static ssize_t
recv_with_libuv(struct message *m)
{
	uv_stream_t *stream = (uv_stream_t *)connection;
	uv_pipe_t *accepted;
	int error;

	if (m->nfds > MOST_DESCRIPTORS || m->iovlen != 1 || m->iov->iov_len == 0 || m->flags != 0)
		return UNSUPPORTED;
	if (stream == NULL)
		return refused != 0 ? failure(refused) : UNSUPPORTED;
	done = 0;
	buffer = uv_buf_init(m->iov->iov_base, (unsigned)m->iov->iov_len);
	error = uv_read_start(stream, on_alloc, on_read);
	if (error != 0)
		return failure(error);
	while (!done)
		(void)uv_run(&loop, UV_RUN_ONCE);
	m->nfds = 0;
	while (uv_pipe_pending_count(connection) > 0) {
		accepted = new_handle(0);
		error = uv_accept(stream, (uv_stream_t *)accepted);
		if (error != 0) {
			close_handle(accepted);
			return failure(error);
		}
		(void)uv_fileno((uv_handle_t *)accepted, &m->fds[m->nfds++]);
	}
	m->eof = result == UV_EOF;
	if (m->eof)
		return 0;
	if (result < 0)
		connection = NULL; /* its handle stays open until the end of the case */
	return result < 0 ? failure(result) : result;
}

int
main(void)
{
	struct peer peer = {
	    .name = "libuv",
	    .can = "stream,multi,iov",
	    .polls = 1,
	    .send = send_with_libuv,
	    .recv = recv_with_libuv,
	    .use = use_libuv,
	    .close = close_with_libuv,
	};
	int status;

	if (uv_loop_init(&loop) != 0)
		abort();
	peer.version = uv_version_string();
	status = peer_loop(&peer);
	return uv_loop_close(&loop) == 0 ? status : 1;
}
