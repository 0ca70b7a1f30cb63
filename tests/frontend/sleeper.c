/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sleeper.c - a user of the front end library that looks at its queue only when it wants something of it, as blkfront.h allows:
 * writes once, says "written", waits for a line, flushes twice, says what came of each.
 *
 *   sleeper
 */
#include <errno.h>
#include <stdio.h>
#include "common/log/log.h"
#include "frontend/block/blkfront.h"

struct call {
	bool done;
	int err;
};

static void on_done(void *arg, int err)
{
	struct call *c = arg;

	c->done = true;
	c->err = err;
}

static int do_io(struct blkfront_queue *q, enum blkfront_op op, void *mem, uint64_t nr)
{
	struct call c = { 0 };
	struct blkfront_xfer x = { .op = op, .nr = nr, .mem = mem, .done = on_done, .arg = &c };
	int err = blkfront_xfer(q, &x);

	if (err < 0)
		return err;
	blkfront_kick(q);
	while (!c.done)
		if (blkfront_poll(q) == 0)
			blkfront_wait(q, 1, 0, 200);
	return c.err;
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "sleeper: %s: %s\n", what, strerror(-err));
	return 1;
}

int main(void)
{
	struct blkfront_config c = { .reconnect = true, .reconnect_s = 60 };
	static uint8_t page[PAGE_BYTES];
	struct front_dev *devs = NULL;
	struct blkfront_queue *q;
	struct blkfront *b;
	struct store *s;
	uint32_t nr = 0;
	char line[8];
	int err;

	log_init("sleeper");
	err = store_open(&s);
	if (err == 0)
		err = front_list(s, blkfront_types, ARRAY_SIZE(blkfront_types), &devs, &nr);
	if (err == 0 && nr != 1)
		err = -ENODEV;
	if (err == 0)
		err = blkfront_open(s, devs, &c, &b);
	if (err == 0)
		err = blkfront_watch(b);
	if (err < 0)
		return fail("cannot open the disk", err);
	q = blkfront_queue(b, 0);
	err = do_io(q, BLKFRONT_WRITE, page, sizeof(page) / SECTOR_BYTES);
	if (err < 0)
		return fail("cannot write", err);
	printf("written\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return fail("no line", -EPIPE);
	for (int i = 0; i < 2; i++) {
		err = do_io(q, BLKFRONT_FLUSH, NULL, 0);
		printf("flush: %s\n", err < 0 ? strerror(-err) : "done");
	}
	free(devs);
	err = blkfront_close(b, 2000);
	store_close(s);
	return err < 0 ? fail("cannot close the disk", err) : 0;
}
