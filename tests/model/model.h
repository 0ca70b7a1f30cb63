/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * model.h - the designs that are explored, and the broken variants of each.  README.md tells what is modelled.
 */
#ifndef SYNTH_MODEL_H
#define SYNTH_MODEL_H

#include "tests/model/explore.h"

/*
 * The steps of the block back end which are stores that a successor can see the effect of, or the lack of.  The code
 * has a CRASH_POINT() of each name (common/base/crash.h); tests/model/steps.t compares.
 */
#define BLOCK_STEPS(X)                          \
	X(take_copy, "take.copy")               \
	X(take_inflight, "take.inflight")       \
	X(take_cons, "take.cons")               \
	X(complete_base, "complete.base")       \
	X(complete_done, "complete.done")       \
	X(complete_write, "complete.write")     \
	X(complete_publish, "complete.publish") \
	X(complete_free, "complete.free")       \
	X(recover_validate, "recover.validate") \
	X(recover_free, "recover.free")         \
	X(recover_rewrite, "recover.rewrite")   \
	X(recover_publish, "recover.publish")   \
	X(recover_attempt, "recover.attempt")   \
	X(recover_resubmit, "recover.resubmit") \
	X(recover_notify, "recover.notify")

/* And those of a nic's ring (common/ring/redo.h). */
#define NET_STEPS(X)                          \
	X(redo_write, "net.redo.write")       \
	X(redo_commit, "net.redo.commit")     \
	X(ring_write, "net.ring.write")       \
	X(publish, "net.publish")             \
	X(recover_write, "net.recover.write") \
	X(recover_publish, "net.recover.publish")

/* How a back end may differ from the design. */
enum block_flag {
	BLOCK_NO_JOURNAL = 1u << 0,     /* a successor attaches at rsp_prod and knows nothing else */
	BLOCK_IN_ORDER = 1u << 1,       /* answers in ring order only */
	BLOCK_REDO = 1u << 2,           /* with it: one record of the answer being written */
	BLOCK_CONS_FIRST = 1u << 3,     /* req_cons advanced before the slot is saved */
	BLOCK_FREE_FIRST = 1u << 4,     /* slots freed before the batch is published */
	BLOCK_NO_RSP_IDX = 1u << 5,     /* the journal does not say where an answer belongs */
	BLOCK_NO_FENCE = 1u << 6,       /* recovery does not wait for what the dead one had asked of the image */
	BLOCK_NO_OVERLAP = 1u << 7,     /* overlapping requests may be with the image together */
	BLOCK_EARLY_OVERLAP = 1u << 8,  /* they wait, but only until the image is done, not until the journal says so */
	BLOCK_NO_NOTIFY = 1u << 9,      /* no event after recovery */
	BLOCK_KEEP_DONE = 1u << 10,     /* answers that were published are written again */
	BLOCK_NO_ATTEMPTS = 1u << 11,   /* replays are not counted */
	BLOCK_LATE_ATTEMPTS = 1u << 12, /* they are, after the replay */
	BLOCK_NO_COUNT = 1u << 13,      /* recovery does not compare the journal's requests with the ring's indices */
	BLOCK_NO_BOUNDS = 1u << 14,     /* it does not even ask for indices within a ring of each other */
	BLOCK_PUBLISH_FIRST = 1u << 15, /* rsp_prod before the answers */
};

struct block_config {
	uint8_t nr_ents, crashes, batch;
	uint8_t hostile; /* indices a front end may overwrite, and nothing else is asked than that recovery keeps its bounds */
	bool blame; /* each crash counts against the requests in flight */
	uint32_t flags;
	const char *const
		*scripts; /* requests: A..C write a register, a..c read it, P kills who serves it; NULL-ended */
};

extern const struct model block_model;

/* How the rings of one disk keep overlapping requests apart, over deaths. */
enum rings_flag {
	/* the design: the journal says who has claimed its range, a successor claims for these; 0: it claims whatever it can */
	RINGS_MARKS = 1u << 0,
	RINGS_MARK_LATE = 1u << 1, /* with it: said after the request went to the image */
	RINGS_PREFIX = 1u
		       << 2, /* a successor claims what it can of each ring, in order, up to the first that it cannot */
	RINGS_NO_CLAIMS = 1u << 3,  /* nothing is claimed */
	RINGS_OWN_ALONE = 1u << 4,  /* one that was tried before is alone in its ring, not in all */
	RINGS_COUNT_WAIT = 1u << 5, /* a try is counted when its turn comes, not when it begins */
	RINGS_ALONE_LATE = 1u << 6, /* what is new begins beside one that was tried before */
	RINGS_MARK_WAITS = 1u << 7, /* a discard that only waits is marked as one that has claimed */
	RINGS_TWO_WAIT = 1u << 8,   /* discards that overlap are published, and wait, together */
};

struct rings_config {
	uint8_t crashes;
	bool only_ends; /* nothing is asked but that all is answered */
	uint32_t flags;
	/* of the rings, between slashes: w, r, d(iscard) or p, a write that kills who serves it, and the sectors, a bit each; NULL-ended */
	const char *const *scripts;
};

extern const struct model rings_model;

enum net_flag {
	NET_NO_REDO = 1u << 0,
	NET_COMMIT_LATE = 1u << 1,  /* committed after the ring was written */
	NET_COMMIT_FIRST = 1u << 2, /* committed before the mirror was written */
	NET_COMMIT_SLOTS = 1u << 3, /* committed slot by slot, not packet by packet */
	NET_NO_NOTIFY = 1u << 4,
	NET_NO_BOUNDS = 1u << 5,
	NET_NO_REWRITE = 1u << 6, /* a successor publishes what was committed without writing it again */
};

struct net_config {
	uint8_t nr_ents, crashes, batch;
	uint8_t hostile;
	uint32_t flags;
	const char *const *scripts; /* packets: digits, the slots of each; NULL-ended */
};

extern const struct model net_model;

#endif
