/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tool.c - see tool.h */
#include "config.h"
#include "frontend/core/tool.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/log/log.h"
#include "common/span/span.h"
#include "common/xen/paths.h"

const char *tool_name = "synth";
_Atomic bool interrupted;

static void vsay(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static void vsay(const char *fmt, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", tool_name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int complain(int code, const char *next, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
	if (next)
		fprintf(stderr, "next: %s\n", next);
	return code;
}

int usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
	fprintf(stderr, "next: %s --help\n", tool_name);
	return EXIT_USAGE;
}

int opt_size(const char *name, const char *text, uint64_t *ret)
{
	return parse_size(text, ret) < 0 ? usage("%s: '%s' is not a size (like 4096, 64K, 10G)", name, text) : 0;
}

int opt_u32(const char *name, const char *text, uint32_t max, uint32_t *ret)
{
	return parse_str_u32(text, max, ret) < 0 ? usage("%s: '%s' is not a number up to %u", name, text, max) : 0;
}

int opt_next(int argc, char **argv, const char *shorts, const struct option *longs)
{
	char with_colon[16]; /* a missing argument is ':' then */
	const char *at;
	int o;

	snprintf(with_colon, sizeof(with_colon), ":%s", shorts);
	opterr = 0;
	o = getopt_long(argc, argv, with_colon, longs, NULL);
	at = o == -1 ? "" : argv[optind - 1];
	if (o == ':')
		usage("option '%s' requires an argument", at);
	else if (o == '?' && optopt && strchr(at, '='))
		usage("option '%.*s' takes no argument", (int)strcspn(at, "="), at);
	else if (o == '?' && optopt)
		usage("unrecognized option '-%c'", optopt);
	else if (o == '?')
		usage("unrecognized option '%s'", at);
	return o == ':' ? '?' : o;
}

int opt_dev(int argc, char **argv, int first, const char **ret)
{
	*ret = first < argc ? argv[first] : NULL;
	return first + 1 < argc ? usage("'%s': one device is enough", argv[first + 1]) : 0;
}

static void on_signal(int sig)
{
	interrupted = true;
}

void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* xenstore, and the devices of these types: 0, or an exit status with the reason told. */
static int tool_store(struct store **ret)
{
	int err = store_open(ret);

	if (err < 0)
		return complain(EXIT_UNREACHABLE,
				"is this a Xen guest? is xenfs mounted on /proc/xen, or /dev/xen/xenbus there?",
				"cannot reach xenstore: %s", strerror(-err));
	return 0;
}

static int tool_devices(struct store *s, const char *const *types, uint32_t nr_types, struct front_dev **devs,
			uint32_t *nr)
{
	int err = front_list(s, types, nr_types, devs, nr);

	if (err < 0)
		return complain(err == -EACCES ? EXIT_PERMISSION : EXIT_FAILED, NULL, "cannot list devices: %s",
				strerror(-err));
	return 0;
}

uint64_t tool_node(struct store *s, const char *dir, const char *leaf, uint64_t otherwise)
{
	struct path p;
	uint64_t v;

	return store_read_u64(s, NULL, path_join(&p, dir, leaf), UINT64_MAX, &v) == 0 ? v : otherwise;
}

void tool_help(const struct command *commands, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		printf("  %-8s %s\n           %s\n", commands[i].name, commands[i].args, commands[i].help);
}

/* Also behind a command; not behind "--", where another program's options are. */
static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return !strcmp(argv[1], "help");
}

int tool_main(const char *name, const struct command *commands, size_t nr, void (*help)(void), int argc, char **argv)
{
	tool_name = name;
	log_init(name);
	if (argc < 2)
		return usage("say what to do");
	if (wants_help(argc, argv)) {
		help();
		return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("%s %s\n", name, PACKAGE_VERSION);
		return EXIT_OK;
	}
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(argv[1], commands[i].name)) {
			int r = commands[i].run(argc - 1, argv + 1);

			if (r == EXIT_OK && (fflush(stdout) != 0 || ferror(stdout)))
				return complain(EXIT_FAILED, NULL, "cannot write to stdout");
			return r;
		}
	return usage("'%s' is no command", argv[1]);
}

/* Of the commands that take --json alone. */
static int opt_json_only(int argc, char **argv, bool *json)
{
	static const struct option json_only[] = { { "json", 0, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	int o;

	while ((o = opt_next(argc, argv, "", json_only)) != -1) {
		if (o != 'j')
			return EXIT_USAGE;
		*json = true;
	}
	return 0;
}

void put_d(struct json_object *o, const char *name, double v)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", v);
	json_object_object_add(o, name, json_object_new_double_s(v, text));
}

void put_i(struct json_object *o, const char *name, uint64_t v)
{
	json_object_object_add(o, name, json_object_new_uint64(v));
}

void put_s(struct json_object *o, const char *name, const char *v)
{
	json_object_object_add(o, name, v ? json_object_new_string(v) : NULL);
}

void put_b(struct json_object *o, const char *name, bool v)
{
	json_object_object_add(o, name, json_object_new_boolean(v));
}

void print_json(struct json_object *o, bool pretty)
{
	printf("%s\n", json_object_to_json_string_ext(o, (pretty ? JSON_C_TO_STRING_PRETTY : JSON_C_TO_STRING_PLAIN) |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
}

const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *v = json_object_object_get(o, name);

	return v ? json_object_get_string(v) : "-";
}

/* ------------------------------------------------------------------ devices */

int tool_find(const struct tool_class *c, const char *dev, struct store **s, struct front_dev *ret, char name[16])
{
	struct front_dev *devs = NULL;
	uint32_t nr = 0, id = 0, found = 0;
	char next[96];
	int r;

	if (dev && c->parse(dev, &id) < 0)
		return usage("'%s' is %s", dev, c->example);
	r = tool_store(s);
	if (!r)
		r = tool_devices(*s, c->types, c->nr_types, &devs, &nr);
	if (r)
		return r;
	for (uint32_t i = nr; i-- > 0;) /* the first one wins: of the best type */
		if (!dev || devs[i].id == id) {
			*ret = devs[i];
			found++;
		}
	free(devs);
	snprintf(next, sizeof(next), "see what there is: %s list", tool_name);
	if (found == 0 && dev)
		return complain(EXIT_NOTFOUND, next, "this domain has no %s %s", c->device, dev);
	if (found == 0)
		return complain(EXIT_NOTFOUND, c->none, "this domain has no %s", c->device);
	if (!dev && found > 1)
		return usage("this domain has %u %ss: say which", found, c->device);
	c->name(ret->id, name);
	return 0;
}

int tool_not_opened(const struct tool_class *c, struct store *s, const struct front_dev *d, const char *name, int err)
{
	char next[128];

	switch (err) {
	case -EBUSY:
		return complain(EXIT_BUSY, c->free_it, "cannot open %s: another process or the kernel uses it", name);
	case -ENODEV:
		snprintf(next, sizeof(next), "see what holds it with `%s list` here and `synthctl list` on the host",
			 tool_name);
		return complain(EXIT_NOTFOUND, next, "cannot open %s: it has no back end", name);
	case -ECONNREFUSED:
		return complain(EXIT_FAILED, "see the back end's log", "cannot open %s: the back end refused", name);
	case -EPROTO:
		snprintf(next, sizeof(next), "see what it publishes: %s info", tool_name);
		return complain(EXIT_FAILED, next, "cannot open %s: %s", name, c->nonsense);
	case -ETIMEDOUT:
		return complain(EXIT_TIMEOUT, c->silent,
				"cannot open %s: no answer from the back end in time (it is %s)", name,
				d->back[0] ? xenbus_state_name(front_read_state(s, d->back)) : "gone");
	case -EINTR:
		return complain(EXIT_FAILED, NULL, "interrupted: %s was not opened yet", name);
	case -ENOSPC:
	case -ENOMEM:
		return complain(EXIT_FAILED, c->use_less, "cannot open %s: no more pages can be granted: %s", name,
				strerror(-err));
	case -EACCES:
	case -EPERM:
		return complain(EXIT_PERMISSION, "run it as root", "cannot open %s: %s", name, strerror(-err));
	default:
		return complain(EXIT_FAILED, NULL, "cannot open %s: %s", name, strerror(-err));
	}
}

int tool_list(const struct tool_class *c, int argc, char **argv)
{
	struct front_dev *devs = NULL;
	struct json_object *all;
	struct store *s = NULL;
	bool json = false;
	uint32_t nr = 0;
	int r = opt_json_only(argc, argv, &json);

	if (!r && optind < argc)
		r = usage("list takes no argument");
	if (!r)
		r = tool_store(&s);
	if (!r)
		r = tool_devices(s, c->types, c->nr_types, &devs, &nr);
	if (!r) {
		all = json_object_new_array();
		for (uint32_t i = 0; i < nr; i++)
			json_object_array_add(all, c->describe(s, &devs[i]));
		if (json)
			print_json(all, true);
		else if (nr)
			c->row(NULL);
		for (uint32_t i = 0; i < nr && !json; i++)
			c->row(json_object_array_get_idx(all, i));
		json_object_put(all);
	}
	free(devs);
	store_close(s);
	return r;
}

int tool_info(const struct tool_class *c, int argc, char **argv)
{
	struct front_dev d;
	struct store *s = NULL;
	struct json_object *o;
	const char *dev;
	bool json = false;
	char name[16];
	int r = opt_json_only(argc, argv, &json);

	if (!r)
		r = opt_dev(argc, argv, optind, &dev);
	if (!r)
		r = tool_find(c, dev, &s, &d, name);
	if (!r) {
		o = c->describe(s, &d);
		if (json) {
			print_json(o, true);
		} else {
			json_object_object_foreach(o, key, val)
				printf("%-22s %s\n", key, val ? json_object_get_string(val) : "-");
		}
		json_object_put(o);
	}
	store_close(s);
	return r;
}
