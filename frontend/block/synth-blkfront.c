/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * synth-blkfront.c - the tool: list, info, serve, and what goes wrong when a disk is opened.  The other commands are
 * in blk-io.c and blk-copy.c, what it shares with other front ends' tools in frontend/core/tool.c.
 */
#include "frontend/block/synth-blkfront.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <unistd.h>

#include "common/xen/vdev.h"

#define PROGRAM         "synth-blkfront"
#define PLUGIN          "nbdkit-synth-plugin.so"
#define CLOSE_MS        10000u
#define RECONNECT_MAX_S 31536000u

/* ------------------------------------------------------------------ the device */

int target_over(struct target *t, const char *what)
{
	char why[BLKFRONT_WHY_MAX];

	blkfront_why(t->b, why);
	return complain(EXIT_FAILED, NULL, "%s: %s: %s (%s)", t->name, what, strerror(-blkfront_status(t->b)), why);
}

int opt_reconnect(struct reconnect *r, int o, const char *value)
{
	if (o == O_NO_RECONNECT)
		r->never = true;
	else if (o == O_RECONNECT)
		return opt_u32("--reconnect", value, RECONNECT_MAX_S, &r->seconds);
	return o == O_NO_RECONNECT ? 0 : EXIT_USAGE; /* else opt_next() has said what is wrong */
}

int target_close(struct target *t, int code)
{
	int err = blkfront_close(t->b, CLOSE_MS);

	t->b = NULL;
	store_close(t->store);
	t->store = NULL;
	if (err < 0 && !code)
		return complain(EXIT_TIMEOUT, NULL, "%s: the back end did not close in time: %s", t->name,
				strerror(-err));
	return code;
}

/* ------------------------------------------------------------------ list, info */

/* One device as JSON; both commands print from it.  Members that are not known yet are null. */
static struct json_object *describe(struct store *s, const struct front_dev *d)
{
	static const char *const nodes[][2] = {
		{ "sector_size", "sector-size" },
		{ "physical_sector", "physical-sector-size" },
		{ "flags", "info" },
		{ "flush", "feature-flush-cache" },
		{ "discard", "feature-discard" },
		{ "discard_granularity", "discard-granularity" },
		{ "discard_alignment", "discard-alignment" },
		{ "secure_discard", "discard-secure" },
		{ "persistent", "feature-persistent" },
		{ "max_indirect_segments", "feature-max-indirect-segments" },
		{ "max_ring_order", "max-ring-page-order" },
		{ "max_queues", "multi-queue-max-queues" },
	};
	struct json_object *o = json_object_new_object();
	char name[VDEV_NAME_MAX];
	uint64_t v = d->back[0] ? tool_node(s, d->back, "sectors", UINT64_MAX) : UINT64_MAX;

	vdev_name(d->id, name);
	json_object_object_add(o, "dev", json_object_new_string(name));
	json_object_object_add(o, "vdev", json_object_new_uint64(d->id));
	json_object_object_add(o, "type", json_object_new_string(d->type));
	json_object_object_add(o, "state", json_object_new_string(xenbus_state_name(front_read_state(s, d->dir))));
	json_object_object_add(o, "backend_state",
			       d->back[0] ? json_object_new_string(xenbus_state_name(front_read_state(s, d->back)))
					  : NULL);
	json_object_object_add(o, "size", v == UINT64_MAX ? NULL : json_object_new_uint64(v * SECTOR_BYTES));
	json_object_object_add(o, "backend", d->back[0] ? json_object_new_string(d->back) : NULL);
	json_object_object_add(o, "backend_domid", json_object_new_uint64(d->back_domid));
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		v = d->back[0] ? tool_node(s, d->back, nodes[i][1], UINT64_MAX) : UINT64_MAX;
		json_object_object_add(o, nodes[i][0], v == UINT64_MAX ? NULL : json_object_new_uint64(v));
	}
	return o;
}

static void row(struct json_object *o)
{
	static const char format[] = "%-8s %-10s %-5s %-13s %-13s %15s %s\n";

	if (o)
		printf(format, text_of(o, "dev"), text_of(o, "vdev"), text_of(o, "type"), text_of(o, "state"),
		       text_of(o, "backend_state"), text_of(o, "size"), text_of(o, "backend"));
	else
		printf(format, "DEV", "VDEV", "TYPE", "STATE", "BACKEND-STATE", "SIZE", "BACKEND");
}

static const struct tool_class disks = {
	.types = blkfront_types,
	.nr_types = ARRAY_SIZE(blkfront_types),
	.device = "disk",
	.example = "no device name (like xvda) or number (like 51712)",
	.none = "attach one on the host: synthctl attach disk DOM file:/PATH --user-frontend",
	.free_it = "stop the other process, or unmount and unbind it from the kernel's driver",
	.silent = "is the back end's daemon running? `synthctl daemon status` on the host",
	.use_less = "use a smaller --depth, --bs or --queues, or raise /sys/module/xen_gntalloc/parameters/limit",
	.nonsense = "the back end's offer makes no sense",
	.parse = vdev_parse,
	.name = vdev_name,
	.describe = describe,
	.row = row,
};

int target_find(struct target *t, const char *dev)
{
	return tool_find(&disks, dev, &t->store, &t->dev, t->name);
}

int target_open(struct target *t, const struct blkfront_config *c)
{
	int err = blkfront_open(t->store, &t->dev, c, &t->b);

	if (err == 0)
		err = blkfront_watch(t->b);
	return err < 0 ? tool_not_opened(&disks, t->store, &t->dev, t->name, err) : 0;
}

static int cmd_list(int argc, char **argv)
{
	return tool_list(&disks, argc, argv);
}

static int cmd_info(int argc, char **argv)
{
	return tool_info(&disks, argc, argv);
}

/* ------------------------------------------------------------------ serve */

/* The plugin: in the build tree ($SYNTH_LIBDIR, see ./run), else where it is installed. */
static int find_plugin(char *path, size_t size)
{
	const char *lib = getenv("SYNTH_LIBDIR");
	static const char *const below[] = { "", "/frontend/.libs", "/.libs" };

	for (size_t i = 0; lib && i < ARRAY_SIZE(below); i++) {
		snprintf(path, size, "%s%s/" PLUGIN, lib, below[i]);
		if (access(path, R_OK) == 0)
			return 0;
	}
	snprintf(path, size, "%s/" PLUGIN, SYNTH_LIBDIR);
	return access(path, R_OK) == 0 ? 0 : -ENOENT;
}

static const struct option serve_options[] = {
	{ "unix", 1, NULL, 'U' }, { "queues", 1, NULL, 'q' }, { "readonly", 0, NULL, 'r' },
	RECONNECT_OPTIONS,        { NULL, 0, NULL, 0 },
};

/* "key=value": nbdkit wants those of its filters behind the plugin, options before it. */
static bool is_parameter(const char *arg)
{
	size_t n = strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

	return arg[0] != '-' && n > 0 && arg[n] == '=';
}

/* serve [DEV] [--unix SOCK] [--queues N] [--readonly] [--reconnect SECONDS | --no-reconnect] [-- NBDKIT-OPTION...] */
static int cmd_serve(int argc, char **argv)
{
	char plugin[4096], dev[32], queues[32], again[32] = "reconnect=never";
	struct reconnect reconnect = RECONNECT_DEFAULT;
	const char *args[256] = { "nbdkit", "--foreground" };
	const char *which = NULL;
	struct target t = { 0 };
	int n = 2, o, r, rest = argc;
	uint32_t q = 1;

	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--")) {
			rest = i;
			break;
		}
	while ((o = opt_next(rest, argv, "", serve_options)) != -1) {
		if (o == 'U') {
			args[n++] = "--unix";
			args[n++] = optarg;
		} else if (o == 'r') {
			args[n++] = "--readonly";
		} else if (o == 'q' ? opt_u32("--queues", optarg, FRONT_MAX_QUEUES, &q)
				    : opt_reconnect(&reconnect, o, optarg)) {
			return EXIT_USAGE;
		}
		if (n > 64)
			return usage("too many options");
	}
	r = opt_dev(rest, argv, optind, &which);
	if (!r)
		r = target_find(&t, which);
	r = target_close(&t, r);
	if (r)
		return r;
	if (find_plugin(plugin, sizeof(plugin)) < 0)
		return complain(EXIT_FAILED, "build with nbdkit-plugin-dev installed, or set SYNTH_LIBDIR",
				"cannot serve: %s is not where it should be (%s)", PLUGIN, plugin);
	if (argc - rest > 128)
		return usage("too many options for nbdkit");
	for (int i = rest + 1; i < argc; i++)
		if (!is_parameter(argv[i]))
			args[n++] = argv[i];
	snprintf(dev, sizeof(dev), "dev=%u", t.dev.id);
	snprintf(queues, sizeof(queues), "queues=%u", q);
	if (!reconnect.never)
		snprintf(again, sizeof(again), "reconnect=%u", reconnect.seconds);
	args[n++] = plugin;
	args[n++] = dev;
	args[n++] = queues;
	args[n++] = again;
	for (int i = rest + 1; i < argc; i++)
		if (is_parameter(argv[i]))
			args[n++] = argv[i];
	args[n] = NULL;
	execvp("nbdkit", (char *const *)(uintptr_t)args);
	return complain(EXIT_FAILED, "install nbdkit", "cannot serve: nbdkit: %s", strerror(errno));
}

/* ------------------------------------------------------------------ main */

static const struct command commands[] = {
	{ "list", cmd_list, "[--json]", "the disks of this domain" },
	{ "info", cmd_info, "[DEV] [--json]", "what the back end says of one" },
	{ "read", cmd_read, "[DEV] [--offset SIZE] [--length SIZE]", "disk to stdout" },
	{ "write", cmd_write, "[DEV] [--offset SIZE] [--length SIZE]", "stdin to disk, flushed in the end" },
	{ "flush", cmd_flush, "[DEV]", "make what was written durable" },
	{ "discard", cmd_discard, "[DEV] --all | --offset SIZE --length SIZE  [--secure]", "give blocks back" },
	{ "io", cmd_io, "[DEV] [--rw KIND[=N],...] [--bs SIZE[-SIZE]] [--depth N] [--verify] ...",
	  "make load, measure, verify" },
	{ "serve", cmd_serve, "[DEV] [--unix SOCKET] [--queues N] [--readonly] [-- NBDKIT-OPTION...]",
	  "export it by NBD (nbdkit)" },
};

static void help(void)
{
	printf("usage: " PROGRAM " COMMAND [DEV] [OPTION...]\n"
	       "DEV is a name (xvda) or a number (51712); it may be left out when the domain has one disk.\n\n");
	tool_help(commands, ARRAY_SIZE(commands));
	printf("\nio: --rw read|write|randread|randwrite|randrw|trim|flush[=WEIGHT],...  --bs --depth --queues\n"
	       "    --ring-order 0..4  --runtime SEC | --ios N  --rate IOPS  --offset --size  --seed N  --verify\n"
	       "    --sleep (default) | --spin US | --poll  --wake N|P%%  --grants persistent|reuse|per-io\n"
	       "    --no-persistent (= --grants per-io)  --no-indirect  --timeout SEC  --json\n"
	       "\nAll that connect: --reconnect SEC (how long to wait for a back end that went away; 0: for ever; "
	       "default %u)\n"
	       "    --no-reconnect (that is the end)\n"
	       "\nExit status: 0 ok, 1 failure, 2 usage, 3 not found, 4 in use, 5 timeout, 6 permission,\n"
	       "7 xenstore not reached.  More: man " PROGRAM "\n",
	       BLKFRONT_RECONNECT_S);
}

int main(int argc, char **argv)
{
	return tool_main(PROGRAM, commands, ARRAY_SIZE(commands), help, argc, argv);
}
