/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* span.c - words and strict numbers in foreign text. */
#include <errno.h>
#include "common/span/span.h"

int span_get_until(struct span *s, char sep, struct span *ret)
{
	const uint8_t *end;

	if (s->left == 0)
		return -EBADMSG;
	end = memchr(s->p, sep, s->left);
	if (end) {
		*ret = span_of(s->p, (size_t)(end - s->p));
		s->left -= ret->left + 1;
		s->p = end + 1;
	} else {
		*ret = *s;
		s->p += s->left;
		s->left = 0;
	}
	return 0;
}

int parse_u64(const char *text, size_t bytes, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (bytes == 0)
		return -EINVAL;
	for (size_t i = 0; i < bytes; i++)
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
	for (size_t i = 0; i < bytes; i++)
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
			return -ERANGE;
	if (v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_str_u64(const char *text, uint64_t max, uint64_t *ret)
{
	return text ? parse_u64(text, strlen(text), max, ret) : -ENOENT;
}

int parse_str_u32(const char *text, uint32_t max, uint32_t *ret)
{
	uint64_t v;
	int r = parse_str_u64(text, max, &v);

	if (r == 0)
		*ret = (uint32_t)v;
	return r;
}

int parse_size(const char *text, uint64_t *ret)
{
	static const char suffixes[] = "KMGT";
	size_t bytes = text ? strlen(text) : 0;
	unsigned shift = 0;
	uint64_t v;
	int r;

	if (bytes == 0)
		return -EINVAL;
	for (unsigned i = 0; suffixes[i]; i++)
		if (text[bytes - 1] == suffixes[i] || text[bytes - 1] == suffixes[i] + ('a' - 'A'))
			shift = 10 * (i + 1);
	r = parse_u64(text, bytes - (shift ? 1 : 0), UINT64_MAX >> shift, &v);
	if (r == 0)
		*ret = v << shift;
	return r;
}
