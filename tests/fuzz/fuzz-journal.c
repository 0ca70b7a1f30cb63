/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-journal.c - libFuzzer target: the file of a journal, whole: cut, of another version, of another connection.
 * links: backend/worker/journal.c backend/journal.c
 * Input: byte 0: 0x01 the head is sealed as the control plane does, 0x02 the message says the same as it, 0x04 resume; byte 1: bytes
 * of the class's part, times 64; then what is changed: pairs of place (2 bytes) and value.  The place 0xffff cuts the file.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include "backend/worker/journal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/quiet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static struct journal_head h;
	static struct wire_connect c;
	struct feed f = { data, size };
	uint8_t how = feed_u8(&f), value;
	uint64_t class_bytes = feed_u8(&f) * 64u;
	struct journal j;
	bool whole = (how & 3) == 3;
	off_t bytes = (off_t)(JOURNAL_CLASS_AT + class_bytes);
	int rc;

	if (fd < 0)
		fd = memfd_create("journal", MFD_CLOEXEC);
	must(fd >= 0 && ftruncate(fd, 0) == 0 && ftruncate(fd, bytes) == 0);
	memset(&h, 0, sizeof(h));
	h.wire = (struct wire_connect){
		.nr_queues = 1 + (how >> 5) % 4u, .nr_rings = 1, .nr_ports = 1, .order = (how >> 4) & 1
	};
	snprintf(h.class, sizeof(h.class), "disk");
	snprintf(h.uuid, sizeof(h.uuid), "some-uuid");
	c = h.wire;
	c.resume = how & 4 ? WIRE_RESUME_BLAME : 0;
	journal_head_seal(&h, class_bytes);
	while (f.left >= 3) {
		uint16_t at = feed_u16(&f);

		value = feed_u8(&f);
		if (at == 0xffff) {
			bytes = value * 64;
			must(ftruncate(fd, bytes) == 0);
			whole = false;
		} else if (at < sizeof(h)) {
			whole &= ((uint8_t *)&h)[at] == value;
			((uint8_t *)&h)[at] = value;
		} else if (at - sizeof(h) < sizeof(c) && !(how & 2)) {
			((uint8_t *)&c)[at - sizeof(h)] = value;
		}
	}
	if (how & 1)
		journal_head_seal(&h, how & 8 ? class_bytes : h.class_bytes);
	must(pwrite(fd, &h, MIN(sizeof(h), (size_t)bytes), 0) >= 0);
	/* The control plane has checked these before it sent them. */
	c.nr_queues = MIN(c.nr_queues, WIRE_MAX_QUEUES);
	c.nr_rings = MIN(c.nr_rings, WIRE_MAX_RINGS);
	c.order = MIN(c.order, WIRE_MAX_ORDER);
	rc = journal_map(&j, fd, &c, class_bytes, "web1/xvda");
	must(rc == 0 || rc == -EBADMSG);
	must(!whole || rc == 0 || class_bytes == 0);
	if (rc == 0) {
		must(j.map && j.class_bytes == class_bytes && j.bytes == (size_t)bytes);
		memset(j.class_part, 0, j.class_bytes);
		must(!j.resume); /* a new file: nothing was taken */
		journal_ready(&j);
		must(j.live->life == 1 && j.live->ready == 1);
		journal_unmap(&j);
		must(journal_map(&j, fd, &c, class_bytes, "web1/xvda") == 0 && j.live->life == 2);
		must(j.resume == (c.resume != 0));
	}
	journal_unmap(&j);
	journal_unmap(&j);
	must(!j.map);
	return 0;
}
