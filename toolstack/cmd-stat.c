/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-stat.c - counters of devices as they stand, or with -i what they grow by in a second.
 * The names are in docs/metrics.md; a name unknown here is shown all the same.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include "toolstack/spec.h"
#include "toolstack/synthctl.h"

static int print_counters(const struct opts *o, struct json_object *list)
{
	static const char *const names[] = { "DEVICE", "METRIC", "VALUE" };
	static const bool right[] = { false, false, true };
	struct table *t = table_new(names, right, ARRAY_SIZE(names));

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *dev = json_object_array_get_idx(list, i);
		struct json_object *metrics = json_object_object_get(dev, "metrics");

		if (!json_object_is_type(metrics, json_type_object))
			continue;
		json_object_object_foreach(metrics, name, value)
		{
			char *cells[3] = { clean_text(member(dev, "device")), clean_text(name), NULL };
			size_t n = strlen(name);

			if (n > 6 && !strcmp(name + n - 6, "_bytes") && !opt_has(o, OPT_BYTES))
				cells[2] = human_size((uint64_t)json_object_get_int64(value));
			else
				cells[2] = clean_text(json_object_get_string(value));
			table_add(t, cells);
		}
	}
	table_print(t, !opt_has(o, OPT_NOHEADINGS));
	return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

static int print_stat_json(struct json_object *list, double seconds)
{
	struct json_object *top = json_object_new_object();

	json_object_object_add(top, "v", json_object_new_int(1));
	json_object_object_add(top, "uptime", json_object_new_double(seconds));
	json_object_object_add(top, "devices", json_object_get(list));
	/* One line a sample, so that a reader of -i can take them one by one. */
	puts(json_object_to_json_string_ext(top, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(top);
	return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

/* ------------------------------------------------------------------ rates */

struct rate {
	const char *heading;
	const char *metrics[6]; /* summed */
	double scale;
	bool bytes; /* a size */
};

static const struct rate disk_rates[] = {
	{ "READ/s", { "read_requests" }, 1, false },
	{ "WRITE/s", { "write_requests" }, 1, false },
	{ "FLUSH/s", { "flush_requests", "barrier_requests" }, 1, false },
	{ "READ-B/s", { "read_sectors" }, SECTOR_BYTES, true },
	{ "WRITE-B/s", { "write_sectors" }, SECTOR_BYTES, true },
	{ "EV-IN/s", { "events_in" }, 1, false },
	{ "EV-OUT/s", { "events_out" }, 1, false },
	{ "ERR/s",
	  { "read_errors", "write_errors", "flush_errors", "barrier_errors", "discard_errors", "bad_requests" },
	  1,
	  false },
};

static const struct rate nic_rates[] = {
	{ "TX/s", { "tx_packets" }, 1, false },
	{ "RX/s", { "rx_packets" }, 1, false },
	{ "TX-B/s", { "tx_bytes" }, 1, true },
	{ "RX-B/s", { "rx_bytes" }, 1, true },
	{ "EV-IN/s", { "events_in" }, 1, false },
	{ "EV-OUT/s", { "events_out" }, 1, false },
	{ "DROP/s", { "tx_dropped", "rx_dropped", "rx_stalled", "rx_filtered" }, 1, false },
	{ "ERR/s", { "tx_errors", "rx_errors" }, 1, false },
};

/* The sum of a rate's metrics in a sample of a device; false when one of them is not there. */
static bool metric(struct json_object *dev, const struct rate *r, double *ret)
{
	struct json_object *metrics = json_object_object_get(dev, "metrics"), *v;
	double sum = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(r->metrics) && r->metrics[i]; i++) {
		if (!json_object_is_type(metrics, json_type_object) ||
		    !json_object_object_get_ex(metrics, r->metrics[i], &v))
			return false;
		sum += json_object_get_double(v);
	}
	*ret = sum * r->scale;
	return true;
}

static struct json_object *same_device(struct json_object *list, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *dev = json_object_array_get_idx(list, i);

		if (!strcmp(member(dev, "device"), name))
			return dev;
	}
	return NULL;
}

static char *rate_cell(const struct opts *o, struct json_object *before, struct json_object *now, const struct rate *r,
		       double seconds)
{
	double a, b, v;
	char *text;

	if (!before || !metric(before, r, &a) || !metric(now, r, &b) || b < a || seconds <= 0)
		return strdup("-");
	v = (b - a) / seconds;
	if (r->bytes && !opt_has(o, OPT_BYTES))
		return human_size((uint64_t)v);
	return asprintf(&text, "%.0f", v) < 0 ? NULL : text;
}

static bool is_nic(struct json_object *dev)
{
	return strncmp(member(dev, "dev"), "eth", 3) == 0;
}

/* A table of the devices of one class; nothing when there is none. */
static void print_rate_table(const struct opts *o, struct json_object *before, struct json_object *now, double seconds,
			     bool nics, bool *first)
{
	_Static_assert(ARRAY_SIZE(disk_rates) == ARRAY_SIZE(nic_rates), "one shape of table");
	const struct rate *rates = nics ? nic_rates : disk_rates;
	const char *names[1 + ARRAY_SIZE(disk_rates)] = { "DEVICE" };
	bool right[1 + ARRAY_SIZE(disk_rates)] = { false };
	struct table *t = NULL;

	for (unsigned i = 0; i < ARRAY_SIZE(disk_rates); i++) {
		names[1 + i] = rates[i].heading;
		right[1 + i] = true;
	}
	for (size_t k = 0; k < json_object_array_length(now); k++) {
		struct json_object *dev = json_object_array_get_idx(now, k);
		struct json_object *old = same_device(before, member(dev, "device"));
		char *cells[1 + ARRAY_SIZE(disk_rates)];

		if (is_nic(dev) != nics)
			continue;
		if (!t)
			t = table_new(names, right, ARRAY_SIZE(names));
		cells[0] = clean_text(member(dev, "device"));
		for (unsigned i = 0; i < ARRAY_SIZE(disk_rates); i++)
			cells[1 + i] = rate_cell(o, old, dev, &rates[i], seconds);
		table_add(t, cells);
	}
	if (!t)
		return;
	if (!*first)
		putchar('\n');
	*first = false;
	table_print(t, !opt_has(o, OPT_NOHEADINGS));
}

static int print_rates(const struct opts *o, struct json_object *before, struct json_object *now, double seconds,
		       bool first)
{
	print_rate_table(o, before, now, seconds, false, &first);
	print_rate_table(o, before, now, seconds, true, &first);
	return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

/* ------------------------------------------------------------------ the command */

struct asked {
	const char *dom, *dev; /* "": all */
};

static struct json_object *stat_request(void *arg)
{
	const struct asked *a = arg;
	struct json_object *req = request_new("stat");

	if (*a->dom) {
		json_object_object_add(req, "dom", json_object_new_string(a->dom));
		json_object_object_add(req, "dev", json_object_new_string(a->dev));
	}
	return req;
}

/* 0, or EXIT_INTERRUPTED. */
static int sleep_s(double s)
{
	struct timespec t = { .tv_sec = (time_t)s };

	t.tv_nsec = (long)((s - (double)t.tv_sec) * 1e9);
	return nanosleep(&t, NULL) && errno == EINTR ? EXIT_INTERRUPTED : 0;
}

static int sample(const struct opts *o, const char *dom, const char *dev, struct json_object **ret)
{
	struct asked a = { dom, dev };
	struct opts to = opts_for(o, dev);

	if (*dev && !to.service)
		to.service = SERVICE_DISK;
	return ask_each(&to, stat_request, &a, ret);
}

static int watch(const struct opts *o, const char *dom, const char *dev, struct json_object *before)
{
	double then = now_s();
	int rc = 0;

	for (uint32_t i = 0; !rc && (!opt_has(o, OPT_COUNT) || i < o->number[OPT_COUNT]); i++) {
		struct json_object *now = NULL;
		double t;

		rc = sleep_s(o->seconds[OPT_INTERVAL]);
		if (!rc)
			rc = sample(o, dom, dev, &now);
		if (rc)
			break;
		t = now_s();
		if (opt_has(o, OPT_JSON))
			rc = print_stat_json(now, t);
		else
			rc = print_rates(o, before, now, t - then, i == 0);
		then = t;
		json_object_put(before);
		before = now;
	}
	json_object_put(before);
	return rc;
}

int cmd_stat(const struct opts *o, char **args, int nr)
{
	char dom[256] = "", dev[SPEC_DEV_MAX] = "";
	struct json_object *list = NULL;
	int rc;

	if (nr && spec_parse_device(args[0], dom, sizeof(dom), dev, sizeof(dev)))
		return usage_error("\"%.60s\" is not DOM/DEV, as in web1/xvda", args[0]);
	if (opt_has(o, OPT_INTERVAL) && o->seconds[OPT_INTERVAL] < 0.1)
		return usage_error("--interval wants 0.1 seconds or more");
	rc = sample(o, dom, dev, &list);
	if (rc)
		return rc;
	if (opt_has(o, OPT_INTERVAL))
		return watch(o, dom, dev, list);
	if (!opt_has(o, OPT_QUIET))
		rc = opt_has(o, OPT_JSON) ? print_stat_json(list, now_s()) : print_counters(o, list);
	json_object_put(list);
	return rc;
}
