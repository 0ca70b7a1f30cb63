/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * span.h - words and numbers in foreign text.  Pure.
 *
 * A span is a cursor over bytes someone else wrote.  They must be private (copied) memory: a span never protects against a
 * peer that changes them.
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

/* Up to (not including) @sep or the end; the separator is consumed. *ret points into the span. 0; -EBADMSG when empty. */
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
