/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-probe.h - frames that can tell whether they are what was sent, how often, and in which order.  Pure.
 *
 * Three kinds.  Ethernet (type 0x88b5, for local experiments) and UDP carry a header: magic, run, flow, sequence
 * number, length, time, and a checksum of these; what follows is a function of run, flow and number.  TCP carries no
 * header, so that a frame may be cut into segments on its way (GSO): its sequence number is the position in the stream,
 * what it carries is a function of run and position, and run and flow stand in the acknowledgement number and in the
 * source port.  It is no connection: nobody answers.
 */
#ifndef SYNTH_NET_PROBE_H
#define SYNTH_NET_PROBE_H

#include "common/base/base.h"
#include "common/net/offload.h"

enum probe_kind { PROBE_ETH, PROBE_UDP4, PROBE_UDP6, PROBE_TCP4, PROBE_TCP6, PROBE_NR_KINDS };

extern const char *const probe_kinds[PROBE_NR_KINDS]; /* "eth", "udp4", ... */

struct probe {
	enum probe_kind kind;
	uint8_t src[6], dst[6];
	uint32_t run;
	uint16_t flow;
	uint64_t seq;     /* of the frame; for TCP the first byte's position */
	uint64_t sent_ns; /* 0 for TCP */
	bool end;         /* the last of its flow: seq says how many there were */
};

static inline bool probe_is_tcp(enum probe_kind k)
{
	return k == PROBE_TCP4 || k == PROBE_TCP6;
}
uint32_t probe_head_bytes(enum probe_kind k); /* all headers: the smallest frame */
/*
 * Write a frame of @bytes to @buf.  @fill: the payload too, else what is there stays.  @blank: the checksum is left
 * to others (the pseudo header's sum is written); not for PROBE_ETH.
 */
void probe_build(const struct probe *p, uint8_t *buf, uint32_t bytes, bool fill, bool blank);

enum probe_result {
	PROBE_OK,
	PROBE_FOREIGN, /* not one of ours */
	PROBE_CORRUPT, /* ours, and not what was sent */
	PROBE_CSUM,    /* its checksum is wrong */
	PROBE_NR
};
/*
 * Look at @bytes of a frame as received.  @check: the payload and the checksum too; @blank: the checksum was left to
 * us, so it is the pseudo header's sum that must be right.  PROBE_OK: *ret is filled, *data: bytes carried (TCP).
 */
enum probe_result probe_check(const uint8_t *buf, uint32_t bytes, bool check, bool blank, struct probe *ret,
			      uint32_t *data);
/* Send it back: addresses change places. */
void probe_turn(uint8_t *buf, uint32_t bytes);

/* What came of one flow.  Zeroed to begin with. */
#define PROBE_WINDOW 4096u
struct probe_flow {
	uint32_t run;
	uint16_t flow;
	bool used, ended;
	uint64_t frames, bytes;       /* all that came */
	uint64_t next;                /* one behind the highest seen (TCP: position) */
	uint64_t unique, twice, late; /* frames (TCP: bytes); late: out of order, or too old to tell */
	uint64_t sent;                /* what the last frame said, when ended */
	uint64_t window[PROBE_WINDOW / 64];
};
void probe_count(struct probe_flow *f, const struct probe *p, uint32_t frame_bytes, uint32_t data);
/* Frames (TCP: bytes) missing, as far as it can be known. */
uint64_t probe_lost(const struct probe_flow *f);

#endif
