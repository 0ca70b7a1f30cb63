/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-trace.h - a nic's frames into a pcap file (pcap-savefile(5)), as they are on the guest's side: before checksums are finished
 * and before anything is cut.  The file has a limit; when it is reached, or cannot be written, the trace ends by itself.
 */
#ifndef SYNTH_NET_TRACE_H
#define SYNTH_NET_TRACE_H

#include "common/base/base.h"

struct net_trace {
	bool on; /* atomic: looked at without the lock */
	int fd;
	uint32_t snaplen;
	uint64_t left; /* bytes */
	uint64_t packets;
};

/* Takes @fd, an empty regular file open for writing.  -EBUSY: a trace goes on. */
int net_trace_start(struct net_trace *t, int fd, uint32_t snaplen, uint64_t max_bytes) __must_check;
void net_trace_stop(struct net_trace *t);
void net_trace_frame(struct net_trace *t, const uint8_t *frame, uint32_t bytes);

#endif
