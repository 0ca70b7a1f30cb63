/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tapwrite.c - what a TAP takes at most: a loop of plain writes of one frame.  It opens the TAP as synth-netd does (vnet_hdr,
 * several queues, not blocking) and writes an empty virtio_net_hdr and the frame, one call each.  Prints one line of JSON.
 *
 *	tapwrite TAP SECONDS DST-MAC [FRAME-BYTES]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define HDR   sizeof(struct virtio_net_hdr)
#define TYPE  0x88b5 /* as the frames of `synth-netfront io` */
#define BURST 64

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_tap(const char *name)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), hdr = HDR;
	struct ifreq r;

	memset(&r, 0, sizeof(r));
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &hdr) < 0) {
		fprintf(stderr, "tapwrite: cannot open TAP %s: %s\n", name, strerror(errno));
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static uint8_t buf[HDR + 65536];
	static const uint8_t from[6] = { 2, 0, 0, 0, 0, 0x77 };
	unsigned mac[6], bytes = argc > 4 ? (unsigned)atoi(argv[4]) : 64;
	uint64_t sent = 0, failed = 0;
	double start, end, now;
	struct rusage u;
	int fd;

	if (argc < 4 || bytes < 14 || bytes > 65535 ||
	    sscanf(argv[3], "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6) {
		fprintf(stderr, "usage: tapwrite TAP SECONDS DST-MAC [FRAME-BYTES]\n");
		return 2;
	}
	for (int i = 0; i < 6; i++)
		buf[HDR + (size_t)i] = (uint8_t)mac[i];
	memcpy(buf + HDR + 6, from, 6);
	buf[HDR + 12] = TYPE >> 8;
	buf[HDR + 13] = TYPE & 0xff;
	fd = open_tap(argv[1]);
	start = now = now_s();
	end = start + atof(argv[2]);
	while (now < end) {
		for (int i = 0; i < BURST; i++) {
			if (write(fd, buf, HDR + bytes) < 0)
				failed++;
			else
				sent++;
		}
		now = now_s();
	}
	getrusage(RUSAGE_SELF, &u);
	printf("{\"sent\": %llu, \"failed\": %llu, \"pps\": %.0f, \"cpu_us\": %.3f}\n", (unsigned long long)sent,
	       (unsigned long long)failed, (double)sent / (now - start),
	       ((double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec)) /
		       (double)(sent ? sent : 1));
	return failed > sent;
}
