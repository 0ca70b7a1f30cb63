/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-text.c - libFuzzer target: strict numbers, sizes, rates, names of devices, targets of nics, metrics, words.
 * links: common/span/span.c common/metrics/metrics.c backend/control/fault.c backend/net/net-rate.c backend/net/net-target.c
 * Input: byte 0 chooses the reader, the rest is its text.
 */
#include <ctype.h>
#include <errno.h>
#include "backend/net/net-rate.h"
#include "backend/net/net-target.h"
#include "common/metrics/metrics.h"
#include "common/net/mac.h"
#include "common/xen/vdev.h"
#include "tests/fuzz/fuzz.h"

/* Of digits alone, by another road: sets *big when it does not fit. */
static uint64_t plain(const char *text, bool *big)
{
	unsigned __int128 v = 0;

	*big = false;
	for (; *text; text++) {
		v = v * 10 + (unsigned)(*text - '0');
		if (v > UINT64_MAX)
			*big = true;
		v &= UINT64_MAX;
	}
	return (uint64_t)v;
}

static void number(const char *text, uint64_t max)
{
	uint64_t v = 4711;
	uint32_t v32 = 4711;
	bool digits = *text, big;
	int rc = parse_str_u64(text, max, &v);
	uint64_t expect;

	for (const char *p = text; *p; p++)
		digits &= isdigit((unsigned char)*p) != 0;
	if (!digits) {
		must(rc == -EINVAL && v == 4711);
		return;
	}
	expect = plain(text, &big);
	must(rc == (big || expect > max ? -ERANGE : 0));
	must(v == (rc ? 4711 : expect));
	rc = parse_str_u32(text, (uint32_t)max, &v32);
	must(rc == (big || expect > (uint32_t)max ? -ERANGE : 0));
	must(v32 == (rc ? 4711 : expect));
}

static void size_text(const char *text)
{
	uint64_t v = 4711, back;
	char again[32];

	if (parse_size(text, &v) < 0) {
		must(v == 4711);
		return;
	}
	snprintf(again, sizeof(again), "%llu", (unsigned long long)v);
	must(parse_size(again, &back) == 0 && back == v);
}

static void rate(struct feed *f)
{
	uint64_t now = 1000000, bytes = 0, credit_max;
	uint32_t usec = 0, step = feed_u32(f), packet = feed_u16(f);
	char *text = feed_text(f), again[NET_RATE_TEXT];
	struct net_rate r;
	uint64_t b2;
	uint32_t u2;

	if (net_rate_parse_xl(text, &bytes, &usec) == 0) {
		must((bytes == 0) == (usec == 0) && bytes <= 1ull << 40 && usec <= 1000000000u);
		must((size_t)snprintf(again, sizeof(again), "%llu,%u", (unsigned long long)bytes, usec) <
		     sizeof(again));
		must(net_rate_parse(again, &b2, &u2) == 0 && b2 == bytes && u2 == usec);
	}
	net_rate_set(&r, bytes, usec, now);
	credit_max = MAX(bytes, (uint64_t)NET_RATE_BURST);
	for (int i = 0; i < 20; i++) {
		uint64_t wait = net_rate_take(&r, now, packet);

		must(bytes || wait == 0);
		must(r.credit <= credit_max);
		must(wait <= usec * 1000ull);
		now += wait ? wait : step;
	}
	free(text);
}

static void names(const char *text)
{
	char name[VDEV_NAME_MAX], name2[VDEV_NAME_MAX];
	uint8_t mac[MAC_BYTES], mac2[MAC_BYTES];
	uint32_t vdev, again;
	struct net_target t;
	struct fault f;

	/* a disk has several numbers, and one name */
	if (vdev_parse(text, &vdev) == 0) {
		vdev_name(vdev, name);
		must(strnlen(name, sizeof(name)) < sizeof(name));
		must(vdev_parse(name, &again) == 0);
		vdev_name(again, name2);
		must(strcmp(name, name2) == 0);
	}
	if (net_dev_parse(text, &vdev) == 0) {
		net_dev_name(vdev, name);
		must(net_dev_parse(name, &again) == 0 && again == vdev);
		net_dev_name(again, name2);
		must(strcmp(name, name2) == 0);
	}
	if (mac_parse(text, mac) == 0) {
		char again_text[MAC_TEXT];

		must(!(mac[0] & 1));
		mac_text(mac, again_text);
		must(mac_parse(again_text, mac2) == 0 && memcmp(mac, mac2, sizeof(mac)) == 0);
	}
	memset(&f, 0, sizeof(f));
	if (net_target_parse(text, &t, &f) == 0) {
		must(t.kind <= NET_TARGET_NULL && strnlen(t.name, sizeof(t.name)) < sizeof(t.name));
		if (t.kind == NET_TARGET_BRIDGE || t.kind == NET_TARGET_OVS)
			must(net_ifname_ok(t.name));
		if (t.kind == NET_TARGET_TAP && t.name[0])
			must(net_ifname_ok(t.name));
		if (t.kind == NET_TARGET_STREAM)
			must(t.name[0] == '/');
	} else {
		must(f.why[0]);
	}
	if (net_ifname_ok(text)) {
		must(strlen(text) < NET_IFNAME_MAX && strlen(text) > 0 && !strchr(text, '/') &&
		     strcmp(text, ".") != 0 && strcmp(text, "..") != 0);
		for (const char *p = text; *p; p++)
			must((unsigned char)*p > 0x20 && (unsigned char)*p < 0x7f);
	}
}

/* What a worker answers to STAT. */
static void metrics(const uint8_t *p, size_t bytes)
{
	struct span s = span_of(p, bytes);
	char name[64];
	uint64_t v;
	int rc;

	for (size_t lines = 0; (rc = metrics_get(&s, name, &v)) == 0; lines++) {
		must(lines < bytes && strnlen(name, sizeof(name)) < sizeof(name) && name[0]);
		for (const char *c = name; *c; c++)
			must(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
	}
	must(rc == -ENOENT || rc == -EBADMSG);
}

static void words(const uint8_t *p, size_t bytes)
{
	struct span s = span_of(p, bytes), word;
	const uint8_t *end = p + bytes;

	while (s.left) {
		const uint8_t *at = s.p;
		size_t before = s.left;

		must(span_get_until(&s, '\n', &word) == 0);
		must(word.p == at && word.left <= before && !memchr(word.p, '\n', word.left));
		must(s.left == before - word.left - (word.left < before) && s.p + s.left == end);
	}
	must(span_get_until(&s, '\n', &word) == -EBADMSG && s.p == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, size };
	uint8_t choice = feed_u8(&f);
	char *text = NULL, q[QUOTE_MAX];

	switch (choice % 6) {
	case 0:
		number(text = feed_text(&f), choice & 64 ? UINT64_MAX : choice & 128 ? UINT32_MAX : 1000);
		break;
	case 1:
		size_text(text = feed_text(&f));
		break;
	case 2:
		rate(&f);
		break;
	case 3:
		names(text = feed_text(&f));
		must(strlen(quote_text(q, text)) < QUOTE_MAX);
		break;
	case 4:
		metrics(f.p, f.left);
		break;
	default:
		words(f.p, f.left);
	}
	free(text);
	return 0;
}
