/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* journal.c - see journal.h.  Pure. */
#include <errno.h>
#include "backend/journal.h"

/* Bit by bit: a head is looked at once a connection. */
static uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	crc = ~crc;
	for (; bytes > 0; bytes--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static uint32_t head_crc(const struct journal_head *h)
{
	const size_t at = offsetof(struct journal_head, crc), after = at + sizeof(h->crc);
	const uint32_t zero = 0;
	uint32_t crc = crc32c(0, h, at);

	crc = crc32c(crc, &zero, sizeof(zero));
	return crc32c(crc, (const uint8_t *)h + after, sizeof(*h) - after);
}

void journal_head_seal(struct journal_head *h, uint64_t class_bytes)
{
	h->magic = JOURNAL_MAGIC;
	h->version = JOURNAL_VERSION;
	h->head_bytes = sizeof(*h);
	h->bytes = JOURNAL_CLASS_AT + class_bytes;
	h->class_bytes = class_bytes;
	h->crc = head_crc(h);
}

int journal_head_check(const struct journal_head *h, uint64_t bytes, const char **why)
{
	*why = NULL;
	if (bytes < JOURNAL_CLASS_AT)
		*why = "it is too short";
	else if (h->magic != JOURNAL_MAGIC)
		*why = "it is no journal";
	else if (h->version != JOURNAL_VERSION || h->head_bytes != sizeof(*h))
		*why = "it is of a version this program does not know";
	else if (h->crc != head_crc(h))
		*why = "its head is damaged";
	else if (h->bytes != bytes || h->class_bytes > bytes - JOURNAL_CLASS_AT ||
		 h->class_bytes + JOURNAL_CLASS_AT != bytes)
		*why = "it was cut";
	else if (!memchr(h->class, 0, sizeof(h->class)) || !memchr(h->uuid, 0, sizeof(h->uuid)))
		*why = "its head is damaged";
	return *why ? -EBADMSG : 0;
}
