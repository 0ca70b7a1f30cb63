/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * synth-netfront.c - the tool: list, info, and what goes wrong when an interface is opened.  `up` is in net-up.c, `io`
 * in net-io.c, what it shares with other front ends' tools in frontend/core/tool.c.
 */
#include "frontend/net/synth-netfront.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>

#include "common/net/mac.h"
#include "common/span/span.h"
#include "common/xen/paths.h"

#define PROGRAM "synth-netfront"

/* ------------------------------------------------------------------ the device */

int target_disconnect(struct target *t)
{
	int err = netfront_close(t->n, CLOSE_MS);

	t->n = NULL;
	return err;
}

int target_close(struct target *t, int code)
{
	int err = target_disconnect(t);

	store_close(t->store);
	t->store = NULL;
	if (err < 0 && !code)
		return complain(EXIT_TIMEOUT, NULL, "%s: the back end did not close in time: %s", t->name,
				strerror(-err));
	return code;
}

int opt_config(struct netfront_config *c, int o, const char *value)
{
	int r = 0;
	uint32_t n;

	switch (o) {
	case 'q':
		r = opt_u32("--queues", value, FRONT_MAX_QUEUES, &c->queues);
		return r ? r : c->queues ? 0 : usage("--queues: at least 1");
	case 'R':
		r = opt_u32("--rx-bufs", value, NET_MAX_PAGES, &c->rx_bufs);
		n = c->rx_bufs;
		return r ? r : n < 32 || n & (n - 1) ? usage("--rx-bufs: 32, 64, 128 or 256") : 0;
	case 'T':
		r = opt_u32("--tx-bufs", value, NET_MAX_PAGES, &c->tx_bufs);
		return r ? r : c->tx_bufs < 32 ? usage("--tx-bufs: 32 to %u", NET_MAX_PAGES) : 0;
	case 'S':
		c->no_split = true;
		return 0;
	case 'G':
		c->no_sg = true;
		return 0;
	case 'O':
		c->no_gso = true;
		return 0;
	case 'C':
		c->no_csum = true;
		return 0;
	case 't':
		r = opt_u32("--timeout", value, 3600, &n);
		c->timeout_ms = n * 1000;
		return r ? r : n ? 0 : usage("--timeout: at least 1 second");
	default:
		return EXIT_USAGE;
	}
}

const char *takes_text(const struct net_takes *t, char buf[32])
{
	snprintf(buf, 32, "%s%s%s%s", t->csum4 ? " csum4" : "", t->csum6 ? " csum6" : "", t->gso4 ? " gso4" : "",
		 t->gso6 ? " gso6" : "");
	return buf[0] ? buf + 1 : "none";
}

void counts_add(struct netfront_counts *to, const struct netfront_counts *c)
{
	const uint64_t *from = (const uint64_t *)c;
	uint64_t *sum = (uint64_t *)to;

	/* Nothing else is in it. */
	_Static_assert(sizeof(*c) % sizeof(uint64_t) == 0, "all members are 64-bit counters");
	for (size_t i = 0; i < sizeof(*c) / sizeof(uint64_t); i++)
		sum[i] += from[i];
}

void put_counts(struct json_object *o, const struct netfront_counts *c)
{
	struct json_object *faults = json_object_new_object();
	uint64_t all = 0;

	put_i(o, "tx_frames", c->tx_frames);
	put_i(o, "tx_bytes", c->tx_bytes);
	put_i(o, "tx_errors", c->tx_errors);
	put_i(o, "rx_frames", c->rx_frames);
	put_i(o, "rx_bytes", c->rx_bytes);
	put_i(o, "events_sent", c->events_sent);
	put_i(o, "events_received", c->events_received);
	put_i(o, "events_idle", c->events_idle);
	for (int i = 1; i < NET_NR_FAULTS; i++) {
		all += c->fault[i];
		if (c->fault[i])
			put_i(faults, net_fault_name((enum net_fault)i), c->fault[i]);
	}
	put_i(o, "faults_total", all);
	json_object_object_add(o, "faults", faults);
}

/* ------------------------------------------------------------------ list, info */

static struct json_object *names_of(const struct net_takes *t)
{
	struct json_object *a = json_object_new_array();
	const struct {
		const char *name;
		bool on;
	} all[] = { { "csum4", t->csum4 }, { "csum6", t->csum6 }, { "gso4", t->gso4 }, { "gso6", t->gso6 } };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].on)
			json_object_array_add(a, json_object_new_string(all[i].name));
	return a;
}

/* One device as JSON; both commands print from it.  Members that are not known (yet) are null. */
static struct json_object *describe(struct store *s, const struct front_dev *d)
{
	static const struct netfront_config as_much_as_there_is = { .queues = FRONT_MAX_QUEUES };
	struct json_object *o = json_object_new_object();
	struct netfront_info i;
	char text[32];
	bool known = d->back[0] && netfront_look(s, d, &as_much_as_there_is, &i) == 0;

	snprintf(text, sizeof(text), "eth%u", d->id);
	put_s(o, "dev", text);
	put_i(o, "handle", d->id);
	put_s(o, "type", d->type);
	put_s(o, "state", xenbus_state_name(front_read_state(s, d->dir)));
	put_s(o, "backend_state", d->back[0] ? xenbus_state_name(front_read_state(s, d->back)) : NULL);
	if (known)
		mac_text(i.mac, text);
	put_s(o, "mac", known ? text : NULL);
	json_object_object_add(o, "mtu", known ? json_object_new_uint64(i.mtu) : NULL);
	json_object_object_add(o, "max_queues", known ? json_object_new_uint64(i.max_queues) : NULL);
	json_object_object_add(o, "split_event_channels", known ? json_object_new_boolean(i.split) : NULL);
	json_object_object_add(o, "sg", known ? json_object_new_boolean(i.sg) : NULL);
	json_object_object_add(o, "offloads", known ? names_of(&i.takes) : NULL);
	json_object_object_add(o, "carrier",
			       d->back[0] ? json_object_new_boolean(tool_node(s, d->back, "carrier", 1) != 0) : NULL);
	put_s(o, "backend", d->back[0] ? d->back : NULL);
	put_i(o, "backend_domid", d->back_domid);
	return o;
}

static void row(struct json_object *o)
{
	static const char format[] = "%-7s %-5s %-13s %-13s %-18s %-6s %s\n";

	if (o)
		printf(format, text_of(o, "dev"), text_of(o, "type"), text_of(o, "state"), text_of(o, "backend_state"),
		       text_of(o, "mac"), text_of(o, "mtu"), text_of(o, "backend"));
	else
		printf(format, "DEV", "TYPE", "STATE", "BACKEND-STATE", "MAC", "MTU", "BACKEND");
}

/* "eth0", "vif0" or "0" */
static int parse_dev(const char *text, uint32_t *id)
{
	if (!strncmp(text, "eth", 3) || !strncmp(text, "vif", 3))
		text += 3;
	return parse_str_u32(text, 0xffff, id);
}

static void name_of(uint32_t id, char name[16])
{
	snprintf(name, 16, "eth%u", id);
}

static const struct tool_class interfaces = {
	.types = netfront_types,
	.nr_types = ARRAY_SIZE(netfront_types),
	.device = "interface",
	.example = "no interface (like eth0) or number (like 0)",
	.none = "attach one on the host: synthctl attach nic DOM --user-frontend",
	.free_it = "stop the other process, or unbind it from the kernel's driver",
	.silent = "is the back end running (`synthctl daemon status` on the host), and its hotplug script done?",
	.use_less = "use fewer --queues, --rx-bufs or --tx-bufs, or raise /sys/module/xen_gntalloc/parameters/limit",
	.nonsense = "its mac is missing or makes no sense",
	.parse = parse_dev,
	.name = name_of,
	.describe = describe,
	.row = row,
};

int target_find(struct target *t, const char *dev)
{
	return tool_find(&interfaces, dev, &t->store, &t->dev, t->name);
}

int target_failed(const struct target *t, int err)
{
	if (err == -EOPNOTSUPP)
		return complain(EXIT_FAILED, NULL, "cannot open %s: the back end does not offer feature-rx-copy",
				t->name);
	return tool_not_opened(&interfaces, t->store, &t->dev, t->name, err);
}

int target_open(struct target *t, const struct netfront_config *c)
{
	int err = netfront_open(t->store, &t->dev, c, &t->n);

	if (err == 0)
		err = netfront_watch(t->n);
	return err < 0 ? target_failed(t, err) : 0;
}

static int cmd_list(int argc, char **argv)
{
	return tool_list(&interfaces, argc, argv);
}

static int cmd_info(int argc, char **argv)
{
	return tool_info(&interfaces, argc, argv);
}

/* ------------------------------------------------------------------ main */

static const struct command commands[] = {
	{ "list", cmd_list, "[--json]", "the network interfaces of this domain" },
	{ "info", cmd_info, "[DEV] [--json]", "what its nodes say of one" },
	{ "up", cmd_up, "[DEV] [--tap NAME] [--mtu N] [--queues N] ...", "make it an interface of this system, a TAP" },
	{ "io", cmd_io,
	  "[DEV] [--mode send|sink|echo|reflect] [--kind KIND] [--size N[-N]] [--rate PPS] [--verify] ...",
	  "make traffic, measure, verify" },
};

static void help(void)
{
	printf("usage: " PROGRAM " COMMAND [DEV] [OPTION...]\n"
	       "DEV is a name (eth0) or a number (0); it may be left out when the domain has one interface.\n\n");
	tool_help(commands, ARRAY_SIZE(commands));
	printf("\nup: --tap NAME (default: DEV's)  --mtu N  --reconnect SEC (0, default: for ever) | --no-reconnect  "
	       "--json\n"
	       "io: --mode send (default) | sink | echo | reflect  --kind eth|udp4|udp6|tcp4|tcp6  --size "
	       "BYTES[-BYTES]\n"
	       "    --dst MAC  --rate PPS  --frames N | --runtime SEC  --window N  --nap US  --gso BYTES  --csum  "
	       "--seed N\n"
	       "    --verify  --json\n"
	       "both: --queues N  --rx-bufs N  --tx-bufs N  --no-split  --no-sg  --no-gso  --no-csum  --timeout SEC\n"
	       "\nExit status: 0 ok, 1 failure, 2 usage, 3 not found, 4 in use, 5 timeout, 6 permission,\n"
	       "7 xenstore not reached.  More: man " PROGRAM "\n");
}

int main(int argc, char **argv)
{
	return tool_main(PROGRAM, commands, ARRAY_SIZE(commands), help, argc, argv);
}
