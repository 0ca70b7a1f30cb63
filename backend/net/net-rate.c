/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-rate.c - see net-rate.h. */
#include <errno.h>
#include "backend/net/net-rate.h"
#include "common/span/span.h"

#define BYTES_MAX (1ull << 40) /* a period: so that no product overflows */
#define USEC_MAX  1000000000u

int net_rate_parse(const char *text, uint64_t *bytes, uint32_t *usec)
{
	const char *comma = strchr(text, ',');
	uint64_t b;
	uint32_t u;

	if (!comma || parse_u64(text, (size_t)(comma - text), BYTES_MAX, &b) < 0 ||
	    parse_str_u32(comma + 1, USEC_MAX, &u) < 0)
		return -EINVAL;
	*bytes = u ? b : 0;
	*usec = b ? u : 0;
	return 0;
}

static const struct unit {
	const char *name;
	uint64_t bits;
} units[] = {
	{ "Gb/s", 1000000000 }, { "Mb/s", 1000000 }, { "Kb/s", 1000 }, { "b/s", 1 },
	{ "GB/s", 8000000000 }, { "MB/s", 8000000 }, { "KB/s", 8000 }, { "B/s", 8 },
};

static int parse_interval(const char *text, uint32_t *usec)
{
	static const struct {
		const char *name;
		uint32_t usec;
	} times[] = { { "us", 1 }, { "ms", 1000 }, { "s", 1000000 } };
	size_t digits = strspn(text, "0123456789");
	uint64_t n;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (strcmp(text + digits, times[i].name) == 0 &&
		    parse_u64(text, digits, USEC_MAX / times[i].usec, &n) == 0 && n > 0) {
			*usec = (uint32_t)n * times[i].usec;
			return 0;
		}
	return -EINVAL;
}

int net_rate_parse_xl(const char *text, uint64_t *bytes, uint32_t *usec)
{
	size_t digits = strspn(text, "0123456789");
	const char *at = strchr(text, '@'), *end = at ? at : text + strlen(text);
	uint32_t interval = 50000; /* xl's own */
	uint64_t n;

	if (strchr(text, ','))
		return net_rate_parse(text, bytes, usec);
	if (at && parse_interval(at + 1, &interval) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		size_t len = strlen(units[i].name);
		double total;

		if ((size_t)(end - text) != digits + len || strncmp(text + digits, units[i].name, len) != 0)
			continue;
		if (parse_u64(text, digits, 1ull << 40, &n) < 0)
			return -EINVAL;
		total = (double)n * (double)units[i].bits / 8.0 * (double)interval / 1e6;
		if (total > (double)BYTES_MAX || (n > 0 && total < 1))
			return -EINVAL;
		*bytes = (uint64_t)total;
		*usec = n ? interval : 0;
		return 0;
	}
	return -EINVAL;
}

static uint64_t burst(const struct net_rate *r)
{
	return MAX(r->bytes, (uint64_t)NET_RATE_BURST);
}

void net_rate_set(struct net_rate *r, uint64_t bytes, uint32_t usec, uint64_t now)
{
	if (bytes > BYTES_MAX || usec > USEC_MAX || usec == 0)
		bytes = 0;
	*r = (struct net_rate){ .bytes = bytes, .usec = usec, .last_ns = now };
	r->credit = burst(r);
}

uint64_t net_rate_take(struct net_rate *r, uint64_t now, uint32_t packet)
{
	uint64_t period, periods;

	if (r->bytes == 0)
		return 0;
	period = r->usec * 1000ull;
	if (now > r->last_ns && now - r->last_ns >= period) {
		/* Whole periods only, so that none is lost to rounding. */
		periods = (now - r->last_ns) / period;
		r->last_ns += periods * period;
		periods = MIN(periods, burst(r) / r->bytes + 1);
		r->credit = MIN(r->credit + periods * r->bytes, burst(r));
	}
	if (r->credit >= packet) {
		r->credit -= packet;
		return 0;
	}
	if (packet > burst(r)) { /* never more than the burst: would wait for ever */
		r->credit = 0;
		return 0;
	}
	return r->last_ns + period > now ? r->last_ns + period - now : 1;
}
