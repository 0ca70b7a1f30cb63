/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image.h - what a disk is stored in: the target's text (pure parser), and opening it for a worker.
 *
 * Targets: file:/abs/path (or just /abs/path), nbd://host[:port]/export, nbd+unix:///export?socket=/path, null:SIZE.
 * The format is never guessed from an image's contents (XSA-258): a file is raw.
 *
 * One image is not attached twice for writing: a writer holds flock(LOCK_EX) on the open file, readers LOCK_SH.  The lock
 * belongs to the open file description, which the worker gets; so it lasts exactly as long as somebody can still write.
 */
#ifndef SYNTH_IMAGE_H
#define SYNTH_IMAGE_H

#include "backend/block/blk-wire.h"
#include "backend/control/fault.h"
#include "common/base/base.h"

#define IMAGE_TARGET_MAX 1024u /* bytes, with the NUL */

struct image_uri {
	enum blk_store_kind kind;
	bool unix_socket;            /* nbd: path is the socket; else host and port */
	uint64_t size;               /* null: bytes */
	char path[IMAGE_TARGET_MAX]; /* file: absolute */
	char host[256];
	char port[8];
	char export[256];
};

/* Pure.  0, or -EINVAL with the reason in @f. */
int image_parse(const char *target, struct image_uri *ret, struct fault *f) __must_check;

struct image {
	int fd;          /* owned by the caller; -1 for null: */
	uint32_t flags;  /* BLK_O_* that were found: DIRECT, MEMORY, BLOCKDEV, READONLY */
	uint32_t sector; /* bytes I/O must be aligned to */
	uint64_t size;   /* bytes; 0 when only the worker can tell (nbd) */
	uint64_t dev, ino;
	char cache_why[96]; /* why it is not O_DIRECT though that was asked for; "" */
};

/*
 * Which file a path leads to may change while a guest has the one that was there.  So who is to go on with that says which it was,
 * by @was: dev and ino of struct image (0, 0: any will do).  Another one is -ESTALE, and is left alone.
 */
/* Blocks as long as the storage does.  0 or -errno and @f; -EBUSY: somebody has it, a lock on it or (a block device) the device
 * itself (dev and ino are set then). */
int image_open(const struct image_uri *u, bool readonly, bool direct, const uint64_t was[2], struct image *ret,
	       struct fault *f) __must_check;
/* Could the one that @was be opened again?  What can be told without opening it.  Blocks as image_open(). */
int image_look(const struct image_uri *u, const uint64_t was[2], struct fault *f) __must_check;
/*
 * A write-back that fails is told once per open file, to those only that had it open before.  One that is told it and dies takes it along, and
 * who opens the image then is told nothing.  So another open file is kept beside a worker's, which sees what the worker's saw.
 *
 * @fd: a worker's next.  *witness: -1, or what this left there for the one before, the caller's; it becomes that of @fd, or -1 when
 * it cannot be had.  True: a write-back has failed since it was made.
 */
bool image_witness(int fd, int *witness);
/* Bytes of the regular file at its path, if it is the one that @was; else 0.  Blocks as long as the storage does. */
uint64_t image_file_bytes(const struct image_uri *u, const uint64_t was[2]);
/* Grow or shrink the file, if it is the one that @was, to @size bytes. */
int image_resize(const struct image_uri *u, uint64_t size, const uint64_t was[2], struct fault *f) __must_check;

#endif
