/*
 * A Wayland client that shares memory pools of 1 to 60 KiB. The content of each pool is its size.
 * libwayland buffers requests and their descriptors until it waits for an answer.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wayland-client.h>

static void
global(void *data, struct wl_registry *registry, uint32_t name, const char *interface,
    uint32_t version)
{
	(void)version;
	if (strcmp(interface, wl_shm_interface.name) == 0)
		*(struct wl_shm **)data = wl_registry_bind(registry, name, &wl_shm_interface, 1);
}

static const struct wl_registry_listener listener = {.global = global};

int
main(void)
{
	struct wl_display *display = wl_display_connect(NULL);
	struct wl_registry *registry;
	struct wl_shm *shm = NULL;
	int size, fd;

	if (display == NULL || (registry = wl_display_get_registry(display)) == NULL)
		return 1;
	if (wl_registry_add_listener(registry, &listener, &shm) < 0 ||
	    wl_display_roundtrip(display) < 0 || shm == NULL)
		return 2;
	for (size = 1024; size <= 60 * 1024; size += 1024) {
		fd = memfd_create("pool", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, size) < 0 || dprintf(fd, "pool of %d\n", size) < 0)
			return 3;
		if (wl_shm_create_pool(shm, fd, size) == NULL || close(fd) < 0)
			return 4;
		/* First one by one, then five at a time, then more than fit into one message. */
		if (size <= 5 * 1024 || (size <= 20 * 1024 && size % (5 * 1024) == 0)) {
			if (wl_display_roundtrip(display) < 0)
				return 5;
		} else if (wl_display_sync(display) == NULL) {
			return 6;
		}
	}
	if (wl_display_roundtrip(display) < 0)
		return 7;
	wl_display_disconnect(display);
	return 0;
}
