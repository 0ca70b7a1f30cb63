/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-blk-queue.c - a disk's rings, whole, over a store that finishes nothing until it is told to: what a worker leaves to its successor.
 *
 * The guest is this process (tests/lib/fake-xen.h), and so are all workers of a test.  One of them dies without a word when what outlives
 * it, ring and journal, is copied as it is at that moment: it then ends in good order, and its successor gets the copies.
 *
 * Beside what is pure (tests/coverage.sh):
 * links: tests/lib/fake-xen.c backend/worker/device.c backend/worker/queue.c backend/block/block.c backend/block/blk-queue.c
 * links: backend/block/blk-data.c backend/block/store.c backend/block/store-null.c backend/block/store-file.c
 * links: backend/block/store-inline.c backend/block/store-window.c backend/block/store-pool.c backend/block/store-mailbox.c
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "backend/block/blk-queue.h"
#include "backend/block/blk-slot-test.h"
#include "backend/journal.h"
#include "tests/lib/fake-xen.h"

#define ABI      BLK_ABI_X86_64
#define RINGS    2u
#define ENTS     32u
#define RING_REF 1u /* and up */
#define DATA_REF 64u
#define SECTORS  (1u << 20)
#define WAIT_MS  10000

/* What main.c has in a worker. */
struct worker worker;

void worker_wake(void)
{
}

/* ------------------------------------------------------------------ the store */

struct slow_queue {
	struct store_queue q;
	struct store_io *held[ENTS]; /* in the order of submission */
	uint32_t nr_held;
	struct store_list done;
	bool hurried;
};

static struct {
	pthread_mutex_t lock; /* of all below */
	struct slow_queue *queue[RINGS];
	uint32_t nr;
} slow = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct slow_queue *slow_of(const struct store_queue *q)
{
	return container_of((struct store_queue *)(uintptr_t)q, struct slow_queue, q);
}

/* With the lock held. */
static void finish_nth(struct slow_queue *q, uint32_t n, int result)
{
	struct store_io *io = q->held[n];
	const uint64_t one = 1;

	memmove(&q->held[n], &q->held[n + 1], (--q->nr_held - n) * sizeof(io));
	io->result = result;
	store_list_add(&q->done, io);
	assert_int_equal(write(q->q.fd, &one, sizeof(one)), sizeof(one));
}

/* A secure discard that is cut short has failed, as store-file.c has it. */
static void cut_short(struct slow_queue *q)
{
	for (uint32_t n = 0; q->hurried && n < q->nr_held;)
		if (q->held[n]->op == STORE_SECURE_DISCARD)
			finish_nth(q, n, -ECANCELED);
		else
			n++;
}

static int slow_queue_new(struct store *s, int event_fd, int control_fd, uint32_t depth, struct store_queue **ret)
{
	struct slow_queue *q = calloc(1, sizeof(*q));

	assert_non_null(q);
	q->q = (struct store_queue){ s, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	store_list_init(&q->done);
	slow.queue[slow.nr++] = q;
	*ret = &q->q;
	return 0;
}

static void slow_queue_free(struct store_queue *q)
{
	slow.nr--;
	close(q->fd);
	free(slow_of(q));
}

static void slow_submit(struct store_queue *q, struct store_io *io)
{
	struct slow_queue *s = slow_of(q);

	pthread_mutex_lock(&slow.lock);
	s->held[s->nr_held++] = io;
	cut_short(s);
	pthread_mutex_unlock(&slow.lock);
}

static void slow_kick(struct store_queue *q)
{
}

static struct store_io *slow_reap(struct store_queue *q)
{
	struct slow_queue *s = slow_of(q);
	struct store_io *l;
	uint64_t n;

	pthread_mutex_lock(&slow.lock);
	l = s->done.head;
	store_list_init(&s->done);
	if (read(q->fd, &n, sizeof(n)) < 0)
		assert_int_equal(errno, EAGAIN);
	pthread_mutex_unlock(&slow.lock);
	return l;
}

static bool slow_ready(const struct store_queue *q)
{
	bool ready;

	pthread_mutex_lock(&slow.lock);
	ready = slow_of(q)->done.head;
	pthread_mutex_unlock(&slow.lock);
	return ready;
}

static void slow_cancel(struct store_queue *q)
{
	pthread_mutex_lock(&slow.lock);
	slow_of(q)->hurried = true;
	cut_short(slow_of(q));
	pthread_mutex_unlock(&slow.lock);
}

static void slow_close(struct store *s)
{
	free(s);
}

static const struct store_ops slow_ops = {
	.name = "slow",
	.batch = ENTS,
	.batch_bytes = UINT32_MAX,
	.queue_new = slow_queue_new,
	.queue_free = slow_queue_free,
	.submit = slow_submit,
	.kick = slow_kick,
	.reap = slow_reap,
	.ready = slow_ready,
	.cancel = slow_cancel,
	.close = slow_close,
};

static uint32_t held(uint32_t ring)
{
	uint32_t n;

	pthread_mutex_lock(&slow.lock);
	n = slow.queue[ring]->nr_held;
	pthread_mutex_unlock(&slow.lock);
	return n;
}

/* The sector of the oldest that the store has. */
static uint64_t held_sector(uint32_t ring)
{
	uint64_t sector;

	pthread_mutex_lock(&slow.lock);
	sector = slow.queue[ring]->held[0]->offset / SECTOR_BYTES;
	pthread_mutex_unlock(&slow.lock);
	return sector;
}

/* True: there was one. */
static bool finish_oldest(uint32_t ring)
{
	bool any;

	pthread_mutex_lock(&slow.lock);
	any = slow.queue[ring]->nr_held > 0;
	if (any)
		finish_nth(slow.queue[ring], 0, 0);
	pthread_mutex_unlock(&slow.lock);
	return any;
}

/* ------------------------------------------------------------------ the guest */

static struct ring_front front[RINGS];
static int kick[RINGS];

static void pause_a_little(void)
{
	const struct timespec moment = { 0, 200000 };

	nanosleep(&moment, NULL);
}

/* All threads have done what they can, and sleep. */
static void pause_for_long(void)
{
	for (uint32_t i = 0; i < 50; i++)
		pause_a_little();
}

#define until(holds)                                                               \
	do {                                                                       \
		uint64_t end = now_ns() + WAIT_MS * 1000000ull;                    \
		while (!(holds)) {                                                 \
			if (now_ns() > end)                                        \
				fail_msg("%s: not within %u ms", #holds, WAIT_MS); \
			pause_a_little();                                          \
		}                                                                  \
	} while (0)

static uint8_t *ring_page(uint32_t ring)
{
	return fake_memory() + (RING_REF + ring) * PAGE_BYTES;
}

static void ask(uint32_t ring, const uint8_t *slot)
{
	const uint64_t one = 1;

	ring_front_put(&front[ring], slot, blk_slot_bytes(ABI));
	(void)!ring_front_push(&front[ring]);
	assert_int_equal(write(kick[ring], &one, sizeof(one)), sizeof(one));
}

static void ask_page(uint32_t ring, uint8_t op, uint64_t id, uint64_t sector)
{
	uint8_t slot[BLK_SLOT_MAX];

	slot_rw(slot, ABI, op, 1, id, sector);
	slot_seg(slot, ABI, 0, DATA_REF, 0, 7);
	ask(ring, slot);
}

static void ask_read(uint32_t ring, uint64_t id, uint64_t sector)
{
	ask_page(ring, BLKIF_OP_READ, id, sector);
}

static void ask_write(uint32_t ring, uint64_t id, uint64_t sector)
{
	ask_page(ring, BLKIF_OP_WRITE, id, sector);
}

static void ask_flush(uint32_t ring, uint64_t id)
{
	uint8_t slot[BLK_SLOT_MAX];

	slot_rw(slot, ABI, BLKIF_OP_FLUSH_DISKCACHE, 0, id, 0);
	ask(ring, slot);
}

static void ask_discard(uint32_t ring, uint64_t id, uint64_t sector, uint64_t nr, bool secure)
{
	uint8_t slot[BLK_SLOT_MAX];

	slot_discard(slot, ABI, secure ? BLKIF_DISCARD_SECURE : 0, id, sector, nr);
	ask(ring, slot);
}

static uint32_t answers(uint32_t ring)
{
	int n = ring_front_pending(&front[ring]);

	assert_true(n >= 0);
	return (uint32_t)n;
}

/* The next answer is there, and it is to @id. */
static int16_t answer(uint32_t ring, uint64_t id)
{
	uint8_t rsp[16];
	uint64_t got;
	int16_t status;

	assert_true(answers(ring) > 0);
	ring_front_take(&front[ring], rsp);
	memcpy(&got, rsp, sizeof(got));
	memcpy(&status, rsp + 10, sizeof(status));
	assert_int_equal(got, id);
	return status;
}

/* ------------------------------------------------------------------ workers and what outlives them */

static struct wire_connect c;
static struct device *d;
static int journal = -1;
static struct journal_live *live; /* of the journal */

static struct blk_journal_queue *journal_of(uint32_t ring)
{
	return blk_journal_queue((uint8_t *)live - JOURNAL_LIVE_AT + JOURNAL_CLASS_AT, &c, ring);
}

static uint64_t journal_bytes(void)
{
	return JOURNAL_CLASS_AT + blk_journal_bytes(&c);
}

static void journal_gone(void)
{
	if (live)
		munmap((uint8_t *)live - JOURNAL_LIVE_AT, journal_bytes());
	if (journal >= 0)
		close(journal);
	live = NULL;
	journal = -1;
}

static void journal_is(int fd)
{
	uint8_t *map = mmap(NULL, journal_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(map != MAP_FAILED);
	journal_gone();
	journal = fd;
	live = (void *)(map + JOURNAL_LIVE_AT);
}

static int memory_file(const void *bytes, uint64_t nr)
{
	int fd = memfd_create("journal", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)journal_bytes()), 0);
	assert_int_equal(pwrite(fd, bytes, nr, 0), nr);
	return fd;
}

/* Of a front end that has just come: rings and journal are new. */
static void new_rings(uint32_t nr)
{
	static struct journal_head h;

	memset(&c, 0, sizeof(c));
	c = (struct wire_connect){ .abi = ABI, .nr_queues = nr, .nr_rings = 1, .nr_ports = 1 };
	for (uint32_t i = 0; i < nr; i++) {
		c.queue[i].port[0] = 1;
		c.queue[i].refs[0] = RING_REF + i;
		assert_int_equal(
			ring_front_init(&front[i], ring_page(i), PAGE_BYTES, blk_slot_bytes(ABI), blk_rsp_bytes(ABI)),
			0);
	}
	memset(&h, 0, sizeof(h));
	h.wire = c;
	snprintf(h.class, sizeof(h.class), "disk");
	journal_head_seal(&h, blk_journal_bytes(&c));
	journal_is(memory_file(&h, sizeof(h)));
}

/* A worker, whose store is the slow one. */
static void start_worker(void)
{
	static struct wire_msg m;
	static uint8_t reply[WIRE_MAX_BODY];
	struct blk_open o = {
		.kind = BLK_STORE_NULL, .flags = BLK_O_DISCARD, .size = SECTORS * SECTOR_BYTES, .name = "test/xvda"
	};
	struct blk_dev *disk;
	uint32_t bytes;

	m.hdr.bytes = sizeof(o);
	memcpy(m.body, &o, sizeof(o));
	assert_int_equal(device_open(1, &m, reply, &bytes, &d), 0);
	disk = d->priv;
	disk->store->info.can_secure_discard = 1;
	disk->store->ops = &slow_ops;
}

static void connect_worker(uint32_t resume)
{
	int fds[RINGS + 1];

	c.resume = resume;
	for (uint32_t i = 0; i < c.nr_queues; i++)
		fds[i] = dup(kick[i]);
	fds[c.nr_queues] = dup(journal);
	assert_int_equal(device_connect(d, &c, fds, c.nr_queues + 1), 0);
}

/* It has nothing left, and ends. */
static void end_worker(void)
{
	until(device_reap(d));
	device_close(d);
	d = NULL;
	assert_int_equal(fake_mapped(), 0);
}

static void finish_one_each(void)
{
	for (uint32_t i = 0; i < slow.nr; i++)
		(void)finish_oldest(i);
}

static void finish_all(void)
{
	device_disconnect(d, false);
	until((finish_one_each(), device_reap(d)));
	end_worker();
}

/* It dies, here and now; its successor is there, not connected yet. */
static void die(void)
{
	static uint8_t ring[RINGS][PAGE_BYTES];
	struct ring_front was[RINGS];
	int fd = memory_file((uint8_t *)live - JOURNAL_LIVE_AT, journal_bytes());

	memcpy(was, front, sizeof(was));
	for (uint32_t i = 0; i < RINGS; i++)
		memcpy(ring[i], ring_page(i), PAGE_BYTES);
	finish_all();
	memcpy(front, was, sizeof(was));
	for (uint32_t i = 0; i < RINGS; i++)
		memcpy(ring_page(i), ring[i], PAGE_BYTES);
	journal_is(fd);
	start_worker();
}

static int setup(void **state)
{
	worker.slowness = 1;
	for (uint32_t i = 0; i < RINGS; i++) {
		kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (kick[i] < 0)
			return -1;
	}
	start_worker();
	return 0;
}

static int teardown(void **state)
{
	if (d)
		finish_all();
	journal_gone();
	for (uint32_t i = 0; i < RINGS; i++)
		close(kick[i]);
	return 0;
}

/* ------------------------------------------------------------------ rings that wait for each other */

/*
 * W of the second ring is with the store; P of the first waits for it, and so does P1, behind it in the second.  Whoever goes on has to
 * begin with W: were P to go first, W would wait for P1, which it overlaps, and P1 for W, which is before it.
 */
static void two_rings_wait_for_one_request(void)
{
	new_rings(2);
	connect_worker(WIRE_RESUME_NOT);
	ask_discard(1, 1, 0, 128, false);
	until(held(1) == 1);
	ask_write(0, 2, 0);
	ask_write(1, 3, 120);
	until(READ_ONCE(journal_of(0)->req_cons) == 1 && READ_ONCE(journal_of(1)->req_cons) == 2);
	assert_int_equal(held(0), 0);
	assert_int_equal(held(1), 1);
}

static void all_are_answered(void)
{
	until((finish_one_each(), answers(0) == 1 && answers(1) == 2));
	assert_int_equal(answer(0, 2), BLKIF_RSP_OKAY);
	assert_int_equal(answer(1, 1), BLKIF_RSP_OKAY);
	assert_int_equal(answer(1, 3), BLKIF_RSP_OKAY);
}

static void what_was_under_way_goes_first_and_what_waited_for_it_waits(void **state)
{
	two_rings_wait_for_one_request();
	for (int deaths = 0; deaths < 3; deaths++) {
		die();
		connect_worker(WIRE_RESUME);
		until(held(1) == 1);
		assert_int_equal(held_sector(1), 0);
		pause_a_little();
		assert_int_equal(held(0), 0); /* W may have been done, and is not answered */
	}
	all_are_answered();
}

/* Of an older program, which did not write down what was under way: in any order, but all of them. */
static void after_a_worker_that_kept_no_claims_none_waits_for_ever(void **state)
{
	two_rings_wait_for_one_request();
	die();
	for (uint32_t ring = 0; ring < 2; ring++)
		for (uint32_t i = 0; i < ENTS; i++)
			journal_of(ring)->slot[i].claim = 0;
	connect_worker(WIRE_RESUME);
	all_are_answered();
}

/* How many of a ring waited for another's. */
static uint64_t waited(uint32_t ring)
{
	const struct blk_queue *b = d->queues[ring].priv;

	return STAT_GET(b->stats.overlaps);
}

static void one_that_waits_for_another_ring_does_not_wait_for_its_own(void **state)
{
	new_rings(2);
	connect_worker(WIRE_RESUME_NOT);
	ask_read(1, 1, 8);
	until(held(1) == 1);
	ask_flush(0, 2);
	until(held(0) == 1);
	ask_write(0, 3, 8);
	until(waited(0) == 1);
	pause_for_long();
	assert_int_equal(held(0), 1);
	assert_true(finish_oldest(1));
	until(held(0) == 2);
	assert_int_equal(answers(0), 0); /* the flush is under way */
}

/* ------------------------------------------------------------------ discards that last */

static void a_discard_of_nearly_all_stops_no_other_ring(void **state)
{
	new_rings(2);
	connect_worker(WIRE_RESUME_NOT);
	ask_discard(0, 1, 8, SECTORS - 8, false);
	until(held(0) == 1);
	ask_read(1, 2, 0);
	until(held(1) == 1);
	assert_true(finish_oldest(1));
	until(answers(1) == 1);
	assert_int_equal(answer(1, 2), BLKIF_RSP_OKAY);
	ask_write(1, 3, SECTORS - 8);
	until(waited(1) == 1);
	assert_true(finish_oldest(0));
	until(held(1) == 1);
}

/* Of all the disk, in ring 0, for a read of ring 1 that is under way. */
static void a_discard_waits(void)
{
	new_rings(2);
	connect_worker(WIRE_RESUME_NOT);
	ask_read(1, 1, 4096);
	until(held(1) == 1);
	ask_discard(0, 2, 0, SECTORS, false);
	until(waited(0) == 1);
}

static void a_discard_goes_when_those_before_it_are_done(void **state)
{
	a_discard_waits();
	ask_read(1, 3, 8192);
	until(waited(1) == 1);
	assert_true(finish_oldest(1));
	until(held(0) == 1);
	assert_int_equal(held(1), 0);
	assert_true(finish_oldest(0));
	until(held(1) == 1);
}

/* Of the two only the read was under way. */
static void a_discard_that_waited_waits_again_after_a_death(void **state)
{
	a_discard_waits();
	for (int deaths = 0; deaths < 3; deaths++) {
		die();
		connect_worker(WIRE_RESUME);
		until(held(1) == 1 && waited(0) == 1);
		assert_int_equal(held(0), 0);
	}
	assert_true(finish_oldest(1));
	until(held(0) == 1);
	until(answers(1) == 1);
	die();
	connect_worker(WIRE_RESUME);
	until(held(0) == 1);
	ask_read(1, 3, 8192);
	until(waited(1) == 1);
	assert_int_equal(held(1), 0);
	until((finish_one_each(), answers(0) == 1 && answers(1) == 2));
}

/* ------------------------------------------------------------------ a request that kills */

/* A worker died of what it was doing; the next one goes on. */
static void next_worker(void)
{
	die();
	connect_worker(WIRE_RESUME_BLAME);
}

/* In each ring one is with the store, for the second time. */
static void one_each_was_under_way_at_a_death(void)
{
	worker.slowness = 60; /* however slow this machine is */
	new_rings(2);
	connect_worker(WIRE_RESUME_NOT);
	ask_write(0, 1, 0);
	ask_write(1, 2, 1024);
	until(held(0) == 1 && held(1) == 1);
	next_worker();
	until(held(0) == 1 && held(1) == 1);
}

/* That of ring 0 kills whoever serves it. */
static void no_other_ring_is_blamed_for_one_that_kills(void **state)
{
	one_each_was_under_way_at_a_death();
	next_worker();
	until(held(0) + held(1) == 1);
	if (held(1) == 1) { /* it was first, and kills nobody */
		assert_true(finish_oldest(1));
		until(answers(1) == 1);
	}
	until(held(0) == 1);
	assert_int_equal(held(1), 0);
	next_worker();
	until(answers(0) == 1);
	assert_int_equal(answer(0, 1), BLKIF_RSP_ERROR);
	until((finish_one_each(), answers(1) == 1));
	assert_int_equal(answer(1, 2), BLKIF_RSP_OKAY);
}

static void nothing_new_begins_beside_one_that_may_kill(void **state)
{
	one_each_was_under_way_at_a_death();
	assert_true(finish_oldest(1));
	until(answers(1) == 1);
	next_worker();
	until(held(0) == 1);
	ask_write(1, 3, 1024);
	until(READ_ONCE(journal_of(1)->req_cons) == 2);
	pause_for_long();
	assert_int_equal(held(1), 0);
	assert_true(finish_oldest(0));
	until(held(1) == 1);
}

/* Of a store that never answers. */
static void it_holds_nobody_up_for_long(void **state)
{
	one_each_was_under_way_at_a_death();
	worker.slowness = 1;
	next_worker();
	until(held(0) == 1 && held(1) == 1);
}

static void what_only_waited_for_one_that_kills_is_not_blamed(void **state)
{
	new_rings(2);
	connect_worker(WIRE_RESUME_NOT);
	ask_write(0, 1, 0);
	until(held(0) == 1);
	ask_write(1, 2, 0);
	until(waited(1) == 1);
	for (uint32_t deaths = 0; deaths < 2; deaths++) {
		next_worker();
		until(held(0) == 1 && waited(1) == 1);
	}
	next_worker();
	until(answers(0) == 1);
	assert_int_equal(answer(0, 1), BLKIF_RSP_ERROR);
	until((finish_one_each(), answers(1) == 1));
	assert_int_equal(answer(1, 2), BLKIF_RSP_OKAY);
}

/* ------------------------------------------------------------------ a flush that failed */

static void a_failed_flush_is_remembered_for_a_front_end_that_comes_later(void **state)
{
	struct blk_dev *disk = d->priv;

	new_rings(1);
	connect_worker(WIRE_RESUME_NOT);
	assert_int_equal(live->poisoned, 0);
	assert_true(store_poison(disk->store, STORE_FLUSH_FAILED)); /* as fdatasync's EIO leaves it */
	device_disconnect(d, false);
	until(device_reap(d));
	new_rings(1);
	connect_worker(WIRE_RESUME_NOT);
	assert_int_equal(live->poisoned, 1);
	die();
	connect_worker(WIRE_RESUME);
	disk = d->priv;
	assert_int_equal(disk->store->poisoned, STORE_FLUSH_FAILED);
}

/* The next worker has another connection, and the last one's requests were waited for: that it is lost is not its trouble, what it lost is. */
static void of_a_lost_server_the_next_worker_knows_that_flushes_fail(void **state)
{
	struct blk_dev *disk = d->priv;

	new_rings(1);
	connect_worker(WIRE_RESUME_NOT);
	assert_true(store_poison(disk->store, STORE_FLUSH_FAILED));
	assert_true(store_poison(disk->store, STORE_LOST));
	assert_false(store_poison(disk->store, STORE_FLUSH_FAILED));
	assert_int_equal(live->poisoned, JOURNAL_STORAGE_LOST);
	die();
	assert_int_equal(live->poisoned, JOURNAL_STORAGE_LOST);
	connect_worker(WIRE_RESUME);
	disk = d->priv;
	assert_int_equal(disk->store->poisoned, STORE_FLUSH_FAILED);
	assert_int_equal(live->poisoned, STORE_FLUSH_FAILED);
}

/* ------------------------------------------------------------------ a worker that goes */

static void leave_worker(void)
{
	device_leave(d);
	end_worker();
	start_worker();
}

/* The first request of ring 0, with the store. */
static void under_way_is_a_secure_discard(uint32_t nr_rings)
{
	new_rings(nr_rings);
	connect_worker(WIRE_RESUME_NOT);
	ask_discard(0, 1, 0, 1024, true);
	until(held(0) == 1);
}

static void a_secure_discard_that_takes_long_is_left_to_the_next_worker(void **state)
{
	under_way_is_a_secure_discard(1);
	for (int upgrades = 0; upgrades < 3; upgrades++) {
		leave_worker();
		assert_int_equal(answers(0), 0);
		connect_worker(WIRE_RESUME);
		until(held(0) == 1);
		assert_int_equal(held_sector(0), 0);
	}
	assert_true(finish_oldest(0));
	until(answers(0) == 1);
	assert_int_equal(answer(0, 1), BLKIF_RSP_OKAY);
}

/* One behind it in its ring, and one of another ring: done by this worker, they would be undone by the next. */
static void what_waits_for_it_is_left_too_and_comes_after(void **state)
{
	under_way_is_a_secure_discard(2);
	ask_write(0, 2, 8);
	ask_write(1, 3, 16);
	ask_write(1, 4, 2048); /* behind that one */
	until(READ_ONCE(journal_of(0)->req_cons) == 2 && READ_ONCE(journal_of(1)->req_cons) == 1);
	leave_worker();
	assert_int_equal(answers(0) + answers(1), 0);
	connect_worker(WIRE_RESUME);
	until(held(0) == 1);
	assert_int_equal(held_sector(0), 0);
	assert_int_equal(held(1), 0);
	until((finish_one_each(), answers(0) == 2 && answers(1) == 2));
	assert_int_equal(answer(0, 1), BLKIF_RSP_OKAY);
	assert_int_equal(answer(0, 2), BLKIF_RSP_OKAY);
	assert_int_equal(answer(1, 3), BLKIF_RSP_OKAY);
	assert_int_equal(answer(1, 4), BLKIF_RSP_OKAY);
}

static void all_else_is_finished_and_answered(void **state)
{
	under_way_is_a_secure_discard(1);
	ask_write(0, 2, 2048);
	until(held(0) == 2);
	device_leave(d);
	until(held(0) == 1);
	assert_int_equal(held_sector(0), 2048);
	assert_false(device_reap(d));
	assert_true(finish_oldest(0));
	end_worker();
	assert_int_equal(answer(0, 2), BLKIF_RSP_OKAY);
	assert_int_equal(answers(0), 0);
	start_worker();
	connect_worker(WIRE_RESUME);
	until((finish_one_each(), answers(0) == 1));
	assert_int_equal(answer(0, 1), BLKIF_RSP_OKAY);
}

/* It was not done, and nobody will: a front end that goes does not wait for long, and is told so. */
static void when_the_front_end_goes_it_has_failed(void **state)
{
	under_way_is_a_secure_discard(1);
	device_disconnect(d, true);
	until(device_reap(d));
	assert_int_equal(answer(0, 1), BLKIF_RSP_ERROR);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		CASE(what_was_under_way_goes_first_and_what_waited_for_it_waits),
		CASE(after_a_worker_that_kept_no_claims_none_waits_for_ever),
		CASE(one_that_waits_for_another_ring_does_not_wait_for_its_own),
		CASE(a_discard_of_nearly_all_stops_no_other_ring),
		CASE(a_discard_goes_when_those_before_it_are_done),
		CASE(a_discard_that_waited_waits_again_after_a_death),
		CASE(no_other_ring_is_blamed_for_one_that_kills),
		CASE(nothing_new_begins_beside_one_that_may_kill),
		CASE(it_holds_nobody_up_for_long),
		CASE(what_only_waited_for_one_that_kills_is_not_blamed),
		CASE(a_failed_flush_is_remembered_for_a_front_end_that_comes_later),
		CASE(of_a_lost_server_the_next_worker_knows_that_flushes_fail),
		CASE(a_secure_discard_that_takes_long_is_left_to_the_next_worker),
		CASE(what_waits_for_it_is_left_too_and_comes_after),
		CASE(all_else_is_finished_and_answered),
		CASE(when_the_front_end_goes_it_has_failed),
	};

	log_level = LOG_LVL_ERROR;
	list_init(&worker.devices);
	worker.slowness = 1;
	worker.wake_fd = -1;
	if (grant_open(&worker.grant))
		return 1;
	return cmocka_run_group_tests_name("blk-queue", tests, NULL, NULL);
}
