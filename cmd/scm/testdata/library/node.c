/*
 * sendmsg and recvmsg for JavaScript, which has neither. Node-API is declared here, because
 * not every package of Node.js has its headers.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "library.h"

typedef struct environment *napi_env;
typedef struct value *napi_value;
typedef struct call *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);

extern int napi_create_function(napi_env env, const char *name, size_t length,
    napi_callback callback, void *data, napi_value *result);
extern int napi_create_int32(napi_env env, int32_t value, napi_value *result);
extern int napi_get_buffer_info(napi_env env, napi_value value, void **data, size_t *length);
extern int napi_get_cb_info(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv,
    napi_value *self, void **data);
extern int napi_get_value_int32(napi_env env, napi_value value, int32_t *result);
extern int napi_set_named_property(
    napi_env env, napi_value object, const char *name, napi_value value);

napi_value napi_register_module_v1(napi_env env, napi_value exports);

struct arguments {
	int sock;
	void *payload, *fds, *told;
	size_t bytes, nfds;
};

/* (sock, payload, fds, told), the last three of them Buffers */
static struct arguments
arguments(napi_env env, napi_callback_info info)
{
	struct arguments a = {-1, NULL, NULL, NULL, 0, 0};
	napi_value argv[4];
	size_t argc = 4, ntold;

	(void)napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
	(void)napi_get_value_int32(env, argv[0], &a.sock);
	(void)napi_get_buffer_info(env, argv[1], &a.payload, &a.bytes);
	(void)napi_get_buffer_info(env, argv[2], &a.fds, &a.nfds);
	(void)napi_get_buffer_info(env, argv[3], &a.told, &ntold);
	a.nfds /= sizeof(int);
	return a;
}

/* The count, or the negative errno. */
static napi_value
result(napi_env env, ssize_t n)
{
	napi_value value = NULL;

	(void)napi_create_int32(env, (int32_t)(n < 0 ? -errno : n), &value);
	return value;
}

static napi_value
node_send(napi_env env, napi_callback_info info)
{
	struct arguments a = arguments(env, info);

	return result(env, library_send(a.sock, a.payload, a.bytes, a.fds, a.nfds));
}

/* Writes the number of descriptors and msg_flags into told. */
static napi_value
node_recv(napi_env env, napi_callback_info info)
{
	struct arguments a = arguments(env, info);
	int flags = 0;
	ssize_t n = library_recv(a.sock, a.payload, a.bytes, a.fds, &a.nfds, &flags);
	int told[2] = {(int)a.nfds, flags};

	memcpy(a.told, told, sizeof(told));
	return result(env, n);
}

napi_value
napi_register_module_v1(napi_env env, napi_value exports)
{
	napi_value function;

	(void)napi_create_function(env, "send", 4, node_send, NULL, &function);
	(void)napi_set_named_property(env, exports, "send", function);
	(void)napi_create_function(env, "recv", 4, node_recv, NULL, &function);
	(void)napi_set_named_property(env, exports, "recv", function);
	return exports;
}
