/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * output.c - devices as a table, as lines, or as JSON, from one description of the columns.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>
#include "config.h"
#ifdef HAVE_SMARTCOLS
#include <libsmartcols.h>
#endif
#include "toolstack/synthctl.h"

enum kind { TEXT, NUMBER, SIZE, YESNO, MODE, SECONDS };

static const struct column {
	const char *name, *key; /* heading; member of the device */
	enum kind kind;
	bool usual; /* shown by `list` unless -o says otherwise */
	const char *what;
} columns[] = {
	{ "DEVICE", "device", TEXT, true, "domain and device, the name every command takes" },
	{ "CLASS", "class", TEXT, false, "kind of device" },
	{ "DOMID", "domid", NUMBER, false, "domain number" },
	{ "DOMAIN", "domain", TEXT, false, "domain name" },
	{ "DEV", "dev", TEXT, false, "name in the guest" },
	{ "VDEV", "vdev", NUMBER, false, "virtual device number" },
	{ "STATE", "state", TEXT, true, "xenbus state of the back end" },
	{ "PHASE", "phase", TEXT, false, "state of the back end's own machine" },
	{ "FRONTEND-STATE", "frontend_state", TEXT, false, "xenbus state of the front end" },
	{ "SIZE", "size", SIZE, true, "size of the disk" },
	{ "MODE", "ro", MODE, true, "rw or ro" },
	{ "QUEUES", "queues", NUMBER, true, "rings in use" },
	{ "MAX-QUEUES", "max_queues", NUMBER, false, "rings offered" },
	{ "RING-PAGES", "ring_pages", NUMBER, false, "pages of each ring" },
	{ "PROTOCOL", "protocol", TEXT, false, "layout of the ring" },
	{ "PERSISTENT", "persistent", YESNO, false, "grants stay mapped" },
	{ "CACHE", "cache", TEXT, false, "direct or buffered" },
	{ "CACHE-WHY", "cache_why", TEXT, false, "why not what was asked for" },
	{ "ENGINE", "engine", TEXT, false, "how the image is read" },
	{ "SECTOR", "physical_sector", NUMBER, false, "bytes of a physical sector" },
	{ "DISCARD", "discard", YESNO, false, "discard is offered" },
	{ "USER-FRONTEND", "user_frontend", YESNO, false, "meant for a front end in user space" },
	{ "MAC", "mac", TEXT, false, "address of a nic" },
	{ "MTU", "mtu", NUMBER, false, "largest packet of a nic" },
	{ "LINK", "link", TEXT, false, "up or down" },
	{ "RATE", "rate", TEXT, false, "bytes a period of so many microseconds that the guest may send" },
	{ "INTERFACE", "interface", TEXT, false, "the nic's TAP" },
	{ "PAIRED", "paired", YESNO, false, "the nic it is joined to is there" },
	{ "SPLIT-EVENTS", "split_events", YESNO, false, "each direction has its event channel" },
	{ "FRONTEND-FEATURES", "frontend_features", TEXT, false, "what a nic's front end can take" },
	{ "MULTICAST-FILTER", "multicast_filter", YESNO, false, "the guest hears only the groups it named" },
	{ "TARGET", "target", TEXT, true, "the image, or where a nic is connected" },
	{ "WORKER", "worker", NUMBER, false, "process that serves the guest" },
	{ "WORKER-DEATHS", "worker_deaths", NUMBER, false, "of its workers, since the daemon started or found them" },
	{ "NEXT-START-MS", "next_start_ms", NUMBER, false,
	  "until a dead worker's successor is started; 0: none is waited for" },
	{ "ATTACHED", "attached_s", SECONDS, false, "since when" },
	{ "UUID", "uuid", TEXT, false, "of this attachment" },
	{ "BACKEND", "backend", TEXT, false, "xenstore directory" },
	{ "FRONTEND", "frontend", TEXT, false, "xenstore directory" },
	{ "BROKEN", "broken", TEXT, false, "why the device is no longer served" },
};

const char *member(struct json_object *o, const char *name)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

char *clean_text(const char *s)
{
	char *copy = strdup(s ? s : "");

	for (char *p = copy; p && *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	return copy;
}

char *human_size(uint64_t bytes)
{
	static const char unit[] = "\0KMGTPE";
	double v = (double)bytes;
	unsigned u = 0;
	char *s;

	while (v >= 1024 && u < 6) {
		v /= 1024;
		u++;
	}
	if (asprintf(&s, v == floor(v) || v >= 100 ? "%.0f%.1s" : "%.1f%.1s", v, u ? &unit[u] : "") < 0)
		return NULL;
	return s;
}

static char *duration(uint64_t s)
{
	char *text;
	int n;

	if (s < 120)
		n = asprintf(&text, "%us", (unsigned)s);
	else if (s < 7200)
		n = asprintf(&text, "%um", (unsigned)(s / 60));
	else if (s < 172800)
		n = asprintf(&text, "%uh", (unsigned)(s / 3600));
	else
		n = asprintf(&text, "%llud", (unsigned long long)(s / 86400));
	return n < 0 ? NULL : text;
}

static char *cell(struct json_object *dev, const struct column *c, bool bytes)
{
	struct json_object *v;

	if (!json_object_object_get_ex(dev, c->key, &v) || !v)
		return strdup("-");
	if (c->kind == SIZE && !bytes)
		return human_size((uint64_t)json_object_get_int64(v));
	if (c->kind == SECONDS && !bytes)
		return duration((uint64_t)json_object_get_int64(v));
	if (c->kind == YESNO)
		return strdup(json_object_get_boolean(v) ? "yes" : "no");
	if (c->kind == MODE)
		return strdup(json_object_get_boolean(v) ? "ro" : "rw");
	return clean_text(json_object_get_string(v));
}

static bool to_the_right(const struct column *c)
{
	return c->kind == NUMBER || c->kind == SIZE || c->kind == SECONDS;
}

/* ------------------------------------------------------------------ tables */

struct table {
	unsigned nr;
	const char *names[ARRAY_SIZE(columns)];
	bool right[ARRAY_SIZE(columns)];
	char **cells; /* nr a row */
	size_t rows, room;
};

struct table *table_new(const char *const *names, const bool *right, unsigned nr)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t || nr > ARRAY_SIZE(t->names)) {
		free(t);
		return NULL;
	}
	t->nr = nr;
	memcpy(t->names, names, nr * sizeof(*names));
	memcpy(t->right, right, nr * sizeof(*right));
	return t;
}

void table_add(struct table *t, char **cells)
{
	if (t && t->rows == t->room) {
		size_t room = t->room ? 2 * t->room : 16;
		char **p = realloc(t->cells, room * t->nr * sizeof(*p));

		if (p) {
			t->cells = p;
			t->room = room;
		}
	}
	if (!t || t->rows == t->room)
		return;
	memcpy(t->cells + t->rows++ * t->nr, cells, t->nr * sizeof(*cells));
}

#ifdef HAVE_SMARTCOLS
static void table_draw(struct table *t, bool headings)
{
	struct libscols_table *s = scols_new_table();

	if (!s)
		return;
	scols_table_enable_noheadings(s, !headings);
	if (!isatty(STDOUT_FILENO)) /* never cut what a program reads */
		scols_table_enable_nowrap(s, 1);
	for (unsigned c = 0; c < t->nr; c++)
		scols_table_new_column(s, t->names[c], 0.1,
				       t->right[c]      ? SCOLS_FL_RIGHT
				       : c + 1 == t->nr ? SCOLS_FL_TRUNC
							: 0);
	for (size_t r = 0; r < t->rows; r++) {
		struct libscols_line *line = scols_table_new_line(s, NULL);

		for (unsigned c = 0; line && c < t->nr; c++)
			scols_line_set_data(line, c, t->cells[r * t->nr + c]);
	}
	scols_print_table(s);
	scols_unref_table(s);
}
#else
static void table_draw(struct table *t, bool headings)
{
	int width[ARRAY_SIZE(columns)];

	for (unsigned c = 0; c < t->nr; c++) {
		width[c] = headings ? (int)strlen(t->names[c]) : 0;
		for (size_t r = 0; r < t->rows; r++)
			width[c] = MAX(width[c], (int)strlen(t->cells[r * t->nr + c]));
	}
	for (size_t r = headings ? 0 : 1; r <= t->rows; r++)
		for (unsigned c = 0; c < t->nr; c++) {
			const char *text = r ? t->cells[(r - 1) * t->nr + c] : t->names[c];
			bool last = c + 1 == t->nr;

			printf("%*s%s", t->right[c] ? width[c] : last ? 0 : -width[c], text, last ? "\n" : " ");
		}
}
#endif

void table_print(struct table *t, bool headings)
{
	if (!t)
		return;
	if (t->rows)
		table_draw(t, headings);
	for (size_t i = 0; i < t->rows * t->nr; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

/* ------------------------------------------------------------------ devices */

static const struct column *find_column(const char *name, size_t n)
{
	for (unsigned i = 0; i < ARRAY_SIZE(columns); i++)
		if (strlen(columns[i].name) == n && !strncasecmp(columns[i].name, name, n))
			return &columns[i];
	return NULL;
}

/* The columns of -o, or the usual ones.  How many, or -1 after a complaint. */
static int choose_columns(const struct opts *o, const struct column **chosen)
{
	const char *p = o->text[OPT_OUTPUT];
	int nr = 0;

	if (!p || !strcasecmp(p, "all")) {
		for (unsigned i = 0; i < ARRAY_SIZE(columns); i++)
			if (p || columns[i].usual)
				chosen[nr++] = &columns[i];
		return nr;
	}
	for (;; p++) {
		size_t n = strcspn(p, ",");
		const struct column *c = find_column(p, n);

		if (!c || nr == ARRAY_SIZE(columns)) {
			char names[512] = "";

			for (unsigned i = 0; i < ARRAY_SIZE(columns); i++) {
				strcat(names, i ? "," : "");
				strcat(names, columns[i].name);
			}
			if (c)
				usage_error("-o: too many columns");
			else
				usage_error("-o: there is no column \"%.*s\"; there are %s", (int)MIN(n, 40u), p,
					    names);
			return -1;
		}
		chosen[nr++] = c;
		p += n;
		if (!*p)
			return nr;
	}
}

int print_json(struct json_object *what)
{
	puts(json_object_to_json_string_ext(what, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

/* Only the chosen members. */
static struct json_object *narrow(struct json_object *dev, const struct column **chosen, int nr)
{
	struct json_object *out = json_object_new_object();

	for (int i = 0; i < nr; i++)
		json_object_object_add(out, chosen[i]->key,
				       json_object_get(json_object_object_get(dev, chosen[i]->key)));
	return out;
}

static int print_devices_json(const struct opts *o, struct json_object *array, const struct column **chosen, int nr)
{
	struct json_object *top = json_object_new_object(), *list = json_object_new_array();
	int rc;

	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *dev = json_object_array_get_idx(array, i);

		json_object_array_add(list, opt_has(o, OPT_OUTPUT) ? narrow(dev, chosen, nr) : json_object_get(dev));
	}
	json_object_object_add(top, "v", json_object_new_int(1));
	json_object_object_add(top, "devices", list);
	rc = print_json(top);
	json_object_put(top);
	return rc;
}

int print_devices(const struct opts *o, struct json_object *array)
{
	const struct column *chosen[ARRAY_SIZE(columns)];
	const char *names[ARRAY_SIZE(columns)];
	bool right[ARRAY_SIZE(columns)];
	int nr = choose_columns(o, chosen);
	struct table *t;

	if (nr < 0)
		return EXIT_USAGE;
	if (!json_object_is_type(array, json_type_array)) {
		complain("failed", "the daemon's reply is not understood", "it is no list", NULL);
		return EXIT_FAILED;
	}
	if (opt_has(o, OPT_JSON))
		return print_devices_json(o, array, chosen, nr);
	for (int i = 0; i < nr; i++) {
		names[i] = chosen[i]->name;
		right[i] = to_the_right(chosen[i]);
	}
	t = table_new(names, right, (unsigned)nr);
	for (size_t r = 0; r < json_object_array_length(array); r++) {
		char *cells[ARRAY_SIZE(columns)];

		for (int i = 0; i < nr; i++)
			cells[i] = cell(json_object_array_get_idx(array, r), chosen[i], opt_has(o, OPT_BYTES));
		table_add(t, cells);
	}
	table_print(t, !opt_has(o, OPT_NOHEADINGS));
	return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

int print_device(const struct opts *o, struct json_object *dev)
{
	const struct column *chosen[ARRAY_SIZE(columns)];
	struct opts all = *o;
	int nr;

	if (!opt_has(o, OPT_OUTPUT))
		all.text[OPT_OUTPUT] = "all";
	nr = choose_columns(&all, chosen);
	if (nr < 0)
		return EXIT_USAGE;
	if (opt_has(o, OPT_JSON)) {
		struct json_object *out;
		int rc;

		out = opt_has(o, OPT_OUTPUT) ? narrow(dev, chosen, nr) : json_object_get(dev);
		json_object_object_add(out, "v", json_object_new_int(1));
		rc = print_json(out);
		json_object_put(out);
		return rc;
	}
	for (int i = 0; i < nr; i++) {
		char *text = cell(dev, chosen[i], opt_has(o, OPT_BYTES));

		if (!text || (!strcmp(text, "-") && !opt_has(o, OPT_OUTPUT))) {
			free(text);
			continue;
		}
		if (opt_has(o, OPT_NOHEADINGS))
			puts(text);
		else
			printf("%-15s %s\n", chosen[i]->name, text);
		free(text);
	}
	return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}
