/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * span.h - bounded reader (and writer) for foreign bytes.  Pure.
 *
 * A span is a cursor over bytes someone else wrote.  Each getter either succeeds whole (fills its
 * out-parameter and advances) or returns -EBADMSG and leaves cursor and out-parameter alone.  Integers are
 * little-endian, as on every wire we speak.  The bytes must be private (copied) memory: a span never
 * protects against a peer that changes them.
 */
#ifndef SYNTH_SPAN_H
#define SYNTH_SPAN_H

#include "common/base/base.h"

struct span {
	const uint8_t *p; /* next byte */
	size_t left;      /* bytes not read yet */
};

static inline struct span span_of(const void *p, size_t bytes)
{
	return (struct span){ p, bytes };
}

/* Each returns 0 or -EBADMSG. */
int span_get_u8(struct span *s, uint8_t *ret) __must_check;
int span_get_u16(struct span *s, uint16_t *ret) __must_check;
int span_get_u32(struct span *s, uint32_t *ret) __must_check;
int span_get_u64(struct span *s, uint64_t *ret) __must_check;
int span_get_bytes(struct span *s, void *ret, size_t bytes) __must_check;
int span_skip(struct span *s, size_t bytes) __must_check;
/* Up to (not including) @sep or the end; the separator is consumed. *ret points into the span. -EBADMSG when empty. */
int span_get_until(struct span *s, char sep, struct span *ret) __must_check;

/*
 * Numbers in text, as xenstore holds them: decimal digits only, no sign, no blank, no suffix, no empty
 * string, at most @max.  0, or -EINVAL (not a number) or -ERANGE (too big).
 */
int parse_u64(const char *text, size_t bytes, uint64_t max, uint64_t *ret) __must_check;
/* The same for a NUL-terminated string, which may be NULL (-ENOENT). */
int parse_str_u64(const char *text, uint64_t max, uint64_t *ret) __must_check;
int parse_str_u32(const char *text, uint32_t max, uint32_t *ret) __must_check;
/* "10G", "512M", "4096": bytes, with binary suffixes K M G T. */
int parse_size(const char *text, uint64_t *ret) __must_check;

#endif
