/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-io.c - `synth-blkfront io`: the load generator.
 *
 * One thread a queue.  A turn of its loop: poll completions, read the clock once, account and verify them, place
 * new I/O in the buffers that came back, publish all with one kick; sleep when nothing moved.  Nothing is allocated in it.
 *
 * --verify: a job owns a part of the region, so no two jobs write the same place; it keeps the sequence number of
 * each unit's last write and never has two I/Os on one unit in flight.  What it wrote is read back in the end.
 */
#include "frontend/block/synth-blkfront.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/span/span.h"
#include "frontend/block/blk-verify.h"

#define MAX_DEPTH     4096u
#define MAX_BS        (64u << 20)
#define MAX_UNITS     (1u << 28)
#define WAKE_PERCENT  50u
#define SLICE_MS      200u /* a sleeper looks at the clock at least so often */
#define POLL_US       1000000u
#define DEF_RUNTIME_S 5u

enum kind { K_READ, K_WRITE, K_RANDREAD, K_RANDWRITE, K_TRIM, K_FLUSH, K_NR };

static const char *const kind_names[K_NR] = { "read", "write", "randread", "randwrite", "trim", "flush" };

struct plan {
	uint32_t weight[K_NR], total_weight;
	const char *rw;
	uint64_t bs_min, bs_max;
	uint32_t depth, queues, order, runtime_s, rate, spin_us;
	uint32_t wake, wake_percent; /* so many, or when 0 so much of what is in flight */
	uint64_t ios, offset, size, seed;
	enum blkfront_grants grants;
	bool verify, json, no_indirect;
	uint32_t timeout_s;
	struct reconnect reconnect;
};

struct io {
	struct job *job;
	struct blkfront_buf *buf;
	uint64_t start, offset; /* ns, bytes */
	uint32_t bytes;
	enum kind kind;
	int err;
	bool readback;
	struct blkfront_xfer xfer;
};

struct job {
	const struct plan *plan;
	struct target *target;
	struct blkfront_queue *q;
	pthread_t thread;
	uint32_t index;
	uint64_t rng;
	uint64_t from, bytes, next; /* its part of the region; next sequential offset in it */
	struct io *ios, **idle, **done;
	struct io *held; /* decided, but the ring was full */
	uint32_t nr_idle, nr_done;
	uint64_t budget; /* I/Os left to issue */

	/* verify */
	uint32_t *seq; /* of each unit's last write; 0: not written in this run */
	uint8_t *busy;
	uint32_t last_seq;
	uint64_t cursor; /* read-back: next unit */
	uint64_t verified, unknown;

	/* results */
	struct hist hist;
	uint64_t issued, finished, bytes_done, errors, sum_ns, end_ns;
	struct blkfront_counts counts;
	bool mismatch;
} __attribute__((aligned(128)));

static _Atomic bool halt; /* some job failed: all stop */
static pthread_barrier_t gate;

/* ------------------------------------------------------------------ choosing */

static inline uint64_t rnd(struct job *j)
{
	uint64_t x = j->rng += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static inline uint64_t rnd_below(struct job *j, uint64_t n)
{
	return (uint64_t)((unsigned __int128)rnd(j) * n >> 64);
}

static enum kind choose_kind(struct job *j)
{
	const struct plan *p = j->plan;
	uint32_t r;
	int k = 0;

	for (; k < K_NR; k++)
		if (p->weight[k] == p->total_weight)
			return (enum kind)k;
	r = (uint32_t)rnd_below(j, p->total_weight);
	for (k = 0; k < K_NR - 1 && r >= p->weight[k]; k++)
		r -= p->weight[k];
	return (enum kind)k;
}

static uint32_t choose_bytes(struct job *j)
{
	const struct plan *p = j->plan;
	uint64_t steps = (p->bs_max - p->bs_min) / p->bs_min + 1;

	return (uint32_t)(steps == 1 ? p->bs_min : p->bs_min * (1 + rnd_below(j, steps)));
}

static inline bool is_random(enum kind k)
{
	return k == K_RANDREAD || k == K_RANDWRITE || k == K_TRIM;
}

static void choose_place(struct job *j, struct io *io)
{
	const struct plan *p = j->plan;

	io->bytes = choose_bytes(j);
	if (is_random(io->kind)) {
		io->offset = j->from + rnd_below(j, (j->bytes - io->bytes) / p->bs_min + 1) * p->bs_min;
		return;
	}
	if (j->next + io->bytes > j->bytes)
		j->next = 0;
	io->offset = j->from + j->next;
	j->next += io->bytes;
}

static inline bool reads(enum kind k)
{
	return k == K_READ || k == K_RANDREAD;
}

static inline bool writes(enum kind k)
{
	return k == K_WRITE || k == K_RANDWRITE;
}

/* ------------------------------------------------------------------ verify */

static bool units_busy(const struct job *j, const struct io *io)
{
	uint64_t first = (io->offset - j->from) / VERIFY_UNIT, n = io->bytes / VERIFY_UNIT;

	for (uint64_t i = 0; i < n; i++)
		if (j->busy[first + i])
			return true;
	return false;
}

/* Before submitting: claim the units, and fill what is written. */
static void verify_prepare(struct job *j, struct io *io)
{
	const uint32_t unit = VERIFY_UNIT;
	uint64_t first = (io->offset - j->from) / unit, n = io->bytes / unit;

	memset(j->busy + first, 1, n);
	if (!writes(io->kind))
		return;
	j->last_seq = j->last_seq == UINT32_MAX ? 1 : j->last_seq + 1;
	for (uint64_t i = 0; i < n; i++) {
		j->seq[first + i] = j->last_seq;
		verify_fill((uint8_t *)io->buf->mem + i * unit, io->offset + i * unit, j->last_seq,
			    j->plan->seed + j->index);
	}
}

static void verify_result(struct job *j, struct io *io)
{
	const uint32_t unit = VERIFY_UNIT;
	uint64_t first = (io->offset - j->from) / unit, n = io->bytes / unit;

	memset(j->busy + first, 0, n);
	/* A trim, or a write that failed, leaves anything. */
	if (io->kind == K_TRIM || (writes(io->kind) && io->err))
		memset(j->seq + first, 0, n * sizeof(*j->seq));
	if (!reads(io->kind) || io->err)
		return;
	for (uint64_t i = 0; i < n; i++) {
		enum verify_result r = verify_check((uint8_t *)io->buf->mem + i * unit, io->offset + i * unit,
						    j->seq[first + i], j->plan->seed + j->index);

		if (r == VERIFY_OK) {
			j->verified++;
		} else if (r == VERIFY_FOREIGN) {
			j->unknown++;
		} else {
			if (!halt)
				complain(EXIT_FAILED, NULL, "%s: verify failed at offset %llu: %s (queue %u)",
					 j->target->name, (unsigned long long)(io->offset + i * unit), verify_text(r),
					 j->index);
			j->mismatch = halt = true;
			return;
		}
	}
}

/* Next run of units written in this run, for the read-back; false at the end. */
static bool choose_readback(struct job *j, struct io *io)
{
	const uint32_t unit = VERIFY_UNIT;
	uint64_t units = j->bytes / unit, max = j->plan->bs_max / unit, n = 0;

	while (j->cursor < units && !j->seq[j->cursor])
		j->cursor++;
	if (j->cursor == units)
		return false;
	while (j->cursor + n < units && n < max && j->seq[j->cursor + n])
		n++;
	io->kind = K_READ;
	io->readback = true;
	io->offset = j->from + j->cursor * unit;
	io->bytes = (uint32_t)(n * unit);
	j->cursor += n;
	return true;
}

/* ------------------------------------------------------------------ running */

static void on_done(void *arg, int err)
{
	struct io *io = arg;

	io->err = err;
	io->job->done[io->job->nr_done++] = io;
}

static int place_io(struct job *j, struct io *io)
{
	static const enum blkfront_op ops[K_NR] = { BLKFRONT_READ,  BLKFRONT_WRITE,   BLKFRONT_READ,
						    BLKFRONT_WRITE, BLKFRONT_DISCARD, BLKFRONT_FLUSH };
	uint64_t sector = io->offset / SECTOR_BYTES, nr = io->bytes / SECTOR_BYTES;
	enum blkfront_op op = ops[io->kind];

	if (io->bytes <= blkfront_info(j->target->b)->max_bytes || io->kind == K_TRIM || io->kind == K_FLUSH)
		return blkfront_submit(j->q, op, sector, nr, io->buf->mem, on_done, io);
	io->xfer.op = op;
	io->xfer.sector = sector;
	io->xfer.nr = nr;
	io->xfer.mem = io->buf->mem;
	io->xfer.done = on_done;
	io->xfer.arg = io;
	return blkfront_xfer(j->q, &io->xfer);
}

/* Decide what @io does: 0, -EAGAIN (nothing at the moment), -ENODATA (nothing any more). */
static int choose(struct job *j, struct io *io, bool readback)
{
	io->readback = readback;
	if (readback)
		return choose_readback(j, io) ? 0 : -ENODATA;
	io->kind = choose_kind(j);
	io->offset = io->bytes = 0;
	if (io->kind == K_FLUSH)
		return 0;
	choose_place(j, io);
	/* Some other place, if that one is taken; when all that we try are, later. */
	for (int i = 0; j->busy && units_busy(j, io); i++) {
		if (i == 16)
			return -EAGAIN;
		choose_place(j, io);
	}
	return 0;
}

/* One more I/O: 0, -EAGAIN (not now), -ENODATA (never again), or an error that ends the run. */
static int issue(struct job *j, uint64_t now, bool readback)
{
	struct io *io = j->held;
	int err;

	if (!io) {
		io = j->idle[j->nr_idle - 1];
		err = choose(j, io, readback);
		if (err < 0)
			return err;
		if (j->busy && io->bytes)
			verify_prepare(j, io);
		j->held = io;
		j->nr_idle--;
	}
	io->start = now;
	err = place_io(j, io);
	if (err == 0)
		j->held = NULL;
	return err;
}

/* What was decided and not placed is not done: the disk holds what it held. */
static void forget_held(struct job *j)
{
	struct io *io = j->held;

	if (!io)
		return;
	if (j->busy && io->bytes) {
		uint64_t first = (io->offset - j->from) / VERIFY_UNIT, n = io->bytes / VERIFY_UNIT;

		memset(j->busy + first, 0, n);
		if (writes(io->kind))
			memset(j->seq + first, 0, n * sizeof(*j->seq));
	}
	j->held = NULL;
	j->idle[j->nr_idle++] = io;
}

/* Account what the poll brought. */
static void account(struct job *j, uint64_t now)
{
	while (j->nr_done) {
		struct io *io = j->done[--j->nr_done];
		uint64_t ns = now - io->start;

		j->idle[j->nr_idle++] = io;
		if (io->err) {
			if (j->errors++ == 0 && blkfront_status(j->target->b) == 0)
				complain(EXIT_FAILED, NULL, "%s: %s at offset %llu failed: %s", j->target->name,
					 kind_names[io->kind], (unsigned long long)io->offset, strerror(-io->err));
		} else if (!io->readback) {
			j->finished++;
			j->bytes_done += io->bytes;
			j->sum_ns += ns;
			hist_add(&j->hist, ns);
		}
		if (j->busy && io->bytes)
			verify_result(j, io);
	}
}

static uint32_t wake_after(const struct job *j)
{
	uint32_t n = blkfront_inflight(j->q);

	return j->plan->wake ? j->plan->wake : MAX(n * j->plan->wake_percent / 100, 1u);
}

/* How many I/Os the rate allows to be issued by @now. */
static uint64_t allowed(const struct job *j, uint64_t start, uint64_t now)
{
	const struct plan *p = j->plan;

	if (!p->rate)
		return UINT64_MAX;
	return 1 + (uint64_t)((double)(now - start) / 1e9 * (double)p->rate / (double)p->queues);
}

/* Until the time is over, the count is reached, or something fails; then wait for what is in flight. */
static void run_phase(struct job *j, uint64_t start, uint64_t end, bool readback)
{
	const struct plan *p = j->plan;
	uint64_t now = now_ns(), issued = 0, heard = now;
	bool over = false;
	int err = 0;

	for (;;) {
		over = over || halt || interrupted || now >= end || (!readback && issued >= j->budget);
		while (!over && (j->nr_idle || j->held) &&
		       (readback || (issued < j->budget && issued < allowed(j, start, now)))) {
			err = issue(j, now, readback);
			if (err == -EAGAIN)
				break;
			if (err < 0) {
				over = true;
				break;
			}
			issued++;
		}
		if (over)
			forget_held(j);
		if (over && j->nr_idle == p->depth)
			break;
		blkfront_kick(j->q);
		if (blkfront_inflight(j->q) == 0 && j->nr_idle == p->depth) {
			/* Held back by the rate alone. */
			nanosleep(&(struct timespec){ 0, 100000 }, NULL);
		} else if (blkfront_poll(j->q) == 0) {
			blkfront_wait(j->q, wake_after(j), p->spin_us, p->rate ? 1 : SLICE_MS);
			blkfront_poll(j->q);
		}
		now = now_ns();
		/* Who waits for a back end that is away has its own time limit; but for one who is told to stop. */
		if (j->nr_done || !over || (blkfront_away(j->target->b) && !interrupted))
			heard = now;
		else if (out_of_patience(heard) && blkfront_status(j->target->b) != -ETIMEDOUT)
			blkfront_give_up(j->target->b);
		account(j, now);
	}
	j->issued += issued;
	if (err < 0 && err != -EAGAIN && err != -ENODATA) {
		if (!halt && blkfront_status(j->target->b) == 0)
			complain(EXIT_FAILED, NULL, "%s: cannot submit: %s", j->target->name, strerror(-err));
		halt = true;
		j->errors++;
	}
}

static void *job_thread(void *arg)
{
	struct job *j = arg;
	const struct plan *p = j->plan;
	uint64_t start;

	pthread_barrier_wait(&gate);
	start = now_ns();
	run_phase(j, start, p->runtime_s ? start + p->runtime_s * (uint64_t)1000000000 : UINT64_MAX, false);
	j->end_ns = now_ns();
	j->counts = blkfront_counts(j->q);
	pthread_barrier_wait(&gate);
	if (p->verify && !halt && !interrupted)
		run_phase(j, now_ns(), UINT64_MAX, true);
	return NULL;
}

/* ------------------------------------------------------------------ setting up */

static void job_free(struct job *j)
{
	free(j->ios);
	free(j->idle);
	free(j->done);
	free(j->seq);
	free(j->busy);
}

static int job_init(struct job *j, const struct plan *p, struct target *t, uint32_t index)
{
	uint64_t share = p->size / p->queues / p->bs_max * p->bs_max, units = 0;
	bool split = p->verify || p->weight[K_READ] || p->weight[K_WRITE];

	j->plan = p;
	j->target = t;
	j->index = index;
	j->q = blkfront_queue(t->b, index);
	j->rng = p->seed * 0x9e3779b97f4a7c15u + index;
	j->from = p->offset + (split ? index * share : 0);
	j->bytes = split ? share : p->size / p->bs_min * p->bs_min;
	j->budget = p->ios ? p->ios / p->queues + (index < p->ios % p->queues) : UINT64_MAX;
	j->ios = calloc(p->depth, sizeof(*j->ios));
	j->idle = calloc(p->depth, sizeof(struct io *));
	j->done = calloc(p->depth, sizeof(struct io *));
	if (p->verify) {
		units = j->bytes / VERIFY_UNIT;
		j->seq = calloc(units, sizeof(*j->seq));
		j->busy = calloc(units, 1);
	}
	if (!j->ios || !j->idle || !j->done || (p->verify && (!j->seq || !j->busy)))
		return -ENOMEM;
	for (uint32_t i = p->depth; i-- > 0;) {
		j->ios[i].job = j;
		j->ios[i].buf = blkfront_buf_get(j->q);
		j->idle[j->nr_idle++] = &j->ios[i];
		/* Some data that does not compress; no place claims it. */
		for (uint64_t b = 0; !p->verify && (p->weight[K_WRITE] || p->weight[K_RANDWRITE]) && b < p->bs_max;
		     b += 8)
			memcpy((uint8_t *)j->ios[i].buf->mem + b, &(uint64_t){ rnd(j) }, 8);
	}
	return 0;
}

/* ------------------------------------------------------------------ telling */

struct result {
	struct hist hist;
	uint64_t ios, bytes, errors, sum_ns, verified, unknown;
	struct blkfront_counts c; /* reconnects: of the queue that has seen most */
	double seconds, user_us, sys_us, switches;
	bool mismatch;
};

static double per_io(double v, const struct result *r)
{
	return r->ios ? v / (double)r->ios : 0;
}

static const char *grants_name(enum blkfront_grants g)
{
	return g == BLKFRONT_PERSISTENT ? "persistent" : g == BLKFRONT_REUSE ? "reuse" : "per-io";
}

static const struct {
	const char *name;
	double p;
} quantiles[] = { { "p50", 50 }, { "p90", 90 }, { "p99", 99 }, { "p99_9", 99.9 } };

static void tell_json(const struct plan *p, const struct target *t, const struct result *r)
{
	const struct blkfront_info *i = blkfront_info(t->b);
	struct json_object *o = json_object_new_object(), *lat = json_object_new_object();

	put_i(o, "v", 1);
	put_s(o, "device", t->name);
	put_s(o, "backend", t->dev.back);
	put_s(o, "rw", p->rw);
	put_i(o, "bs_min", p->bs_min);
	put_i(o, "bs_max", p->bs_max);
	put_i(o, "depth", p->depth);
	put_i(o, "queues", p->queues);
	put_i(o, "ring_pages", i->ring_pages);
	put_i(o, "max_segments", i->max_segments);
	put_s(o, "grants", grants_name(i->grants));
	put_s(o, "wait", p->spin_us == 0 ? "sleep" : p->spin_us == POLL_US ? "poll" : "spin");
	put_i(o, "spin_us", p->spin_us);
	put_i(o, "seed", p->seed);
	put_d(o, "seconds", r->seconds);
	put_i(o, "ios", r->ios);
	put_i(o, "bytes", r->bytes);
	put_i(o, "errors", r->errors);
	put_d(o, "iops", (double)r->ios / r->seconds);
	put_d(o, "mb_s", (double)r->bytes / r->seconds / 1e6);
	put_d(lat, "mean", per_io((double)r->sum_ns, r));
	for (size_t k = 0; k < ARRAY_SIZE(quantiles); k++)
		put_i(lat, quantiles[k].name, hist_percentile(&r->hist, quantiles[k].p));
	put_i(lat, "max", r->hist.max);
	json_object_object_add(o, "lat_ns", lat);
	put_d(o, "requests_per_io", per_io((double)r->c.requests, r));
	put_d(o, "events_sent_per_io", per_io((double)r->c.events_sent, r));
	put_d(o, "events_received_per_io", per_io((double)r->c.events_received, r));
	put_i(o, "events_idle", r->c.events_idle);
	put_d(o, "sleeps_per_io", per_io((double)r->c.sleeps, r));
	put_i(o, "reconnects", r->c.reconnects);
	put_i(o, "replayed", r->c.replayed);
	put_d(o, "cpu_us_per_io", per_io(r->user_us + r->sys_us, r));
	put_d(o, "cpu_user_us_per_io", per_io(r->user_us, r));
	put_d(o, "cpu_sys_us_per_io", per_io(r->sys_us, r));
	put_d(o, "context_switches_per_io", per_io(r->switches, r));
	if (p->verify) {
		put_i(o, "verified_units", r->verified);
		put_i(o, "unknown_units", r->unknown);
		json_object_object_add(o, "mismatch", json_object_new_boolean(r->mismatch));
	}
	print_json(o, false);
	json_object_put(o);
}

static void tell_text(const struct plan *p, const struct target *t, const struct result *r)
{
	const struct blkfront_info *i = blkfront_info(t->b);

	printf("%s: %s, %llu", t->name, p->rw, (unsigned long long)p->bs_min);
	if (p->bs_max != p->bs_min)
		printf("-%llu", (unsigned long long)p->bs_max);
	printf(" bytes, depth %u, %u queue(s) of %u ring page(s), grants %s\n", p->depth, p->queues, i->ring_pages,
	       grants_name(i->grants));
	printf("  %.0f IOPS, %.1f MB/s (%llu I/Os in %.2f s, %llu errors)\n", (double)r->ios / r->seconds,
	       (double)r->bytes / r->seconds / 1e6, (unsigned long long)r->ios, r->seconds,
	       (unsigned long long)r->errors);
	printf("  latency us: mean %.1f", per_io((double)r->sum_ns, r) / 1e3);
	for (size_t k = 0; k < ARRAY_SIZE(quantiles); k++)
		printf("  %s %.1f", quantiles[k].name, (double)hist_percentile(&r->hist, quantiles[k].p) / 1e3);
	printf("  max %.1f\n", (double)r->hist.max / 1e3);
	printf("  per I/O: %.4f events sent, %.4f received; %.3f us CPU (%.3f user, %.3f system)\n",
	       per_io((double)r->c.events_sent, r), per_io((double)r->c.events_received, r),
	       per_io(r->user_us + r->sys_us, r), per_io(r->user_us, r), per_io(r->sys_us, r));
	if (r->c.reconnects)
		printf("  the back end went away and came back %llu time(s); %llu request(s) were sent again\n",
		       (unsigned long long)r->c.reconnects, (unsigned long long)r->c.replayed);
	if (p->verify)
		printf("  verify: %llu units right, %llu not ours%s\n", (unsigned long long)r->verified,
		       (unsigned long long)r->unknown, r->mismatch ? ", MISMATCH" : "");
}

/* ------------------------------------------------------------------ options */

static int parse_rw(struct plan *p, const char *text)
{
	char buf[256], *save = NULL, *word;

	if (strlen(text) >= sizeof(buf))
		return usage("--rw is too long");
	p->rw = text;
	strcpy(buf, text);
	for (word = strtok_r(buf, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(word, '=');
		uint32_t w = 1;
		int k;

		if (eq) {
			*eq = '\0';
			if (opt_u32("--rw", eq + 1, 1000000, &w))
				return EXIT_USAGE;
		}
		if (!strcmp(word, "randrw")) {
			p->weight[K_RANDREAD] += w;
			p->weight[K_RANDWRITE] += w;
			p->total_weight += 2 * w;
			continue;
		}
		for (k = 0; k < K_NR && strcmp(word, kind_names[k]);)
			k++;
		if (k == K_NR)
			return usage("--rw: '%s' is none of read, write, randread, randwrite, randrw, trim, flush",
				     word);
		p->weight[k] += w;
		p->total_weight += w;
	}
	return p->total_weight ? 0 : usage("--rw says to do nothing");
}

static int parse_bs(struct plan *p, const char *text)
{
	char buf[64], *dash;
	int r;

	if (strlen(text) >= sizeof(buf))
		return usage("--bs is too long");
	strcpy(buf, text);
	dash = strchr(buf, '-');
	if (dash)
		*dash = '\0';
	r = opt_size("--bs", buf, &p->bs_min);
	if (!r)
		r = dash ? opt_size("--bs", dash + 1, &p->bs_max) : 0;
	if (!dash)
		p->bs_max = p->bs_min;
	if (r)
		return r;
	if (p->bs_min < SECTOR_BYTES || p->bs_min % SECTOR_BYTES || p->bs_max < p->bs_min || p->bs_max > MAX_BS)
		return usage("--bs: '%s' is not a size (or MIN-MAX) of 512-byte sectors up to 64M", text);
	p->bs_max -= p->bs_max % p->bs_min;
	return 0;
}

static int parse_wake(struct plan *p, const char *text)
{
	char buf[16];
	size_t n = strlen(text);

	if (n == 0 || n >= sizeof(buf) || text[n - 1] != '%')
		return opt_u32("--wake", text, MAX_DEPTH, &p->wake);
	memcpy(buf, text, n);
	buf[n - 1] = '\0';
	p->wake = 0;
	return opt_u32("--wake", buf, 100, &p->wake_percent);
}

static int parse_grants(struct plan *p, const char *text)
{
	for (int g = BLKFRONT_PERSISTENT; g <= BLKFRONT_PER_IO; g++)
		if (!strcmp(text, grants_name((enum blkfront_grants)g))) {
			p->grants = (enum blkfront_grants)g;
			return 0;
		}
	return usage("--grants: '%s' is none of persistent, reuse, per-io", text);
}

enum {
	O_RW = 256,
	O_BS,
	O_DEPTH,
	O_QUEUES,
	O_ORDER,
	O_RUNTIME,
	O_IOS,
	O_RATE,
	O_VERIFY,
	O_POLL,
	O_SLEEP,
	O_SPIN,
	O_WAKE,
	O_NOPERSIST,
	O_GRANTS,
	O_NOINDIRECT,
	O_OFFSET,
	O_SIZE,
	O_SEED,
	O_JSON,
	O_TIMEOUT
}; /* and of synth-blkfront.h */

static const struct option options[] = {
	{ "rw", 1, NULL, O_RW },
	{ "bs", 1, NULL, O_BS },
	{ "depth", 1, NULL, O_DEPTH },
	{ "queues", 1, NULL, O_QUEUES },
	{ "ring-order", 1, NULL, O_ORDER },
	{ "runtime", 1, NULL, O_RUNTIME },
	{ "ios", 1, NULL, O_IOS },
	{ "rate", 1, NULL, O_RATE },
	{ "verify", 0, NULL, O_VERIFY },
	{ "poll", 0, NULL, O_POLL },
	{ "sleep", 0, NULL, O_SLEEP },
	{ "spin", 1, NULL, O_SPIN },
	{ "wake", 1, NULL, O_WAKE },
	{ "no-persistent", 0, NULL, O_NOPERSIST },
	{ "grants", 1, NULL, O_GRANTS },
	{ "no-indirect", 0, NULL, O_NOINDIRECT },
	{ "offset", 1, NULL, O_OFFSET },
	{ "size", 1, NULL, O_SIZE },
	{ "seed", 1, NULL, O_SEED },
	{ "json", 0, NULL, O_JSON },
	{ "timeout", 1, NULL, O_TIMEOUT },
	RECONNECT_OPTIONS,
	{ NULL, 0, NULL, 0 },
};

static int parse_one(struct plan *p, int c, const char *v)
{
	switch (c) {
	case O_RW:
		memset(p->weight, 0, sizeof(p->weight));
		p->total_weight = 0;
		return parse_rw(p, v);
	case O_BS:
		return parse_bs(p, v);
	case O_DEPTH:
		return opt_u32("--depth", v, MAX_DEPTH, &p->depth);
	case O_QUEUES:
		return opt_u32("--queues", v, FRONT_MAX_QUEUES, &p->queues);
	case O_ORDER:
		return opt_u32("--ring-order", v, FRONT_MAX_ORDER, &p->order);
	case O_RUNTIME:
		return opt_u32("--runtime", v, 31536000, &p->runtime_s);
	case O_IOS:
		return opt_size("--ios", v, &p->ios);
	case O_RATE:
		return opt_u32("--rate", v, UINT32_MAX, &p->rate);
	case O_VERIFY:
		p->verify = true;
		return 0;
	case O_POLL:
		p->spin_us = POLL_US;
		return 0;
	case O_SLEEP:
		p->spin_us = 0;
		return 0;
	case O_SPIN:
		return opt_u32("--spin", v, POLL_US - 1, &p->spin_us);
	case O_WAKE:
		return parse_wake(p, v);
	case O_NOPERSIST:
		p->grants = BLKFRONT_PER_IO;
		return 0;
	case O_GRANTS:
		return parse_grants(p, v);
	case O_NOINDIRECT:
		p->no_indirect = true;
		return 0;
	case O_OFFSET:
		return opt_size("--offset", v, &p->offset);
	case O_SIZE:
		return opt_size("--size", v, &p->size);
	case O_SEED:
		return opt_size("--seed", v, &p->seed);
	case O_JSON:
		p->json = true;
		return 0;
	case O_TIMEOUT:
		return opt_u32("--timeout", v, 86400, &p->timeout_s);
	default:
		return opt_reconnect(&p->reconnect, c, v);
	}
}

/* What can only be known of the connected disk. */
static int fit(struct plan *p, const struct target *t)
{
	const struct blkfront_info *i = blkfront_info(t->b);
	uint64_t disk = blkfront_sectors(t->b) * SECTOR_BYTES;
	bool w = p->weight[K_WRITE] || p->weight[K_RANDWRITE] || p->weight[K_TRIM];

	p->queues = i->nr_queues;
	if (p->offset >= disk || p->offset % p->bs_min)
		return complain(EXIT_USAGE, NULL,
				"--offset: %llu is past the end of %s (%llu bytes), or not a multiple of --bs",
				(unsigned long long)p->offset, t->name, (unsigned long long)disk);
	if (!p->size || p->size > disk - p->offset)
		p->size = disk - p->offset;
	if (p->size / p->queues < p->bs_max)
		return complain(EXIT_USAGE, NULL, "the region of %llu bytes is too small for %u queue(s) and --bs",
				(unsigned long long)p->size, p->queues);
	if (p->verify && p->size / VERIFY_UNIT / p->queues > MAX_UNITS)
		return complain(EXIT_USAGE, "narrow it with --size", "the region is too large to --verify");
	if (p->bs_min % i->sector_size)
		return complain(EXIT_USAGE, NULL, "--bs: the disk has sectors of %u bytes", i->sector_size);
	if (w && i->readonly)
		return complain(EXIT_FAILED, NULL, "%s is read-only", t->name);
	if (p->weight[K_TRIM] && !i->discard)
		return complain(EXIT_FAILED, NULL, "the back end of %s offers no discard", t->name);
	if (p->weight[K_FLUSH] && !i->flush)
		return complain(EXIT_FAILED, NULL, "the back end of %s offers no flush", t->name);
	return 0;
}

/* ------------------------------------------------------------------ the run */

static double tv_us(struct timeval a, struct timeval b)
{
	return (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_usec - a.tv_usec);
}

static int run_jobs(struct job *jobs, const struct plan *p, struct result *r)
{
	struct rusage before, after;
	uint64_t start, end = 0;

	if (pthread_barrier_init(&gate, NULL, p->queues + 1) != 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->queues; i++)
		if (pthread_create(&jobs[i].thread, NULL, job_thread, &jobs[i]) != 0)
			exit(complain(EXIT_FAILED, NULL, "cannot start a thread"));
	pthread_barrier_wait(&gate);
	getrusage(RUSAGE_SELF, &before);
	start = now_ns();
	pthread_barrier_wait(&gate);
	getrusage(RUSAGE_SELF, &after);
	for (uint32_t i = 0; i < p->queues; i++)
		pthread_join(jobs[i].thread, NULL);
	for (uint32_t i = 0; i < p->queues; i++) {
		struct job *j = &jobs[i];

		hist_merge(&r->hist, &j->hist);
		r->ios += j->finished;
		r->bytes += j->bytes_done;
		r->errors += j->errors;
		r->sum_ns += j->sum_ns;
		r->verified += j->verified;
		r->unknown += j->unknown;
		r->mismatch = r->mismatch || j->mismatch;
		r->c.requests += j->counts.requests;
		r->c.events_sent += j->counts.events_sent;
		r->c.events_received += j->counts.events_received;
		r->c.events_idle += j->counts.events_idle;
		r->c.sleeps += j->counts.sleeps;
		r->c.reconnects = MAX(r->c.reconnects, j->counts.reconnects);
		r->c.replayed += j->counts.replayed;
		end = MAX(end, j->end_ns);
	}
	r->seconds = (double)MAX(end - start, 1u) / 1e9;
	r->user_us = tv_us(before.ru_utime, after.ru_utime);
	r->sys_us = tv_us(before.ru_stime, after.ru_stime);
	r->switches = (double)(after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw);
	pthread_barrier_destroy(&gate);
	return 0;
}

static int load(struct plan *p, struct target *t)
{
	struct job *jobs = aligned_alloc(_Alignof(struct job), p->queues * sizeof(*jobs));
	struct result r = { .seconds = 1 };
	int err = jobs ? 0 : -ENOMEM;

	if (jobs)
		memset(jobs, 0, p->queues * sizeof(*jobs));
	for (uint32_t i = 0; i < p->queues && err == 0; i++)
		err = job_init(&jobs[i], p, t, i);
	if (err == 0)
		err = run_jobs(jobs, p, &r);
	for (uint32_t i = 0; jobs && i < p->queues; i++)
		job_free(&jobs[i]);
	free(jobs);
	if (err < 0)
		return complain(EXIT_FAILED, NULL, "cannot start the load: %s", strerror(-err));
	if (p->json)
		tell_json(p, t, &r);
	else
		tell_text(p, t, &r);
	if (blkfront_status(t->b) != 0)
		return target_over(t, "stopped early");
	return r.errors || r.mismatch ? EXIT_FAILED : EXIT_OK;
}

int cmd_io(int argc, char **argv)
{
	struct plan p = { .bs_min = 4096,
			  .bs_max = 4096,
			  .depth = 1,
			  .queues = 1,
			  .order = FRONT_MAX_ORDER,
			  .seed = 1,
			  .wake_percent = WAKE_PERCENT,
			  .timeout_s = 30,
			  .reconnect = RECONNECT_DEFAULT };
	struct blkfront_config c = { 0 };
	struct target t = { 0 };
	const char *dev;
	int o, r = parse_rw(&p, "randread");

	while (!r && (o = opt_next(argc, argv, "", options)) != -1)
		r = parse_one(&p, o, optarg);
	if (r)
		return r;
	r = opt_dev(argc, argv, optind, &dev);
	if (r)
		return r;
	if (p.depth < 1 || p.queues < 1)
		return usage("--depth and --queues are at least 1");
	if (!p.runtime_s && !p.ios)
		p.runtime_s = DEF_RUNTIME_S;
	c.queues = p.queues;
	c.max_order = p.order;
	c.buf_bytes = (uint32_t)p.bs_max;
	c.bufs = p.depth;
	c.grants = p.grants;
	c.no_indirect = p.no_indirect;
	c.timeout_ms = p.timeout_s * 1000;
	c.reconnect = !p.reconnect.never;
	c.reconnect_s = p.reconnect.seconds;
	catch_signals();
	r = target_find(&t, dev);
	if (!r)
		r = target_open(&t, &c);
	if (!r)
		r = fit(&p, &t);
	if (!r)
		r = load(&p, &t);
	return target_close(&t, r);
}
