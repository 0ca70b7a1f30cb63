/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fence-io.c - a guest told what to write, and when: each line "SECTOR WORD" of stdin is one write of one sector, filled with
 * the word; when it is answered "SECTOR WORD 0" (or -errno) is said.  "flush WORD" is a flush, answered likewise.  It waits for no
 * answer; at the end of stdin it closes.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include "common/log/log.h"
#include "tests/lib/guest-disk.h"

#define MAX_WORD 16u
#define TURN_MS  5

struct call {
	struct blkfront_queue *q;
	uint64_t sector;
	char word[MAX_WORD];
	struct blkfront_buf *buf; /* NULL: a flush */
};

static void on_done(void *arg, int err)
{
	struct call *c = arg;

	if (c->buf)
		printf("%llu %s %d\n", (unsigned long long)c->sector, c->word, err);
	else
		printf("flush %s %d\n", c->word, err);
	fflush(stdout);
	if (c->buf)
		blkfront_buf_put(c->q, c->buf);
	free(c);
}

static int start(struct blkfront_queue *q, const char *line)
{
	struct call *c = calloc(1, sizeof(*c));
	unsigned long long sector;
	uint8_t *mem;
	size_t len;
	int err;

	if (!c)
		return -ENOMEM;
	c->q = q;
	if (sscanf(line, "flush %15s", c->word) == 1) {
		err = blkfront_submit(q, BLKFRONT_FLUSH, 0, 0, NULL, on_done, c);
		blkfront_kick(q);
		return err;
	}
	if (sscanf(line, "%llu %15s", &sector, c->word) != 2)
		return -EINVAL;
	c->sector = sector;
	c->buf = blkfront_buf_get(q);
	if (!c->buf)
		return -ENOBUFS;
	len = strlen(c->word);
	mem = c->buf->mem;
	for (uint32_t i = 0; i < SECTOR_BYTES; i++)
		mem[i] = (uint8_t)(i % (len + 1) == len ? '\n' : c->word[i % (len + 1)]);
	err = blkfront_submit(q, BLKFRONT_WRITE, sector, 1, mem, on_done, c);
	blkfront_kick(q);
	return err;
}

static int run(struct blkfront_queue *q)
{
	char line[64];
	bool more = true;
	int err = 0;

	setvbuf(stdin, NULL, _IONBF, 0); /* poll() sees what is left */
	while (err == 0 && (more || blkfront_inflight(q))) {
		struct pollfd p = { .fd = more ? 0 : -1, .events = POLLIN };

		if (poll(&p, 1, TURN_MS) > 0) {
			more = fgets(line, sizeof(line), stdin) != NULL;
			if (more)
				err = start(q, line);
		}
		blkfront_poll(q);
		if (blkfront_inflight(q))
			blkfront_wait(q, 1, 0, TURN_MS);
	}
	return err;
}

int main(void)
{
	const struct blkfront_config c = { .queues = 1, .buf_bytes = PAGE_BYTES, .bufs = 8 };
	struct guest_disk d;
	int err;

	log_init("fence-io");
	err = guest_disk_open(&d, GUEST_DISK_ONLY, &c);
	if (err == 0)
		err = run(blkfront_queue(d.b, 0));
	return guest_disk_close(&d, "fence-io", err);
}
