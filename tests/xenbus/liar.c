/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * liar.c - in a worker's place, as a guest that has taken it over would have it.
 *
 *	liar PATH many                    listens at PATH, and says that it has 2^32 - 1 devices
 *	liar PATH big                     tells as much as fits of 1000 devices
 *	liar PATH files                   hands over descriptors, as many as can be, with each of 100 devices
 *	liar PATH device UUID HANDLE      has this device, since the latest upgrade of all, and does as it is told
 *	liar flood FILE                   started as a worker is: when a device is connected, says that its rings are broken, each time
 *	                                  for another reason, and what no worker says; makes FILE when it has done so 20000 times
 *
 * It is to be killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "backend/block/blk-wire.h"
#include "backend/control/wire.h"

#define KEPT_BYTES 100u /* what the daemon's disk half keeps of itself in a tag */
#define FLOOD      20000u
#define EV_RESIZED 12u /* there was such a message once: an OPEN's reply, of another size */

static int sock;

static void say(uint16_t type, uint32_t seq, uint32_t handle, const void *body, uint32_t bytes, const int *fds,
		uint32_t nr_fds)
{
	const struct wire_hdr h = { .type = type, .seq = seq, .handle = handle, .bytes = bytes };

	if (wire_send(sock, &h, body, fds, nr_fds) < 0)
		perror("liar"); /* whom it lies to has hung up, or is about to kill it */
}

static void hello(uint32_t nr_devices)
{
	const struct wire_hello h = { .nr_devices = nr_devices, .parts = WIRE_PARTS_ALL };

	say(WIRE_HELLO, 0, 0, &h, sizeof(h), NULL, 0);
}

static const struct blk_info info = { .sectors = 16384, .physical_sector = 512, .engine = "null" };

static void tell_device(const char *uuid, uint32_t handle, uint32_t info_bytes, uint32_t nr_fds)
{
	static struct {
		struct wire_device d;
		uint8_t rest[WIRE_MAX_BODY - sizeof(struct wire_device)];
	} m;
	int fds[WIRE_MAX_FDS] = { 0 };

	m.d = (struct wire_device){ .tag = { .bytes = KEPT_BYTES, .pad = UINT32_MAX }, .info_bytes = info_bytes };
	snprintf(m.d.tag.uuid, sizeof(m.d.tag.uuid), "%s", uuid);
	memcpy(m.rest + KEPT_BYTES, &info, sizeof(info));
	say(WIRE_DEVICE, 0, handle, &m, (uint32_t)sizeof(m.d) + KEPT_BYTES + info_bytes, fds, nr_fds);
}

/* Yes to everything.  0 or -errno; @type is what was asked. */
static int answer(uint32_t *type, uint32_t *handle)
{
	static struct wire_msg m;
	int err = wire_recv(sock, &m);
	bool tells;

	if (err < 0)
		return err;
	*type = m.hdr.type;
	*handle = m.hdr.handle;
	tells = *type == WIRE_OPEN || *type == WIRE_RESIZE;
	for (uint32_t i = 0; i < m.nr_fds; i++)
		close(m.fds[i]);
	say(m.hdr.type | WIRE_REPLY, m.hdr.seq, m.hdr.handle, &info, tells ? sizeof(info) : 0, NULL, 0);
	if (*type == WIRE_QUIT)
		exit(0);
	return 0;
}

static void serve(void)
{
	uint32_t type, handle;

	while (answer(&type, &handle) == 0)
		;
}

static void flood(const char *file)
{
	uint32_t type, handle, on = 0, nr = 0;
	struct pollfd p = { .fd = sock, .events = POLLIN };
	struct blk_info other = info;
	char why[32];

	hello(0);
	for (;;) {
		if (on == 0 || poll(&p, 1, 0) > 0) {
			if (answer(&type, &handle) < 0)
				return;
			if (type == WIRE_CONNECT)
				on = handle;
			continue;
		}
		snprintf(why, sizeof(why), "reason %u", nr);
		say(WIRE_EV_BROKEN, 0, on, why, (uint32_t)strlen(why), NULL, 0);
		other.sectors = info.sectors + nr % 2;
		say(EV_RESIZED, 0, on, &other, sizeof(other), NULL, 0);
		if (++nr == FLOOD)
			close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	}
}

static void greet(int argc, char **argv)
{
	const uint32_t most = WIRE_MAX_BODY - (uint32_t)sizeof(struct wire_device) - KEPT_BYTES;

	if (strcmp(argv[2], "many") == 0) {
		hello(UINT32_MAX);
	} else if (strcmp(argv[2], "big") == 0) {
		hello(1000);
		for (uint32_t i = 0; i < 1000; i++)
			tell_device("", i, most, 0);
	} else if (strcmp(argv[2], "files") == 0) {
		hello(100);
		for (uint32_t i = 0; i < 100; i++)
			tell_device("", i, sizeof(info), WIRE_MAX_FDS);
	} else if (argc == 5) {
		hello(1);
		tell_device(argv[3], (uint32_t)strtoul(argv[4], NULL, 10), sizeof(info), 0);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	if (argc >= 3 && strcmp(argv[1], "flood") == 0) {
		sock = WIRE_FD;
		flood(argv[2]);
		return 0;
	}
	if (argc < 3 || strlen(argv[1]) >= sizeof(sa.sun_path))
		return 2;
	strcpy(sa.sun_path, argv[1]);
	if (listener < 0 || bind(listener, (const struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(listener, 1) < 0) {
		perror(argv[1]);
		return 1;
	}
	for (;;) {
		sock = accept(listener, NULL, NULL);
		if (sock < 0)
			return 1;
		greet(argc, argv);
		serve();
		close(sock);
	}
}
