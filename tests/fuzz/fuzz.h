/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz.h - what the targets share: the input as a feed of numbers, and the one way to say that something is wrong.
 */
#ifndef SYNTH_FUZZ_H
#define SYNTH_FUZZ_H

#include <stdio.h>
#include "common/base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(holds)                                                                       \
	do {                                                                              \
		if (!(holds)) {                                                           \
			fprintf(stderr, "%s:%d: must: %s\n", __FILE__, __LINE__, #holds); \
			abort();                                                          \
		}                                                                         \
	} while (0)

/* The input; zeroes behind its end. */
struct feed {
	const uint8_t *p;
	size_t left;
};

static inline void feed_bytes(struct feed *f, void *to, size_t bytes)
{
	size_t n = MIN(bytes, f->left);

	if (n)
		memcpy(to, f->p, n);
	memset((uint8_t *)to + n, 0, bytes - n);
	f->p += n;
	f->left -= n;
}

static inline uint8_t feed_u8(struct feed *f)
{
	uint8_t v;

	feed_bytes(f, &v, sizeof(v));
	return v;
}

static inline uint16_t feed_u16(struct feed *f)
{
	uint16_t v;

	feed_bytes(f, &v, sizeof(v));
	return v;
}

static inline uint32_t feed_u32(struct feed *f)
{
	uint32_t v;

	feed_bytes(f, &v, sizeof(v));
	return v;
}

/* The rest as a string of its own, on the heap; NULs in it end it early. */
static inline char *feed_text(struct feed *f)
{
	char *s = malloc(f->left + 1);

	must(s);
	memcpy(s, f->p, f->left);
	s[f->left] = '\0';
	f->p += f->left;
	f->left = 0;
	return s;
}

#endif
