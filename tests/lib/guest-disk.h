/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guest-disk.h - a disk as a test's guest uses it, by the front end's library: for small programs that do one thing with it. */
#ifndef SYNTH_TESTS_GUEST_DISK_H
#define SYNTH_TESTS_GUEST_DISK_H

#include <errno.h>
#include <stdio.h>
#include "frontend/block/blkfront.h"

#define GUEST_DISK_ONLY     UINT32_MAX
#define GUEST_DISK_CLOSE_MS 20000u

struct guest_disk {
	struct store *store;
	struct blkfront *b;
};

/* The disk of number @id, or GUEST_DISK_ONLY.  0 or -errno; guest_disk_close() in any case. */
static inline int guest_disk_open(struct guest_disk *d, uint32_t id, const struct blkfront_config *c)
{
	struct front_dev *devs = NULL;
	uint32_t nr = 0;
	int err;

	*d = (struct guest_disk){ 0 };
	err = store_open(&d->store);
	if (err == 0)
		err = front_list(d->store, blkfront_types, ARRAY_SIZE(blkfront_types), &devs, &nr);
	for (uint32_t i = 0; err == 0 && i < nr && !d->b; i++)
		if (devs[i].id == id || (id == GUEST_DISK_ONLY && nr == 1))
			err = blkfront_open(d->store, &devs[i], c, &d->b);
	free(devs);
	if (err == 0)
		err = d->b ? blkfront_watch(d->b) : -ENODEV;
	return err;
}

/* @err is what happened to its use: it is told, and then nothing is waited for.  The program's exit status. */
static inline int guest_disk_close(struct guest_disk *d, const char *program, int err)
{
	if (err < 0)
		fprintf(stderr, "%s: %s\n", program, strerror(-err));
	if (err < 0 && d->b)
		blkfront_give_up(d->b);
	if (blkfront_close(d->b, GUEST_DISK_CLOSE_MS) && err == 0)
		err = -ETIMEDOUT;
	store_close(d->store);
	return err != 0;
}

#endif
