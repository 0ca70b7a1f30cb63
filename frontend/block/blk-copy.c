/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-copy.c - `synth-blkfront read`, `write`, `flush`, `discard`.
 *
 * Both copies keep DEPTH chunks in flight, in pool buffers, in disk order: read() and write() go straight from and
 * to granted memory.
 */
#include "frontend/block/synth-blkfront.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "common/log/log.h"

#define CHUNK   (256u << 10)
#define DEPTH   8u
#define WAIT_MS 200u

struct chunk {
	struct blkfront_xfer xfer;
	struct blkfront_buf *buf;
	uint32_t bytes;
	bool busy;
	int err;
};

struct copy {
	struct target t;
	uint64_t offset, length; /* bytes */
	bool has_length, all, secure, quiet;
	struct blkfront_queue *q;
	struct chunk chunk[DEPTH];
	uint64_t told_ns;
	bool tty;
};

/* ------------------------------------------------------------------ the queue */

static void on_done(void *arg, int err)
{
	struct chunk *c = arg;

	c->busy = false;
	c->err = err;
}

/* Until chunk @c is back: 0 or its error. */
static int wait_chunk(struct copy *k, struct chunk *c)
{
	uint64_t heard = now_ns();

	while (c->busy) {
		if (blkfront_poll(k->q) == 0)
			blkfront_wait(k->q, 1, 0, WAIT_MS);
		else
			heard = now_ns();
		/* A back end that restarts makes us wait; only who was told to stop gives up. */
		if (!interrupted)
			heard = now_ns();
		else if (out_of_patience(heard))
			blkfront_give_up(k->t.b);
	}
	return c->err;
}

static int start(struct copy *k, struct chunk *c, enum blkfront_op op, uint64_t offset, uint32_t bytes)
{
	int err;

	c->xfer.op = op;
	c->xfer.sector = offset / SECTOR_BYTES;
	c->xfer.nr = bytes / SECTOR_BYTES;
	c->xfer.mem = c->buf->mem;
	c->xfer.done = on_done;
	c->xfer.arg = c;
	c->bytes = bytes;
	c->err = 0;
	err = blkfront_xfer(k->q, &c->xfer);
	if (err == 0) {
		c->busy = true;
		blkfront_kick(k->q);
	}
	return err;
}

static void wait_all(struct copy *k)
{
	for (uint32_t i = 0; i < DEPTH; i++)
		(void)!wait_chunk(k, &k->chunk[i]);
}

/* A bar on stderr, if somebody is looking. */
static void progress(struct copy *k, uint64_t done, uint64_t total, bool last)
{
	uint64_t now = now_ns();
	char bar[41];
	int n;

	if (!k->tty || k->quiet || (!last && now - k->told_ns < 200000000u))
		return;
	k->told_ns = now;
	n = total ? (int)(done * 40 / total) : 0;
	memset(bar, '.', 40);
	memset(bar, '#', (size_t)n);
	bar[40] = '\0';
	if (total)
		fprintf(stderr, "\r[%s] %3d%% %llu MiB", bar, (int)(done * 100 / total),
			(unsigned long long)(done >> 20));
	else
		fprintf(stderr, "\r%llu MiB", (unsigned long long)(done >> 20));
	if (last)
		fputc('\n', stderr);
}

static int io_failed(struct copy *k, const char *what, uint64_t offset, int err)
{
	char text[64];

	if (blkfront_status(k->t.b) != 0) {
		snprintf(text, sizeof(text), "cannot %s at offset %llu", what, (unsigned long long)offset);
		return target_over(&k->t, text);
	}
	return complain(EXIT_FAILED, NULL, "%s: cannot %s at offset %llu: %s", k->t.name, what,
			(unsigned long long)offset, strerror(-err));
}

/* ------------------------------------------------------------------ options */

static const struct option options[] = {
	{ "offset", 1, NULL, 'o' }, { "length", 1, NULL, 'l' }, { "all", 0, NULL, 'a' }, { "secure", 0, NULL, 's' },
	{ "quiet", 0, NULL, 'q' },  RECONNECT_OPTIONS,          { NULL, 0, NULL, 0 },
};

/* Parse, find, open. */
static int begin(struct copy *k, int argc, char **argv, bool discard)
{
	struct blkfront_config c = { .max_order = FRONT_MAX_ORDER, .buf_bytes = CHUNK, .bufs = DEPTH };
	struct reconnect again = RECONNECT_DEFAULT;
	const char *dev;
	int o, r = 0;

	while (!r && (o = opt_next(argc, argv, "q", options)) != -1) {
		if (o == 'o') {
			r = opt_size("--offset", optarg, &k->offset);
		} else if (o == 'l') {
			r = opt_size("--length", optarg, &k->length);
			k->has_length = true;
		} else if (o == 'q') {
			k->quiet = true;
		} else if (o == 'a' && discard) {
			k->all = true;
		} else if (o == 's' && discard) {
			k->secure = true;
		} else {
			r = o == 'a' || o == 's' ? usage("--all and --secure are for discard")
						 : opt_reconnect(&again, o, optarg);
		}
	}
	if (!r)
		r = opt_dev(argc, argv, optind, &dev);
	if (r)
		return r;
	c.reconnect = !again.never;
	c.reconnect_s = again.seconds;
	catch_signals();
	k->tty = isatty(STDERR_FILENO);
	r = target_find(&k->t, dev);
	if (!r)
		r = target_open(&k->t, &c);
	if (r)
		return r;
	k->q = blkfront_queue(k->t.b, 0);
	for (uint32_t i = 0; i < DEPTH; i++)
		k->chunk[i].buf = blkfront_buf_get(k->q);
	return 0;
}

/* Where the copy ends; checks that it lies on the disk, in whole sectors. */
static int region(struct copy *k, uint64_t *end)
{
	uint64_t size = blkfront_sectors(k->t.b) * SECTOR_BYTES;
	uint32_t sector = blkfront_info(k->t.b)->sector_size;

	if (k->offset > size || (k->has_length && k->length > size - k->offset))
		return complain(EXIT_USAGE, NULL, "the region ends behind the end of %s, which has %llu bytes",
				k->t.name, (unsigned long long)size);
	if (k->offset % sector || (k->has_length && k->length % sector))
		return usage("--offset and --length are multiples of %u bytes", sector);
	*end = k->has_length ? k->offset + k->length : size;
	return 0;
}

/* ------------------------------------------------------------------ read */

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR && !interrupted)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static int copy_out(struct copy *k, uint64_t end)
{
	uint64_t asked = k->offset, told = k->offset;
	int err;

	for (uint32_t i = 0; told < end; i = (i + 1) % DEPTH) {
		struct chunk *c = &k->chunk[i];

		if (c->bytes) {
			err = wait_chunk(k, c);
			if (err < 0)
				return io_failed(k, "read", told, err);
			err = write_all(STDOUT_FILENO, c->buf->mem, c->bytes);
			if (err < 0)
				return complain(EXIT_FAILED, NULL, "cannot write to stdout: %s", strerror(-err));
			told += c->bytes;
			c->bytes = 0;
			progress(k, told - k->offset, end - k->offset, told == end);
		}
		if (interrupted)
			return complain(EXIT_FAILED, NULL, "interrupted");
		if (asked < end) {
			err = start(k, c, BLKFRONT_READ, asked, (uint32_t)MIN(end - asked, (uint64_t)CHUNK));
			if (err < 0)
				return io_failed(k, "read", asked, err);
			asked += c->bytes;
		}
	}
	return EXIT_OK;
}

int cmd_read(int argc, char **argv)
{
	struct copy k = { 0 };
	uint64_t end;
	int r = begin(&k, argc, argv, false);

	if (!r)
		r = region(&k, &end);
	if (!r)
		r = copy_out(&k, end);
	if (k.q)
		wait_all(&k);
	return target_close(&k.t, r);
}

/* ------------------------------------------------------------------ write */

/* Fill @c from stdin: bytes read (less than @want only at the end, or when interrupted), or -errno.  What the back end asks for
 * meanwhile is seen to. */
static int64_t fill(struct copy *k, struct chunk *c, uint64_t want)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	uint64_t have = 0;

	while (have < want && !interrupted) {
		ssize_t n;

		(void)blkfront_poll(k->q);
		if (poll(&p, 1, WAIT_MS) <= 0)
			continue;
		n = read(STDIN_FILENO, (uint8_t *)c->buf->mem + have, want - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (uint64_t)n;
	}
	return (int64_t)have;
}

/* The input ends inside a sector: keep what the disk has behind it. */
static int keep_tail(struct copy *k, struct chunk *c, uint64_t offset, uint32_t bytes, uint32_t whole)
{
	struct chunk *spare = &k->chunk[c == &k->chunk[0] ? 1 : 0];
	uint32_t sector = blkfront_info(k->t.b)->sector_size, last = whole - sector;
	int err = wait_chunk(k, spare);

	if (err == 0)
		err = start(k, spare, BLKFRONT_READ, offset + last, sector);
	if (err == 0)
		err = wait_chunk(k, spare);
	spare->bytes = 0;
	if (err == 0)
		memcpy((uint8_t *)c->buf->mem + bytes, (uint8_t *)spare->buf->mem + (bytes - last), whole - bytes);
	return err;
}

static int flush(struct copy *k)
{
	struct chunk *c = &k->chunk[0];
	int err = start(k, c, BLKFRONT_FLUSH, 0, 0);

	if (err == 0)
		err = wait_chunk(k, c);
	c->bytes = 0;
	if (err == -EOPNOTSUPP && !blkfront_info(k->t.b)->flush)
		return 0; /* nothing is held back then */
	if (err < 0 && blkfront_status(k->t.b) != 0)
		return target_over(&k->t, "cannot flush");
	return err < 0 ? complain(EXIT_FAILED, NULL, "%s: cannot flush: %s", k->t.name, strerror(-err)) : 0;
}

/* Wait for what chunk @c wrote; @done counts it. */
static int collect(struct copy *k, struct chunk *c, uint64_t *done, uint64_t total)
{
	int err = wait_chunk(k, c);

	if (err < 0)
		return io_failed(k, "write", c->xfer.sector * SECTOR_BYTES, err);
	*done += c->bytes;
	c->bytes = 0;
	progress(k, *done, total, false);
	return 0;
}

static int copy_in(struct copy *k, uint64_t end)
{
	uint32_t sector = blkfront_info(k->t.b)->sector_size;
	uint64_t at = k->offset, done = 0;
	bool eof = false;
	uint8_t more;
	int r = 0, err;

	for (uint32_t i = 0; !eof && at < end && !r; i = (i + 1) % DEPTH) {
		struct chunk *c = &k->chunk[i];
		int64_t n;
		uint32_t whole;

		r = collect(k, c, &done, k->has_length ? k->length : 0);
		if (r)
			return r;
		n = fill(k, c, MIN(end - at, (uint64_t)CHUNK));
		if (interrupted)
			return complain(EXIT_FAILED, NULL, "interrupted; the first %llu bytes are written",
					(unsigned long long)done);
		if (n < 0)
			return complain(EXIT_FAILED, NULL, "cannot read stdin: %s", strerror((int)-n));
		eof = (uint64_t)n < MIN(end - at, (uint64_t)CHUNK);
		if (n == 0)
			break;
		whole = (uint32_t)((n + sector - 1) / sector * sector);
		err = whole != n ? keep_tail(k, c, at, (uint32_t)n, whole) : 0;
		if (err == 0)
			err = start(k, c, BLKFRONT_WRITE, at, whole);
		if (err < 0)
			return io_failed(k, "write", at, err);
		at += whole;
	}
	for (uint32_t i = 0; i < DEPTH && !r; i++)
		r = collect(k, &k->chunk[i], &done, k->has_length ? k->length : 0);
	if (!r)
		r = flush(k);
	if (!r && !eof && !k->has_length && read(STDIN_FILENO, &more, 1) == 1)
		r = complain(EXIT_FAILED, NULL, "%s is full: %llu bytes are written, the input is longer", k->t.name,
			     (unsigned long long)done);
	progress(k, done, k->has_length ? k->length : 0, true);
	return r;
}

int cmd_write(int argc, char **argv)
{
	struct copy k = { 0 };
	uint64_t end;
	int r = begin(&k, argc, argv, false);

	if (!r)
		r = region(&k, &end);
	if (!r && blkfront_info(k.t.b)->readonly)
		r = complain(EXIT_FAILED, NULL, "%s is read-only", k.t.name);
	if (!r)
		r = copy_in(&k, end);
	if (k.q)
		wait_all(&k);
	return target_close(&k.t, r);
}

/* ------------------------------------------------------------------ flush, discard */

int cmd_flush(int argc, char **argv)
{
	struct copy k = { 0 };
	int r = begin(&k, argc, argv, false);

	if (!r && !blkfront_info(k.t.b)->flush)
		r = complain(EXIT_FAILED, NULL, "the back end of %s offers no flush", k.t.name);
	if (!r)
		r = flush(&k);
	return target_close(&k.t, r);
}

int cmd_discard(int argc, char **argv)
{
	struct copy k = { 0 };
	struct chunk *c = &k.chunk[0];
	uint64_t end;
	int err, r = begin(&k, argc, argv, true);

	if (!r && k.all == k.has_length)
		r = usage("discard: say --offset and --length, or --all");
	if (!r)
		r = region(&k, &end);
	if (!r && !(k.secure ? blkfront_info(k.t.b)->secure_discard : blkfront_info(k.t.b)->discard))
		r = complain(EXIT_FAILED, NULL, "the back end of %s offers no %sdiscard", k.t.name,
			     k.secure ? "secure " : "");
	if (!r && end > k.offset) {
		c->xfer = (struct blkfront_xfer){ .op = k.secure ? BLKFRONT_SECURE_DISCARD : BLKFRONT_DISCARD,
						  .sector = k.offset / SECTOR_BYTES,
						  .nr = (end - k.offset) / SECTOR_BYTES,
						  .done = on_done,
						  .arg = c };
		err = blkfront_xfer(k.q, &c->xfer);
		c->busy = err == 0;
		if (err == 0)
			err = wait_chunk(&k, c);
		if (err < 0)
			r = io_failed(&k, "discard", k.offset, err);
	}
	return target_close(&k.t, r);
}
