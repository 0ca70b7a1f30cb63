/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-io.c - `synth-netfront io`: generator, sink and reflector of frames that can be verified (net-probe.h).
 *
 * One thread a queue; queue k sends flow k.  A turn of its loop: send what rate, window and room allow, publish with one
 * kick, take what came; sleep when nothing moved.  Nothing is allocated in it.
 *
 * The three last frames of a flow say how many there were, so that a sink knows what it has missed.
 */
#include "frontend/net/synth-netfront.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/net/mac.h"
#include "common/span/span.h"
#include "frontend/net/net-probe.h"

#define BURST         64u
#define MAX_FLOWS     64u
#define DEF_RUNTIME_S 5u
#define DEF_SIZE      64u
#define DEF_WINDOW    64u /* echo */
#define SLICE_NS      ((uint64_t)50 * 1000000)
#define LOST_NS       ((uint64_t)500 * 1000000) /* so long without an echo, and what is out does not come back */
#define DRAIN_NS      ((uint64_t)2000 * 1000000)
#define END_FRAMES    3u
#define PATIENCE_NS   ((uint64_t)30 * 1000000000) /* unless --timeout says otherwise */

enum mode { M_SEND, M_SINK, M_ECHO, M_REFLECT, M_NR };
static const char *const modes[M_NR] = { "send", "sink", "echo", "reflect" };

struct plan {
	enum mode mode;
	enum probe_kind kind;
	struct netfront_config config;
	uint8_t dst[6];
	uint32_t size_min, size_max, rate, runtime_s, window, gso, run, nap_us;
	uint64_t frames;
	bool verify, json, csum, has_seed, has_window;
};

struct job {
	const struct plan *plan;
	struct target *t;
	struct netfront_queue *q;
	struct job *all;
	uint32_t nr_jobs;
	pthread_t thread;
	struct probe next; /* what to send */
	uint64_t rng, budget, sent, sent_bytes;
	_Atomic uint64_t back;                        /* of this queue's flow, whichever queue it came back on */
	uint64_t start_ns, end_ns, first_ns, last_ns; /* of sending; of what came */
	struct probe_flow flow[MAX_FLOWS];
	bool stuck;
	uint64_t foreign, bad[PROBE_NR], untracked, turned, not_turned, no_room;
	struct hist hist;
	struct netfront_counts counts;
	uint8_t *frame, *payload; /* NET_FRAME_MAX bytes each */
} __attribute__((aligned(128)));

static pthread_barrier_t gate;
static _Atomic uint32_t ended; /* jobs of a sink that have seen the end of all that they saw */

/* ------------------------------------------------------------------ receiving */

static struct probe_flow *flow_of(struct job *j, const struct probe *p)
{
	for (uint32_t i = 0; i < MAX_FLOWS; i++) {
		struct probe_flow *f = &j->flow[(p->run + p->flow + i) % MAX_FLOWS];

		if (!f->used || (f->run == p->run && f->flow == p->flow))
			return f;
	}
	return NULL;
}

static void gather(struct job *j, const struct netfront_frame *f, uint32_t max)
{
	uint32_t have = 0;

	for (uint32_t i = 0; i < f->nr && have < max; i++) {
		uint32_t n = MIN((uint32_t)f->iov[i].iov_len, max - have);

		memcpy(j->frame + have, f->iov[i].iov_base, n);
		have += n;
	}
}

static void reflect(struct job *j, const struct netfront_frame *f)
{
	struct net_takes takes = netfront_info(j->t->n)->takes;
	struct iovec iov[NET_MAX_SEGS];
	struct virtio_net_hdr v;
	struct net_meta meta;
	bool finish;
	uint32_t nr;
	int err;

	gather(j, f, f->bytes);
	/* As far as the back end takes the offloads that it gives. */
	err = offload_to_vnet(&f->meta, j->frame, f->bytes, f->bytes, &v);
	if (err == 0)
		err = offload_from_vnet(&v, j->frame, f->bytes, f->bytes, &takes, &meta, &finish);
	if (err > 0) /* no frame of ours has a tag */
		err = -EOPNOTSUPP;
	probe_turn(j->frame, f->bytes);
	if (err == 0 && finish)
		err = frame_finish(j->frame, f->bytes, v.csum_start, v.csum_offset);
	nr = netfront_tx_pages(j->q, iov, (f->bytes + PAGE_BYTES - 1) / PAGE_BYTES);
	for (uint32_t i = 0; i < nr; i++)
		memcpy(iov[i].iov_base, j->frame + (size_t)i * PAGE_BYTES, MIN(PAGE_BYTES, f->bytes - i * PAGE_BYTES));
	if (err == 0)
		err = netfront_tx(j->q, f->bytes, &meta);
	if (err == 0)
		j->turned++;
	else
		j->not_turned++;
}

static void on_frame(void *arg, const struct netfront_frame *f)
{
	struct job *j = arg;
	const struct plan *p = j->plan;
	struct probe_flow *flow;
	enum probe_result r;
	struct probe probe;
	uint32_t data;

	if (p->mode == M_REFLECT) {
		reflect(j, f);
		return;
	}
	if (p->mode == M_SEND)
		return;
	/* Without --verify only the headers are looked at. */
	gather(j, f, p->verify ? f->bytes : FRAME_HEAD_MAX);
	r = probe_check(j->frame, f->bytes, p->verify, f->meta.csum_blank, &probe, &data);
	if (r != PROBE_OK) {
		j->bad[r]++;
		return;
	}
	if (p->mode == M_ECHO && probe.run != p->run) {
		j->foreign++;
		return;
	}
	flow = flow_of(j, &probe);
	if (!flow) {
		j->untracked++;
		return;
	}
	j->last_ns = now_ns();
	if (!j->first_ns)
		j->first_ns = j->last_ns;
	probe_count(flow, &probe, f->bytes, data);
	if (p->mode != M_ECHO || probe.end)
		return;
	if (probe.flow < j->nr_jobs)
		atomic_fetch_add_explicit(&j->all[probe.flow].back, 1, memory_order_relaxed);
	if (probe.sent_ns && probe.sent_ns < j->last_ns)
		hist_add(&j->hist, j->last_ns - probe.sent_ns);
}

/* ------------------------------------------------------------------ sending */

static inline uint64_t rnd(struct job *j)
{
	uint64_t x = j->rng += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* One frame of @bytes: 0, -EAGAIN (no room), or what ended the device. */
static int send_frame(struct job *j, uint32_t bytes, uint64_t now)
{
	const struct plan *p = j->plan;
	struct iovec iov[NET_MAX_SEGS];
	struct net_meta m = { .csum_blank = p->csum };
	/* Without --verify what is behind the headers is of no interest; a page sends what was last in it. */
	uint32_t nr = (bytes + PAGE_BYTES - 1) / PAGE_BYTES, first = MIN(bytes, PAGE_BYTES);
	bool whole = p->verify || probe_is_tcp(p->kind) || p->kind != PROBE_ETH;
	int err;

	if (netfront_tx_pages(j->q, iov, nr) < nr)
		return -EAGAIN;
	/* A segmented frame keeps its segments small enough for all on the way. */
	if (p->gso && bytes > probe_head_bytes(p->kind) + p->gso) {
		m.gso_type = p->kind == PROBE_TCP4 ? XEN_NETIF_GSO_TYPE_TCPV4 : XEN_NETIF_GSO_TYPE_TCPV6;
		m.gso_size = (uint16_t)p->gso;
		m.csum_blank = true;
	}
	j->next.sent_ns = now;
	if (whole || nr > 1) {
		probe_build(&j->next, j->payload, bytes, p->verify, m.csum_blank);
		for (uint32_t i = 0; i < nr; i++)
			memcpy(iov[i].iov_base, j->payload + (size_t)i * PAGE_BYTES,
			       MIN(PAGE_BYTES, bytes - i * PAGE_BYTES));
	} else {
		probe_build(&j->next, iov[0].iov_base, first, false, false);
	}
	err = netfront_tx(j->q, bytes, &m);
	if (err < 0)
		return err;
	if (j->next.end)
		return 0;
	j->next.seq += probe_is_tcp(p->kind) ? bytes - probe_head_bytes(p->kind) : 1;
	j->sent++;
	j->sent_bytes += bytes;
	return 0;
}

/* How many frames may be sent by @now. */
static uint64_t allowed(const struct job *j, uint64_t now)
{
	const struct plan *p = j->plan;
	uint64_t n = j->budget;

	if (p->rate)
		n = MIN(n, 1 + (uint64_t)((double)(now - j->start_ns) / 1e9 * (double)p->rate / j->nr_jobs));
	if (p->window)
		n = MIN(n, atomic_load_explicit(&j->back, memory_order_relaxed) + p->window);
	return n;
}

/* As many as may be, a burst at most.  0 or more; -EAGAIN: none, for lack of room. */
static int send_burst(struct job *j, uint64_t now)
{
	const struct plan *p = j->plan;
	uint64_t most = allowed(j, now);
	int n = 0, err = 0;

	for (; n < (int)BURST && j->sent < most && err == 0; n += err == 0) {
		uint32_t bytes = p->size_min;

		if (p->size_max > p->size_min)
			bytes += (uint32_t)(rnd(j) % (p->size_max - p->size_min + 1));
		err = send_frame(j, bytes, now);
	}
	if (n > 0)
		netfront_kick(j->q);
	j->no_room += err == -EAGAIN;
	return n > 0 ? n : err == -EAGAIN ? -EAGAIN : 0;
}

/* ------------------------------------------------------------------ a job */

static uint32_t receive(struct job *j)
{
	uint32_t n = netfront_rx(j->q, BURST, on_frame, j);

	if (n && j->plan->mode == M_REFLECT)
		netfront_kick(j->q);
	return n;
}

/* Sleep until something comes, @room until there is room too, or so many ns have passed. */
static void wait_for(struct job *j, bool room, uint64_t ns)
{
	if (j->plan->nap_us) {
		nanosleep(&(struct timespec){ 0, (long)j->plan->nap_us * 1000 }, NULL);
		return;
	}
	if (netfront_arm_rx(j->q) || (room && netfront_arm_tx(j->q)))
		return;
	netfront_sleep(j->q, -1, 0, (uint32_t)(ns / 1000000) + 1);
}

static bool over(const struct job *j)
{
	return interrupted || netfront_status(j->t->n) != 0;
}

static void run_sender(struct job *j)
{
	const struct plan *p = j->plan;
	uint64_t end = p->runtime_s ? j->start_ns + p->runtime_s * (uint64_t)1000000000 : UINT64_MAX;
	uint64_t patience = p->config.timeout_ms ? p->config.timeout_ms * (uint64_t)1000000 : PATIENCE_NS;
	uint64_t now = j->start_ns, heard = now, moved = now, seen = 0;

	while (!over(j) && now < end && j->sent < j->budget) {
		int sent = send_burst(j, now);
		uint32_t got = receive(j), freed = netfront_reclaim(j->q);
		uint64_t back = atomic_load_explicit(&j->back, memory_order_relaxed);

		now = now_ns();
		if (back != seen || sent > 0 || !p->window)
			heard = now;
		seen = back;
		if (freed || sent != -EAGAIN)
			moved = now;
		if (now - moved > patience) {
			j->stuck = true;
			break;
		}
		if (sent > 0 || got || freed)
			continue;
		/* What was lost on the way must not close the window for ever. */
		if (p->window && now - heard > LOST_NS) {
			atomic_store(&j->back, j->sent);
			heard = now;
			continue;
		}
		if (sent == 0 && p->rate && !p->window)
			nanosleep(&(struct timespec){ 0, 100000 }, NULL);
		else
			wait_for(j, sent == -EAGAIN, p->rate ? 1000000 : SLICE_NS);
		now = now_ns();
	}
}

/* Until all that was sent is answered by the back end, and (echo) has come back. */
static void drain(struct job *j)
{
	uint64_t limit = now_ns() + DRAIN_NS, now = limit - DRAIN_NS, heard = now;
	bool echo = j->plan->mode == M_ECHO;

	while (!over(j) && now < limit) {
		uint32_t got = receive(j);

		netfront_reclaim(j->q);
		now = now_ns();
		heard = got ? now : heard;
		if (netfront_tx_inflight(j->q) == 0 &&
		    (!echo || atomic_load(&j->back) >= j->sent || now - heard > LOST_NS))
			break;
		if (!got)
			wait_for(j, true, SLICE_NS / 10);
	}
}

static void send_end(struct job *j)
{
	uint64_t limit = now_ns() + DRAIN_NS;

	j->next.end = true;
	for (uint32_t i = 0; i < END_FRAMES && !over(j) && now_ns() < limit;) {
		int err = send_frame(j, MAX(probe_head_bytes(j->plan->kind), 60u), now_ns());

		netfront_kick(j->q);
		netfront_reclaim(j->q);
		i += err == 0;
		nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
	}
}

/* Has everything that was seen to begin also been seen to end? */
static bool all_ended(const struct job *j)
{
	bool any = false;

	for (uint32_t i = 0; i < MAX_FLOWS; i++) {
		any = any || j->flow[i].used;
		if (j->flow[i].used && !j->flow[i].ended)
			return false;
	}
	return any;
}

static void run_receiver(struct job *j)
{
	const struct plan *p = j->plan;
	uint64_t end = p->runtime_s ? j->start_ns + p->runtime_s * (uint64_t)1000000000 : UINT64_MAX;
	uint64_t now = j->start_ns;
	bool told = false;

	while (!over(j) && now < end) {
		uint32_t got = receive(j);

		netfront_reclaim(j->q);
		now = now_ns();
		if (got)
			continue;
		/* Flows may come on any queue, so a queue that saw none waits for one that did. */
		if (p->mode == M_SINK && !told && all_ended(j) && now - j->last_ns > SLICE_NS * 4) {
			told = true;
			atomic_fetch_add(&ended, 1);
		}
		if (p->mode == M_SINK && atomic_load(&ended) && (told || !j->first_ns))
			break;
		wait_for(j, false, SLICE_NS);
	}
}

static void *job_thread(void *arg)
{
	struct job *j = arg;

	if (j->plan->nap_us) /* else each nap is 50 us longer */
		(void)prctl(PR_SET_TIMERSLACK, 1000ul);
	pthread_barrier_wait(&gate);
	j->start_ns = now_ns();
	if (j->plan->mode == M_SEND || j->plan->mode == M_ECHO) {
		run_sender(j);
		j->end_ns = now_ns();
		drain(j);
		send_end(j);
		drain(j);
	} else {
		run_receiver(j);
		j->end_ns = now_ns();
	}
	j->counts = netfront_counts(j->q);
	return NULL;
}

static int job_init(struct job *j, const struct plan *p, struct target *t, struct job *all, uint32_t nr, uint32_t i)
{
	const struct netfront_info *info = netfront_info(t->n);

	j->plan = p;
	j->t = t;
	j->q = netfront_queue(t->n, i);
	j->all = all;
	j->nr_jobs = nr;
	j->rng = p->run + i;
	j->budget = p->frames ? p->frames / nr + (i < p->frames % nr) : UINT64_MAX;
	j->next = (struct probe){ .kind = p->kind, .run = p->run, .flow = (uint16_t)i };
	memcpy(j->next.src, info->mac, 6);
	memcpy(j->next.dst, p->dst, 6);
	j->frame = calloc(1, NET_FRAME_MAX);
	j->payload = calloc(1, NET_FRAME_MAX);
	return j->frame && j->payload ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------ telling */

struct result {
	struct netfront_counts c;
	struct probe_flow flow[MAX_FLOWS * 2];
	uint32_t nr_flows, nr_ended, nr_stuck;
	uint64_t sent, sent_bytes, frames, bytes, unique, twice, late, lost;
	uint64_t foreign, corrupt, csum, untracked, turned, not_turned, no_room;
	double seconds, rx_seconds, cpu_us;
	struct hist hist;
};

/* A flow may have come on several queues: what the parts say together. */
static void merge_flow(struct result *r, const struct probe_flow *f)
{
	struct probe_flow *to = NULL;

	for (uint32_t i = 0; i < r->nr_flows && !to; i++)
		if (r->flow[i].run == f->run && r->flow[i].flow == f->flow)
			to = &r->flow[i];
	if (!to && r->nr_flows == ARRAY_SIZE(r->flow))
		return;
	if (!to) {
		r->flow[r->nr_flows++] = *f;
		return;
	}
	to->ended = to->ended || f->ended;
	to->frames += f->frames;
	to->bytes += f->bytes;
	to->unique += f->unique;
	to->twice += f->twice;
	to->late += f->late;
	to->next = MAX(to->next, f->next);
	to->sent = MAX(to->sent, f->sent);
}

/* Of our own flows we know how many we sent, also of one that nothing came back of. */
static void count_own(struct result *r, const struct job *jobs, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t sent = probe_is_tcp(jobs->plan->kind) ? jobs[i].next.seq : jobs[i].sent;
		struct probe_flow *f = r->flow, *end = r->flow + r->nr_flows;

		while (f < end && f->flow != i)
			f++;
		if (f == end) {
			r->lost += sent;
			continue;
		}
		f->ended = true;
		f->sent = sent;
	}
}

static void sum_up(struct result *r, const struct job *jobs, uint32_t nr)
{
	uint64_t from = UINT64_MAX, to = 0, first = UINT64_MAX, last = 0;

	for (uint32_t i = 0; i < nr; i++) {
		const struct job *j = &jobs[i];

		counts_add(&r->c, &j->counts);
		hist_merge(&r->hist, &j->hist);
		r->nr_stuck += j->stuck;
		r->sent += j->sent;
		r->sent_bytes += j->sent_bytes;
		r->foreign += j->foreign + j->bad[PROBE_FOREIGN];
		r->corrupt += j->bad[PROBE_CORRUPT];
		r->csum += j->bad[PROBE_CSUM];
		r->untracked += j->untracked;
		r->turned += j->turned;
		r->not_turned += j->not_turned;
		r->no_room += j->no_room;
		from = MIN(from, j->start_ns);
		to = MAX(to, j->end_ns);
		if (j->first_ns) {
			first = MIN(first, j->first_ns);
			last = MAX(last, j->last_ns);
		}
		for (uint32_t k = 0; k < MAX_FLOWS; k++)
			if (j->flow[k].used)
				merge_flow(r, &j->flow[k]);
	}
	if (jobs->plan->mode == M_ECHO)
		count_own(r, jobs, nr);
	for (uint32_t i = 0; i < r->nr_flows; i++) {
		const struct probe_flow *f = &r->flow[i];

		r->frames += f->frames;
		r->bytes += f->bytes;
		r->unique += f->unique;
		r->twice += f->twice;
		r->late += f->late;
		r->lost += probe_lost(f);
		r->nr_ended += f->ended;
	}
	r->seconds = to > from ? (double)(to - from) / 1e9 : 1e-9;
	r->rx_seconds = last > first && first != UINT64_MAX ? (double)(last - first) / 1e9 : r->seconds;
}

/* Frames that went through the rings, either way: what events and CPU are divided by. */
static double per_frame(double v, const struct result *r)
{
	uint64_t n = r->c.tx_frames + r->c.rx_frames;

	return n ? v / (double)n : 0;
}

static void tell_json(const struct plan *p, const struct target *t, const struct result *r)
{
	const struct netfront_info *i = netfront_info(t->n);
	struct json_object *o = json_object_new_object(), *lat = json_object_new_object();
	char takes[32];

	put_i(o, "v", 1);
	put_s(o, "device", t->name);
	put_s(o, "backend", t->dev.back);
	put_s(o, "mode", modes[p->mode]);
	put_s(o, "kind", probe_kinds[p->kind]);
	put_i(o, "size_min", p->size_min);
	put_i(o, "size_max", p->size_max);
	put_i(o, "gso", p->gso);
	put_i(o, "queues", i->nr_queues);
	put_b(o, "split_event_channels", i->split);
	put_b(o, "sg", i->sg);
	put_s(o, "offloads", takes_text(&i->takes, takes));
	put_i(o, "run", p->run);
	put_d(o, "seconds", r->seconds);
	put_i(o, "sent", r->sent);
	put_i(o, "sent_bytes", r->sent_bytes);
	put_d(o, "tx_pps", (double)r->sent / r->seconds);
	put_d(o, "tx_gbps", (double)r->sent_bytes * 8 / r->seconds / 1e9);
	put_i(o, "received", r->frames);
	put_i(o, "received_bytes", r->bytes);
	put_d(o, "rx_pps", (double)r->frames / r->rx_seconds);
	put_d(o, "rx_gbps", (double)r->bytes * 8 / r->rx_seconds / 1e9);
	put_i(o, "flows", r->nr_flows);
	put_i(o, "flows_ended", r->nr_ended);
	put_i(o, "unique", r->unique);
	put_i(o, "lost", r->lost);
	put_i(o, "twice", r->twice);
	put_i(o, "late", r->late);
	put_i(o, "corrupt", r->corrupt);
	put_i(o, "bad_checksum", r->csum);
	put_i(o, "foreign", r->foreign);
	put_i(o, "untracked", r->untracked);
	put_i(o, "reflected", r->turned);
	put_i(o, "not_reflected", r->not_turned);
	put_i(o, "waits_for_room", r->no_room);
	put_b(o, "verified", p->verify);
	put_counts(o, &r->c);
	put_d(o, "events_sent_per_frame", per_frame((double)r->c.events_sent, r));
	put_d(o, "events_received_per_frame", per_frame((double)r->c.events_received, r));
	put_d(o, "cpu_us_per_frame", per_frame(r->cpu_us, r));
	if (p->mode == M_ECHO) {
		put_i(lat, "p50", hist_percentile(&r->hist, 50));
		put_i(lat, "p99", hist_percentile(&r->hist, 99));
		put_i(lat, "max", r->hist.max);
		json_object_object_add(o, "rtt_ns", lat);
	} else {
		json_object_put(lat);
	}
	print_json(o, false);
	json_object_put(o);
}

static void tell_text(const struct plan *p, const struct target *t, const struct result *r)
{
	const struct netfront_info *i = netfront_info(t->n);
	const char *unit = probe_is_tcp(p->kind) ? "bytes" : "frames";

	printf("%s: %s %s, %u queue(s)%s\n", t->name, modes[p->mode], probe_kinds[p->kind], i->nr_queues,
	       i->split ? ", split event channels" : "");
	if (p->mode == M_SEND || p->mode == M_ECHO)
		printf("  sent %llu frames in %.2f s: %.0f frames/s, %.3f Gb/s; %llu errors\n",
		       (unsigned long long)r->sent, r->seconds, (double)r->sent / r->seconds,
		       (double)r->sent_bytes * 8 / r->seconds / 1e9, (unsigned long long)r->c.tx_errors);
	if (p->mode == M_SINK || p->mode == M_ECHO)
		printf("  received %llu frames: %.0f frames/s, %.3f Gb/s; %s: %llu lost, %llu twice, %llu out of "
		       "order\n",
		       (unsigned long long)r->frames, (double)r->frames / r->rx_seconds,
		       (double)r->bytes * 8 / r->rx_seconds / 1e9, unit, (unsigned long long)r->lost,
		       (unsigned long long)r->twice, (unsigned long long)r->late);
	if (p->mode == M_ECHO && !probe_is_tcp(p->kind))
		printf("  round trip us: p50 %.1f  p99 %.1f  max %.1f\n", (double)hist_percentile(&r->hist, 50) / 1e3,
		       (double)hist_percentile(&r->hist, 99) / 1e3, (double)r->hist.max / 1e3);
	if (p->mode == M_REFLECT)
		printf("  reflected %llu frames, %llu not\n", (unsigned long long)r->turned,
		       (unsigned long long)r->not_turned);
	if (p->verify)
		printf("  verify: %llu with other bytes than were sent, %llu with a wrong checksum\n",
		       (unsigned long long)r->corrupt, (unsigned long long)r->csum);
	for (int k = 1; k < NET_NR_FAULTS; k++)
		if (r->c.fault[k])
			printf("  from the back end: %s: %llu\n", net_fault_text((enum net_fault)k),
			       (unsigned long long)r->c.fault[k]);
	printf("  per frame: %.4f events sent, %.4f received, %.3f us CPU\n", per_frame((double)r->c.events_sent, r),
	       per_frame((double)r->c.events_received, r), per_frame(r->cpu_us, r));
}

/* ------------------------------------------------------------------ running */

static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* What the connection allows; 0, or an exit status with the reason told. */
static int check_plan(const struct plan *p, const struct target *t)
{
	const struct netfront_info *i = netfront_info(t->n);
	bool six = p->kind == PROBE_UDP6 || p->kind == PROBE_TCP6;

	if (p->mode == M_SINK || p->mode == M_REFLECT)
		return 0;
	if (p->size_max > i->tx_max)
		return complain(EXIT_FAILED, NULL, "%s: the back end takes frames of at most %u bytes", t->name,
				i->tx_max);
	if (p->csum && !(six ? i->takes.csum6 : i->takes.csum4))
		return complain(EXIT_FAILED, NULL, "%s: the back end does not offer checksums of IPv%d", t->name,
				six ? 6 : 4);
	if (p->gso && !(six ? i->takes.gso6 : i->takes.gso4))
		return complain(EXIT_FAILED, NULL, "%s: the back end does not offer GSO of TCPv%d", t->name,
				six ? 6 : 4);
	return 0;
}

static int run_jobs(const struct plan *p, struct target *t, struct job *jobs, uint32_t nr)
{
	uint32_t started = 0;
	int err = 0;

	/* All or none: whoever starts waits for the others, and for us. */
	pthread_barrier_init(&gate, NULL, nr + 1);
	for (; started < nr && err == 0; started += err == 0)
		err = pthread_create(&jobs[started].thread, NULL, job_thread, &jobs[started]);
	if (err)
		exit(complain(EXIT_FAILED, NULL, "cannot start a thread: %s", strerror(err)));
	if (p->mode == M_SINK || p->mode == M_REFLECT) {
		/* Whoever is to send waits for this. */
		fprintf(stderr, "%s: ready\n", t->name);
	}
	pthread_barrier_wait(&gate);
	for (uint32_t i = 0; i < nr; i++)
		pthread_join(jobs[i].thread, NULL);
	pthread_barrier_destroy(&gate);
	return 0;
}

static int run(const struct plan *p, struct target *t)
{
	uint32_t nr = netfront_info(t->n)->nr_queues;
	struct job *jobs = aligned_alloc(_Alignof(struct job), nr * sizeof(*jobs));
	struct result *res = calloc(1, sizeof(*res));
	int r = jobs && res ? 0 : EXIT_FAILED;
	double cpu;

	if (jobs)
		memset(jobs, 0, nr * sizeof(*jobs));
	for (uint32_t i = 0; i < nr && !r; i++)
		r = job_init(&jobs[i], p, t, jobs, nr, i) < 0 ? EXIT_FAILED : 0;
	if (r) {
		complain(r, NULL, "out of memory");
	} else {
		cpu = cpu_us();
		r = run_jobs(p, t, jobs, nr);
		sum_up(res, jobs, nr);
		res->cpu_us = cpu_us() - cpu;
		if (p->json)
			tell_json(p, t, res);
		else
			tell_text(p, t, res);
		if (netfront_status(t->n) != 0)
			r = EXIT_FAILED; /* told in the log, with the reason */
		else if (res->nr_stuck)
			r = complain(EXIT_TIMEOUT, NULL, "%s: the back end has stopped taking frames", t->name);
		else if (res->corrupt || res->csum)
			r = complain(EXIT_FAILED, NULL, "%s: verify failed", t->name);
	}
	for (uint32_t i = 0; jobs && i < nr; i++) {
		free(jobs[i].frame);
		free(jobs[i].payload);
	}
	free(jobs);
	free(res);
	return r;
}

/* ------------------------------------------------------------------ options */

static int parse_size_range(struct plan *p, const char *text)
{
	const char *dash = strchr(text, '-');
	uint64_t from, to;

	if (parse_u64(text, dash ? (size_t)(dash - text) : strlen(text), NETFRONT_TX_MAX, &from) < 0 ||
	    (dash && parse_str_u64(dash + 1, NETFRONT_TX_MAX, &to) < 0))
		return usage("--size: '%s' is no number of bytes up to %u, or two of them like 64-1514", text,
			     NETFRONT_TX_MAX);
	p->size_min = (uint32_t)from;
	p->size_max = dash ? (uint32_t)to : p->size_min;
	if (p->size_min == 0)
		return usage("--size: no frame has 0 bytes");
	return p->size_min > p->size_max ? usage("--size: the smaller one first") : 0;
}

static int parse_name(const char *option, const char *text, const char *const *names, int nr)
{
	for (int i = 0; i < nr; i++)
		if (!strcmp(text, names[i]))
			return i;
	usage("%s: '%s' is not known", option, text);
	return -1;
}

static const struct option options[] = { CONFIG_OPTIONS,
					 { "mode", 1, NULL, 'M' },
					 { "kind", 1, NULL, 'k' },
					 { "size", 1, NULL, 's' },
					 { "dst", 1, NULL, 'd' },
					 { "rate", 1, NULL, 'r' },
					 { "frames", 1, NULL, 'f' },
					 { "runtime", 1, NULL, 'u' },
					 { "window", 1, NULL, 'w' },
					 { "nap", 1, NULL, 'p' },
					 { "gso", 1, NULL, 'g' },
					 { "csum", 0, NULL, 'c' },
					 { "seed", 1, NULL, 'e' },
					 { "verify", 0, NULL, 'v' },
					 { "json", 0, NULL, 'j' },
					 { NULL, 0, NULL, 0 } };

static int parse_option(struct plan *p, int o, const char *arg)
{
	int v;

	switch (o) {
	case 'M':
		v = parse_name("--mode", arg, modes, M_NR);
		p->mode = (enum mode)v;
		return v < 0 ? EXIT_USAGE : 0;
	case 'k':
		v = parse_name("--kind", arg, probe_kinds, PROBE_NR_KINDS);
		p->kind = (enum probe_kind)v;
		return v < 0 ? EXIT_USAGE : 0;
	case 's':
		return parse_size_range(p, arg);
	case 'd':
		/* A group address is fine here. */
		if (!strcmp(arg, "ff:ff:ff:ff:ff:ff")) {
			memset(p->dst, 0xff, 6);
			return 0;
		}
		return mac_parse(arg, p->dst) < 0 ? usage("--dst: '%s' is no address", arg) : 0;
	case 'r':
		return opt_u32("--rate", arg, 1000000000, &p->rate);
	case 'f':
		return parse_str_u64(arg, UINT64_MAX, &p->frames) < 0 ? usage("--frames: '%s' is no number", arg) : 0;
	case 'u':
		return opt_u32("--runtime", arg, 1000000, &p->runtime_s);
	case 'w':
		p->has_window = true;
		return opt_u32("--window", arg, 1000000, &p->window);
	case 'p':
		return opt_u32("--nap", arg, 100000, &p->nap_us);
	case 'g':
		v = opt_u32("--gso", arg, 65000, &p->gso);
		return v ? v : p->gso ? 0 : usage("--gso: segments of at least 1 byte");
	case 'e':
		p->has_seed = true;
		return opt_u32("--seed", arg, UINT32_MAX, &p->run);
	case 'c':
		p->csum = true;
		return 0;
	case 'v':
		p->verify = true;
		return 0;
	case 'j':
		p->json = true;
		return 0;
	default:
		return opt_config(&p->config, o, arg);
	}
}

static int finish_plan(struct plan *p)
{
	uint32_t head = probe_head_bytes(p->kind);

	if (!p->size_max)
		p->size_min = p->size_max = MAX(DEF_SIZE, head + 8 * probe_is_tcp(p->kind));
	if (p->size_min < head + probe_is_tcp(p->kind))
		return usage("--size: a frame of kind %s has at least %u bytes", probe_kinds[p->kind],
			     head + probe_is_tcp(p->kind));
	if (p->gso && !probe_is_tcp(p->kind))
		return usage("--gso: with --kind tcp4 or tcp6");
	if (p->csum && p->kind == PROBE_ETH)
		return usage("--csum: with a --kind that has one");
	if (p->window && p->mode != M_ECHO)
		return usage("--window: with --mode echo");
	if (p->mode == M_ECHO && !p->has_window)
		p->window = DEF_WINDOW;
	if (!p->runtime_s && !p->frames && (p->mode == M_SEND || p->mode == M_ECHO))
		p->runtime_s = DEF_RUNTIME_S;
	if (!p->has_seed)
		p->run = (uint32_t)(now_ns() ^ (uint64_t)getpid() << 20);
	return 0;
}

int cmd_io(int argc, char **argv)
{
	struct plan p = { .kind = PROBE_ETH, .dst = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	struct target t = { 0 };
	const char *dev = NULL;
	int o, r = 0;

	while (!r && (o = opt_next(argc, argv, "", options)) != -1)
		r = parse_option(&p, o, optarg);
	if (!r)
		r = opt_dev(argc, argv, optind, &dev);
	if (!r)
		r = finish_plan(&p);
	if (r)
		return r;
	catch_signals();
	r = target_find(&t, dev);
	if (!r)
		r = target_open(&t, &p.config);
	if (!r)
		r = check_plan(&p, &t);
	if (!r)
		r = run(&p, &t);
	return target_close(&t, r);
}
