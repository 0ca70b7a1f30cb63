/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blkverify.c - random I/O on a block device that proves every byte, small enough for a guest's initramfs.
 *
 * Every sector written says which sector it is, how often it was written and by which seed, and fills its rest from
 * those. A read is checked against what this run wrote last. I/Os in flight never overlap, so there is one right
 * answer always. Afterwards `blkverify --scan FILE`, on the image, checks that every sector is either untouched (zeros)
 * or whole, at its right place: also where the writer was killed in the middle.
 *
 * Kernel AIO with O_DIRECT: as fio's libaio engine, without the library.
 *
 * SIGTERM ends the load early; all is checked then as ever. `--gaps N` also tells the N longest times in which nothing was
 * done: what a guest sees of a back end that died and came back.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECTOR    512u
#define WORDS     (SECTOR / 8)
#define MAGIC     UINT64_C(0x626c6b7665726966)
#define DEPTH_MAX 256u
#define GAPS_MAX  256u
#define UNKNOWN   UINT32_MAX /* a sector whose content this run cannot know */

struct io {
	struct iocb cb;
	uint64_t sector;
	uint32_t nr;
	bool write, busy;
	uint64_t *buf;
};

struct run {
	const char *path;
	int fd;
	aio_context_t ctx;
	uint64_t sectors, seed, ios, rng;
	uint32_t depth, min, max; /* min, max: bytes an I/O */
	uint32_t seconds;
	unsigned read_pct;
	bool trim, flush;
	uint32_t *gen; /* a sector: how often written, or UNKNOWN */
	uint8_t *busy; /* a sector: I/O in flight */
	struct io io[DEPTH_MAX];
	uint64_t reads, writes, trims, flushes, bytes;
	uint64_t last;          /* when something was done, ns */
	uint64_t gap[GAPS_MAX]; /* the longest times when nothing was, longest first, ns */
	uint32_t gaps;
};

static volatile sig_atomic_t stopped; /* SIGTERM: finish what is in flight, check all and end */

static _Noreturn void die(const char *what, int err)
{
	fprintf(stderr, "blkverify: %s%s%s\n", what, err ? ": " : "", err ? strerror(err) : "");
	exit(1);
}

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* Something was done; how long nothing was is kept, if it is among the longest times. */
static void progress(struct run *r)
{
	uint64_t now = now_ns(), gap = now - r->last;
	uint32_t i = r->gaps;

	r->last = now;
	if (i == 0 || gap <= r->gap[i - 1])
		return;
	for (i--; i > 0 && r->gap[i - 1] < gap; i--)
		r->gap[i] = r->gap[i - 1];
	r->gap[i] = gap;
}

static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static uint64_t below(struct run *r, uint64_t n)
{
	r->rng = mix(r->rng);
	return r->rng % n;
}

static void fill(uint64_t *w, uint64_t sector, uint32_t gen, uint64_t seed)
{
	uint64_t x = mix(sector ^ mix(gen ^ mix(seed)));

	w[0] = MAGIC;
	w[1] = sector;
	w[2] = gen;
	w[3] = seed;
	for (unsigned i = 4; i < WORDS; i++)
		w[i] = x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

static bool whole(const uint64_t *w)
{
	uint64_t want[WORDS];

	fill(want, w[1], (uint32_t)w[2], w[3]);
	return memcmp(w, want, SECTOR) == 0;
}

static void explain(const uint64_t *w)
{
	if (w[0] == MAGIC && whole(w))
		fprintf(stderr, "  found: sector %" PRIu64 ", write %" PRIu64 ", seed %" PRIu64 "\n", w[1], w[2], w[3]);
	else
		fprintf(stderr, "  found: %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64 "\n", w[0], w[1],
			w[2], w[3]);
}

static void check(const struct run *r, uint64_t sector, const uint64_t *w)
{
	uint64_t want[WORDS];

	if (r->gen[sector] == UNKNOWN)
		return;
	fill(want, sector, r->gen[sector], r->seed);
	if (memcmp(w, want, SECTOR) == 0)
		return;
	fprintf(stderr, "blkverify: %s: sector %" PRIu64 " is not what was written (write %u, seed %" PRIu64 ")\n",
		r->path, sector, r->gen[sector], r->seed);
	explain(w);
	exit(1);
}

/* A free stretch for an I/O of random size; false when none was found in a few tries. */
static bool place(struct run *r, struct io *io)
{
	for (int tries = 0; tries < 20; tries++) {
		uint32_t span = (r->max - r->min) / SECTOR + 1, nr;

		/* Small sizes as often as large ones. */
		nr = r->min / SECTOR + (uint32_t)below(r, below(r, span) + 1);
		if (nr > r->sectors)
			continue;
		io->sector = below(r, r->sectors - nr + 1);
		io->nr = nr;
		if (!memchr(r->busy + io->sector, 1, nr))
			return true;
	}
	return false;
}

static void submit(struct run *r, struct io *io)
{
	struct iocb *list[1] = { &io->cb };

	io->write = below(r, 100) >= r->read_pct;
	if (io->write)
		for (uint32_t i = 0; i < io->nr; i++) {
			uint64_t s = io->sector + i;

			r->gen[s] = r->gen[s] == UNKNOWN ? 1 : r->gen[s] + 1;
			fill(io->buf + (size_t)i * WORDS, s, r->gen[s], r->seed);
		}
	else
		memset(io->buf, 0xa5, (size_t)io->nr * SECTOR);
	memset(r->busy + io->sector, 1, io->nr);
	io->cb = (struct iocb){
		.aio_lio_opcode = io->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)r->fd,
		.aio_buf = (uintptr_t)io->buf,
		.aio_nbytes = (uint64_t)io->nr * SECTOR,
		.aio_offset = (int64_t)(io->sector * SECTOR),
		.aio_data = (uintptr_t)io,
	};
	io->busy = true;
	if (syscall(SYS_io_submit, r->ctx, 1, list) != 1)
		die("io_submit", errno);
}

static void finish(struct run *r, const struct io_event *ev)
{
	struct io *io = (struct io *)(uintptr_t)ev->data;

	if (ev->res != (int64_t)((uint64_t)io->nr * SECTOR)) {
		fprintf(stderr, "blkverify: %s: %s of %u sectors at %" PRIu64 " gave %lld\n", r->path,
			io->write ? "write" : "read", io->nr, io->sector, (long long)ev->res);
		exit(1);
	}
	if (!io->write)
		for (uint32_t i = 0; i < io->nr; i++)
			check(r, io->sector + i, io->buf + (size_t)i * WORDS);
	*(io->write ? &r->writes : &r->reads) += 1;
	r->bytes += (uint64_t)io->nr * SECTOR;
	memset(r->busy + io->sector, 0, io->nr);
	io->busy = false;
	progress(r);
}

static void reap(struct run *r, long min)
{
	struct io_event ev[DEPTH_MAX];
	long n = syscall(SYS_io_getevents, r->ctx, min, (long)DEPTH_MAX, ev, NULL);

	if (n < 0 && errno != EINTR)
		die("io_getevents", errno);
	for (long i = 0; i < n; i++)
		finish(r, &ev[i]);
}

/* What a discard leaves is not defined: those sectors are known again when they are written. */
static void discard(struct run *r)
{
	struct io io;

	if (!place(r, &io))
		return;
	if (ioctl(r->fd, BLKDISCARD, (uint64_t[]){ io.sector * SECTOR, (uint64_t)io.nr * SECTOR }) < 0)
		die("BLKDISCARD", errno);
	for (uint32_t i = 0; i < io.nr; i++)
		r->gen[io.sector + i] = UNKNOWN;
	r->trims++;
	progress(r);
}

static void load(struct run *r)
{
	uint64_t end, sent = 0;

	r->last = now_ns();
	end = r->last + r->seconds * UINT64_C(1000000000);
	while (!stopped && sent < r->ios && (r->seconds == 0 || r->last < end)) {
		uint32_t in_flight = 0;

		for (uint32_t i = 0; i < r->depth; i++) {
			struct io *io = &r->io[i];

			if (!io->busy && sent < r->ios && place(r, io)) {
				submit(r, io);
				sent++;
			}
			in_flight += io->busy;
		}
		if (r->trim && below(r, 5) == 0)
			discard(r);
		if (r->flush && below(r, 5) == 0) {
			if (fdatasync(r->fd) < 0)
				die("fdatasync", errno);
			r->flushes++;
			progress(r);
		}
		if (in_flight)
			reap(r, 1);
	}
	for (uint32_t i = 0; i < r->depth; i++)
		while (r->io[i].busy)
			reap(r, 1);
	if (fdatasync(r->fd) < 0)
		die("fdatasync", errno);
}

static void read_all(struct run *r)
{
	uint64_t *buf = r->io[0].buf;
	uint32_t step = r->max / SECTOR;

	for (uint64_t s = 0; s < r->sectors; s += step) {
		uint64_t nr = r->sectors - s < step ? r->sectors - s : step;

		if (pread(r->fd, buf, nr * SECTOR, (off_t)(s * SECTOR)) != (ssize_t)(nr * SECTOR))
			die("read at the end", errno);
		for (uint64_t i = 0; i < nr; i++)
			check(r, s + i, buf + i * WORDS);
	}
}

static int scan(const char *path)
{
	uint64_t w[WORDS], s, zero = 0, written = 0;
	static const uint64_t nothing[WORDS];
	FILE *f = fopen(path, "rb");

	if (!f)
		die(path, errno);
	for (s = 0; fread(w, SECTOR, 1, f) == 1; s++) {
		if (memcmp(w, nothing, SECTOR) == 0) {
			zero++;
		} else if (w[0] == MAGIC && w[1] == s && whole(w)) {
			written++;
		} else {
			fprintf(stderr, "blkverify: %s: sector %" PRIu64 " is torn or misplaced\n", path, s);
			explain(w);
			return 1;
		}
	}
	fclose(f);
	printf("%" PRIu64 " sectors written, %" PRIu64 " untouched\n", written, zero);
	return written ? 0 : 1;
}

static uint32_t number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || (*end && strcmp(end, "k") != 0) || n > 1u << 30)
		die("a number is wrong", 0);
	return (uint32_t)(*end == 'k' ? n * 1024 : n);
}

static void open_device(struct run *r)
{
	struct stat st;

	r->fd = open(r->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (r->fd < 0 || fstat(r->fd, &st) < 0)
		die(r->path, errno);
	if (S_ISBLK(st.st_mode)) {
		uint64_t bytes;

		if (ioctl(r->fd, BLKGETSIZE64, &bytes) < 0)
			die("BLKGETSIZE64", errno);
		r->sectors = bytes / SECTOR;
	} else {
		r->sectors = (uint64_t)st.st_size / SECTOR;
	}
	r->gen = malloc(r->sectors * sizeof(*r->gen));
	r->busy = calloc(r->sectors, 1);
	if (!r->sectors || !r->gen || !r->busy)
		die("no memory, or an empty device", 0);
	memset(r->gen, 0xff, r->sectors * sizeof(*r->gen));
	for (uint32_t i = 0; i < r->depth; i++)
		if (posix_memalign((void **)&r->io[i].buf, 4096, r->max) != 0)
			die("no memory", 0);
	if (syscall(SYS_io_setup, r->depth, &r->ctx) < 0)
		die("io_setup", errno);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "ios", 1, NULL, 'n' },   { "seconds", 1, NULL, 's' }, { "depth", 1, NULL, 'd' },
		{ "min", 1, NULL, 'm' },   { "max", 1, NULL, 'M' },     { "seed", 1, NULL, 'S' },
		{ "reads", 1, NULL, 'r' }, { "trim", 0, NULL, 't' },    { "flush", 0, NULL, 'f' },
		{ "scan", 0, NULL, 'c' },  { "gaps", 1, NULL, 'g' },    { NULL, 0, NULL, 0 },
	};
	static struct run r = {
		.ios = UINT64_MAX, .depth = 16, .min = SECTOR, .max = 128 * 1024, .read_pct = 50, .seed = 1
	};
	bool only_scan = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (opt) {
		case 'n':
			r.ios = number(optarg);
			break;
		case 's':
			r.seconds = number(optarg);
			break;
		case 'd':
			r.depth = number(optarg);
			break;
		case 'm':
			r.min = number(optarg);
			break;
		case 'M':
			r.max = number(optarg);
			break;
		case 'S':
			r.seed = number(optarg);
			break;
		case 'r':
			r.read_pct = number(optarg);
			break;
		case 't':
			r.trim = true;
			break;
		case 'f':
			r.flush = true;
			break;
		case 'g':
			r.gaps = number(optarg);
			break;
		case 'c':
			only_scan = true;
			break;
		default:
			return 2;
		}
	if (optind != argc - 1 || r.depth < 1 || r.depth > DEPTH_MAX || r.min % SECTOR || r.max % SECTOR ||
	    r.min < SECTOR || r.max < r.min || r.gaps > GAPS_MAX) {
		fprintf(stderr,
			"usage: blkverify [--ios N] [--seconds N] [--depth N] [--min BYTES] [--max BYTES] [--reads "
			"PERCENT]\n"
			"                 [--trim] [--flush] [--seed N] [--gaps N] DEVICE\n       blkverify --scan "
			"IMAGE\n");
		return 2;
	}
	r.path = argv[optind];
	if (only_scan)
		return scan(r.path);
	r.rng = mix(r.seed);
	signal(SIGTERM, stop);
	open_device(&r);
	load(&r);
	read_all(&r);
	printf("%" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64 " trims, %" PRIu64 " flushes, %" PRIu64
	       " KiB: all as written\n",
	       r.reads, r.writes, r.trims, r.flushes, r.bytes / 1024);
	if (r.gaps) {
		printf("the longest times when nothing was done, ms:");
		for (uint32_t i = 0; i < r.gaps; i++)
			printf(" %" PRIu64, r.gap[i] / 1000000);
		printf("\n");
	}
	return 0;
}
