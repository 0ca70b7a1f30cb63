/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pulse.c - what a guest sees of a pause: pulse DEVICE-NUMBER reads a sector of it, waits for the answer, sleeps a moment, and
 * so on.  For each line of stdin it says, when an answer has come, how long the slowest took since the line before, in
 * microseconds.  At the end of stdin it closes.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include "common/log/log.h"
#include "tests/lib/guest-disk.h"

#define MOMENT_MS 1
#define LOOK_MS   1000u

static void on_done(void *arg, int err)
{
	*(int *)arg = err;
}

/* Nanoseconds it took, or -errno. */
static int64_t read_one(struct blkfront_queue *q, void *buf)
{
	uint64_t start = now_ns();
	int status = 1, err = blkfront_submit(q, BLKFRONT_READ, 0, 1, buf, on_done, &status);

	if (err < 0)
		return err;
	while (status > 0) {
		blkfront_wait(q, 1, 0, LOOK_MS);
		blkfront_poll(q);
	}
	return status < 0 ? status : (int64_t)(now_ns() - start);
}

static int run(struct blkfront_queue *q)
{
	const struct blkfront_buf *buf = blkfront_buf_get(q);
	int64_t worst = 0, took;
	bool asked = false;

	if (!buf)
		return -ENOBUFS;
	for (;;) {
		struct pollfd p = { .fd = 0, .events = POLLIN };
		char line[64];

		took = read_one(q, buf->mem);
		if (took < 0)
			return (int)took;
		worst = MAX(worst, took);
		if (asked) {
			printf("%lld\n", (long long)worst / 1000);
			fflush(stdout);
			asked = false;
			worst = 0;
		}
		if (poll(&p, 1, MOMENT_MS) > 0) {
			if (read(0, line, sizeof(line)) <= 0)
				return 0;
			asked = true;
		}
	}
}

int main(int argc, char **argv)
{
	const struct blkfront_config c = { .queues = 1, .buf_bytes = PAGE_BYTES, .bufs = 1 };
	struct guest_disk d;
	int err;

	if (argc != 2) {
		fprintf(stderr, "usage: pulse DEVICE-NUMBER\n");
		return 2;
	}
	log_init("pulse");
	err = guest_disk_open(&d, (uint32_t)strtoul(argv[1], NULL, 10), &c);
	if (err == 0)
		err = run(blkfront_queue(d.b, 0));
	return guest_disk_close(&d, "pulse", err);
}
