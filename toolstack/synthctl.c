/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * synthctl.c - the toolstack's command line: a table of commands, a table of options, and help made from both.
 *
 * Adding a command: one row in commands[], its function in cmd-*.c, its paragraph in synthctl.1.pod.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include "config.h"
#include "common/span/span.h"
#include "toolstack/completion-bash.h"
#include "toolstack/synthctl.h"

enum arg_kind { ARG_NONE, ARG_TEXT, ARG_SECONDS, ARG_NUMBER };

static const struct opt_def {
	const char *name;
	char letter;
	enum arg_kind arg;
	const char *arg_name, *what;
	uint32_t min, max; /* of ARG_NUMBER */
} opt_defs[OPT_NR] = {
	[OPT_HELP] = { "help", 'h', ARG_NONE, NULL, "show this help", 0, 0 },
	[OPT_VERSION] = { "version", 'V', ARG_NONE, NULL, "show the version", 0, 0 },
	[OPT_SOCKET] = { "socket", 0, ARG_TEXT, "PATH", "the daemon's control socket", 0, 0 },
	[OPT_TIMEOUT] = { "timeout", 0, ARG_SECONDS, "SEC", "give up on a daemon silent for so long (default 10)", 0,
			  0 },
	[OPT_JSON] = { "json", 'j', ARG_NONE, NULL, "JSON instead of text; errors too", 0, 0 },
	[OPT_QUIET] = { "quiet", 'q', ARG_NONE, NULL, "print nothing but errors", 0, 0 },
	[OPT_OUTPUT] = { "output", 'o', ARG_TEXT, "COL,...", "choose the columns (\"all\": every one)", 0, 0 },
	[OPT_NOHEADINGS] = { "noheadings", 'H', ARG_NONE, NULL, "no headings", 0, 0 },
	[OPT_BYTES] = { "bytes", 'b', ARG_NONE, NULL, "sizes in bytes, times in seconds", 0, 0 },
	[OPT_RO] = { "ro", 0, ARG_NONE, NULL, "read-only", 0, 0 },
	[OPT_QUEUES] = { "queues", 0, ARG_NUMBER, "N", "offer up to N rings", 1, 32 },
	[OPT_USER_FRONTEND] = { "user-frontend", 0, ARG_NONE, NULL,
				"for a front end in user space, hidden from the guest's kernel", 0, 0 },
	[OPT_CDROM] = { "cdrom", 0, ARG_NONE, NULL, "the guest sees a CD-ROM (implies --ro)", 0, 0 },
	[OPT_REMOVABLE] = { "removable", 0, ARG_NONE, NULL, "the guest sees a removable disk", 0, 0 },
	[OPT_CACHE] = { "cache", 0, ARG_TEXT, "MODE", "direct (default) or buffered", 0, 0 },
	[OPT_NO_DISCARD] = { "no-discard", 0, ARG_NONE, NULL, "do not offer discard", 0, 0 },
	[OPT_POLL_US] = { "poll-us", 0, ARG_NUMBER, "N", "poll up to N microseconds before sleeping; 0 never polls", 0,
			  10000 },
	[OPT_WAIT] = { "wait", 0, ARG_SECONDS, "SEC", "wait up to SEC seconds for the guest", 0, 0 },
	[OPT_MAY_EXIST] = { "may-exist", 0, ARG_NONE, NULL, "no error when this very disk is attached already", 0, 0 },
	[OPT_FORCE] = { "force", 'f', ARG_NONE, NULL,
			"take it two seconds after asking: what the guest has not flushed is lost", 0, 0 },
	[OPT_IF_EXISTS] = { "if-exists", 0, ARG_NONE, NULL, "no error when there is no such device", 0, 0 },
	[OPT_INTERVAL] = { "interval", 'i', ARG_SECONDS, "SEC", "show rates, again every SEC seconds", 0, 0 },
	[OPT_TAP] = { "tap", 0, ARG_TEXT, "NAME", "a TAP of this name (default: vifDOMID.INDEX)", 0, 0 },
	[OPT_BRIDGE] = { "bridge", 0, ARG_TEXT, "BR", "put its TAP into this bridge", 0, 0 },
	[OPT_OVS] = { "ovs", 0, ARG_TEXT, "BR", "put its TAP into this bridge of Open vSwitch", 0, 0 },
	[OPT_PAIR] = { "pair", 0, ARG_TEXT, "DOM/ethX", "join it to another guest's nic, which names this one", 0, 0 },
	[OPT_STREAM] = { "stream", 0, ARG_TEXT, "PATH", "the Unix socket of passt or QEMU", 0, 0 },
	[OPT_NULL] = { "null", 0, ARG_NONE, NULL, "connect it to nothing", 0, 0 },
	[OPT_MAC] = { "mac", 0, ARG_TEXT, "MAC", "the guest's address (default: one of Xen's range)", 0, 0 },
	[OPT_MTU] = { "mtu", 0, ARG_NUMBER, "BYTES", "largest packet without its Ethernet header", 68, 65521 },
	[OPT_RATE] = { "rate", 0, ARG_TEXT, "RATE", "what the guest may send: 10Mb/s, 1GB/s@20ms, none", 0, 0 },
	[OPT_LINK] = { "link", 0, ARG_TEXT, "up|down", "the cable", 0, 0 },
	[OPT_DEV] = { "dev", 0, ARG_TEXT, "ethX", "its name (default: the first that is free)", 0, 0 },
	[OPT_WRITE] = { "write", 'w', ARG_TEXT, "FILE", "a new file for the packets (pcap)", 0, 0 },
	[OPT_SNAPLEN] = { "snaplen", 0, ARG_NUMBER, "BYTES", "keep so much of a packet (default: all)", 14, 65535 },
	[OPT_MAX_SIZE] = { "max-size", 0, ARG_NUMBER, "MIB", "end when the file is so big (default 1024)", 1, 1048576 },
	[OPT_STOP] = { "stop", 0, ARG_NONE, NULL, "end a trace that runs", 0, 0 },
	[OPT_PROGRAM] = { "program", 0, ARG_TEXT, "PATH", "the new daemon (default: where it was started from)", 0, 0 },
	[OPT_COUNT] = { "count", 'c', ARG_NUMBER, "N", "stop after N times", 1, UINT32_MAX },
};

#define COMMON                                                                                                       \
	(OPT_BIT(OPT_HELP) | OPT_BIT(OPT_VERSION) | OPT_BIT(OPT_SOCKET) | OPT_BIT(OPT_TIMEOUT) | OPT_BIT(OPT_JSON) | \
	 OPT_BIT(OPT_QUIET))
#define LISTING (OPT_BIT(OPT_OUTPUT) | OPT_BIT(OPT_NOHEADINGS) | OPT_BIT(OPT_BYTES))

static int cmd_completion(const struct opts *o, char **args, int nr)
{
	if (strcmp(args[0], "bash"))
		return usage_error("completion is there for bash");
	fputs(completion_bash, stdout);
	return EXIT_OK;
}

static int cmd_version(const struct opts *o, char **args, int nr)
{
	if (opt_has(o, OPT_JSON))
		puts("{ \"v\": 1, \"version\": \"" PACKAGE_VERSION "\" }");
	else
		puts("synthctl " PACKAGE_VERSION);
	return EXIT_OK;
}

static int cmd_help(const struct opts *o, char **args, int nr);

static const struct command commands[] = {
	{ "attach", "disk", "DOM TARGET[=xvdX]", "give a guest a disk", 2, 2,
	  OPT_BIT(OPT_RO) | OPT_BIT(OPT_QUEUES) | OPT_BIT(OPT_USER_FRONTEND) | OPT_BIT(OPT_CDROM) |
		  OPT_BIT(OPT_REMOVABLE) | OPT_BIT(OPT_CACHE) | OPT_BIT(OPT_NO_DISCARD) | OPT_BIT(OPT_POLL_US) |
		  OPT_BIT(OPT_WAIT) | OPT_BIT(OPT_MAY_EXIST),
	  cmd_attach_disk },
	{ "attach", "nic", "DOM", "give a guest a nic", 1, 1,
	  OPT_BIT(OPT_TAP) | OPT_BIT(OPT_BRIDGE) | OPT_BIT(OPT_OVS) | OPT_BIT(OPT_PAIR) | OPT_BIT(OPT_STREAM) |
		  OPT_BIT(OPT_NULL) | OPT_BIT(OPT_MAC) | OPT_BIT(OPT_MTU) | OPT_BIT(OPT_RATE) | OPT_BIT(OPT_DEV) |
		  OPT_BIT(OPT_QUEUES) | OPT_BIT(OPT_USER_FRONTEND) | OPT_BIT(OPT_POLL_US) | OPT_BIT(OPT_WAIT),
	  cmd_attach_nic },
	{ "set", NULL, "DOM/ethX", "change a nic while it runs", 1, 1, OPT_BIT(OPT_RATE) | OPT_BIT(OPT_LINK), cmd_set },
	{ "trace", NULL, "DOM/ethX", "record a nic's packets until Ctrl-C", 1, 1,
	  OPT_BIT(OPT_WRITE) | OPT_BIT(OPT_SNAPLEN) | OPT_BIT(OPT_MAX_SIZE) | OPT_BIT(OPT_STOP), cmd_trace },
	{ "detach", NULL, "DOM/DEV", "take a device from a guest", 1, 1,
	  OPT_BIT(OPT_FORCE) | OPT_BIT(OPT_WAIT) | OPT_BIT(OPT_IF_EXISTS), cmd_detach },
	{ "list", NULL, "[disk|nic] [DOM...]", "list devices", 0, -1, LISTING, cmd_list },
	{ "show", NULL, "DOM/DEV", "all that is known of a device", 1, 1, LISTING, cmd_show },
	{ "stat", NULL, "[DOM/DEV]", "counters, or with -i rates", 0, 1,
	  OPT_BIT(OPT_INTERVAL) | OPT_BIT(OPT_COUNT) | OPT_BIT(OPT_NOHEADINGS) | OPT_BIT(OPT_BYTES), cmd_stat },
	{ "resize", NULL, "DOM/DEV [SIZE]", "tell the guest a new size; with SIZE, change the image first", 1, 2, 0,
	  cmd_resize },
	{ "doctor", NULL, "", "look for what is wrong, and tell what to do; changes nothing", 0, 0, 0, cmd_doctor },
	{ "daemon", NULL, "status|stop|upgrade [disk|nic]", "a daemon itself", 1, 2, OPT_BIT(OPT_PROGRAM), cmd_daemon },
	{ "completion", NULL, "bash", "print the shell's completion script", 1, 1, 0, cmd_completion },
	{ "version", NULL, "", "show the version", 0, 0, 0, cmd_version },
	{ "help", NULL, "[COMMAND]", "show help", 0, 2, 0, cmd_help },
	{ "block-attach", NULL, "DOM DISK...", "as `xl block-attach` (xl-disk-configuration(5))", 2, -1,
	  OPT_BIT(OPT_WAIT), cmd_block_attach },
	{ "block-list", NULL, "DOM...", "as `xl block-list`", 1, -1, LISTING, cmd_block_list },
	{ "block-detach", NULL, "DOM DEV", "as `xl block-detach`", 2, 2, OPT_BIT(OPT_FORCE) | OPT_BIT(OPT_WAIT),
	  cmd_block_detach },
};

static bool json_errors; /* --json was given */

void complain(const char *code, const char *what, const char *why, const char *next)
{
	if (json_errors) {
		struct json_object *top = json_object_new_object(), *e = json_object_new_object();

		json_object_object_add(e, "code", json_object_new_string(code));
		json_object_object_add(e, "what", json_object_new_string(what ? what : ""));
		json_object_object_add(e, "why", why ? json_object_new_string(why) : NULL);
		json_object_object_add(e, "next", next ? json_object_new_string(next) : NULL);
		json_object_object_add(top, "v", json_object_new_int(1));
		json_object_object_add(top, "error", e);
		fprintf(stderr, "%s\n", json_object_to_json_string_ext(top, JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(top);
		return;
	}
	char *a = clean_text(what), *b = clean_text(why), *c = clean_text(next);

	fprintf(stderr, "synthctl: %s%s%s\n", a, b && *b ? ": " : "", b);
	if (c && *c)
		fprintf(stderr, "next: %s\n", c);
	free(a);
	free(b);
	free(c);
}

int usage_error(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	complain("usage", text, NULL, "`synthctl help` lists the commands, `synthctl help COMMAND` explains one");
	return EXIT_USAGE;
}

/* ------------------------------------------------------------------ help */

static void print_options(uint64_t which)
{
	for (unsigned i = 0; i < OPT_NR; i++) {
		const struct opt_def *d = &opt_defs[i];
		char text[64];

		if (!(which & OPT_BIT(i)))
			continue;
		snprintf(text, sizeof(text), "%c%c%s --%s%s%s", d->letter ? '-' : ' ', d->letter ? d->letter : ' ',
			 d->letter ? "," : " ", d->name, d->arg ? " " : "", d->arg ? d->arg_name : "");
		printf("  %-28s %s\n", text, d->what);
	}
}

static bool is_command(const struct command *c, const char *name, const char *noun)
{
	return !strcmp(c->name, name) && (!c->noun || !noun || !strcmp(c->noun, noun));
}

/* Of the command, or of all of that name when the noun is missing or none of theirs.  False: there is no such command. */
static bool print_usage(const char *name, const char *noun)
{
	bool found = false;

	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		if (!is_command(c, name, noun))
			continue;
		printf("%susage: synthctl %s%s%s %s%s\n  %s\n", found ? "\n" : "", c->name, c->noun ? " " : "",
		       c->noun ? c->noun : "", c->opts ? "[OPTIONS] " : "", c->args, c->what);
		if (c->opts) {
			puts("\noptions:");
			print_options(c->opts);
		}
		found = true;
	}
	if (!found)
		return noun && print_usage(name, NULL);
	puts("\ncommon options:");
	print_options(COMMON);
	return true;
}

static void print_all(void)
{
	puts("usage: synthctl COMMAND [OPTIONS] [ARGUMENTS]\n\nSynthetic devices for Xen guests. A device is named "
	     "DOM/DEV: web1/xvda.\n\ncommands:");
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];
		char text[64];

		snprintf(text, sizeof(text), "%s%s%s %s", c->name, c->noun ? " " : "", c->noun ? c->noun : "", c->args);
		printf("  %-34s %s\n", text, c->what);
	}
	puts("\ncommon options:");
	print_options(COMMON);
	puts("\nexit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused or busy, 5 timeout, 6 permission,\n"
	     "             7 daemon unreachable, 8 exists already, 130 interrupted");
}

static const struct command *find_command(const char *name, const char *noun)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		if (is_command(c, name, noun))
			return c;
	}
	return NULL;
}

/* A command was named, and not of what. */
static int which_noun(const char *name)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s what? there is", name);

	for (unsigned i = 0, nr = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		if (is_command(c, name, NULL) && (size_t)n < sizeof(text))
			n += snprintf(text + n, sizeof(text) - (size_t)n, "%s `synthctl %s %s %s`", nr++ ? " and" : "",
				      c->name, c->noun, c->args);
	}
	return usage_error("%s", text);
}

static int cmd_help(const struct opts *o, char **args, int nr)
{
	if (!nr)
		print_all();
	else if (!print_usage(args[0], nr > 1 ? args[1] : NULL))
		return usage_error("there is no command \"%.40s\"", args[0]);
	return EXIT_OK;
}

/* ------------------------------------------------------------------ options */

/* "5", "0.5": seconds, at most a year. */
static int parse_seconds(const char *text, double *ret)
{
	char *end;
	double v;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	v = strtod(text, &end);
	if (*end || !isfinite(v) || v > 366 * 86400.0 || strpbrk(text, "xXpP"))
		return -EINVAL;
	*ret = v;
	return 0;
}

static int take_option(struct opts *o, enum opt which, const char *arg)
{
	const struct opt_def *d = &opt_defs[which];

	o->given |= OPT_BIT(which);
	o->text[which] = arg;
	if (d->arg == ARG_SECONDS && parse_seconds(arg, &o->seconds[which]))
		return usage_error("--%s wants seconds, not \"%.40s\"", d->name, arg);
	if (d->arg == ARG_NUMBER && (parse_str_u32(arg, d->max, &o->number[which]) || o->number[which] < d->min))
		return usage_error("--%s wants a number from %u to %u, not \"%.40s\"", d->name, d->min, d->max, arg);
	return 0;
}

/* All of argv, options anywhere.  0 with optind at the first argument, or EXIT_USAGE. */
static int parse_options(int argc, char **argv, struct opts *o)
{
	struct option longs[OPT_NR + 1] = { 0 };
	char shorts[3 * OPT_NR + 1] = "";
	int c;

	for (unsigned i = 0; i < OPT_NR; i++) {
		const struct opt_def *d = &opt_defs[i];

		longs[i] = (struct option){ d->name, d->arg ? required_argument : no_argument, NULL, 256 + (int)i };
		if (d->letter)
			snprintf(shorts + strlen(shorts), 3, "%c%s", d->letter, d->arg ? ":" : "");
	}
	opterr = 0;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		int rc = 0;

		if (c == '?') {
			const char *text = optopt >= 256 ? opt_defs[optopt - 256].name : NULL;

			if (text)
				return usage_error("--%s: needs an argument, or takes none", text);
			return optopt ? usage_error("-%c: no such option, or its argument is missing", optopt)
				      : usage_error("%.60s: no such option", argv[optind - 1]);
		}
		for (unsigned i = 0; i < OPT_NR; i++)
			if (c == 256 + (int)i || (opt_defs[i].letter && c == opt_defs[i].letter))
				rc = take_option(o, i, optarg);
		if (rc)
			return rc;
	}
	return 0;
}

static int run(const struct command *c, const struct opts *o, char **args, int nr)
{
	uint64_t stray = o->given & ~(c->opts | COMMON);

	if (stray)
		return usage_error("%s takes no --%s", c->name, opt_defs[__builtin_ctzll(stray)].name);
	if (nr < c->min_args || (c->max_args >= 0 && nr > c->max_args))
		return usage_error("usage: synthctl %s%s%s %s", c->name, c->noun ? " " : "", c->noun ? c->noun : "",
				   c->args);
	return c->run(o, args, nr);
}

int main(int argc, char **argv)
{
	struct opts o = { 0 };
	const struct command *c;
	int rc, nr;

	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		json_errors |= !strcmp(argv[i], "--json") ||
			       !strcmp(argv[i], "-j"); /* for errors in the options themselves */
	rc = parse_options(argc, argv, &o);
	if (rc)
		return rc;
	json_errors = opt_has(&o, OPT_JSON);
	argv += optind;
	nr = argc - optind;
	if (!nr) {
		if (opt_has(&o, OPT_VERSION))
			return cmd_version(&o, NULL, 0);
		if (opt_has(&o, OPT_HELP))
			return cmd_help(&o, NULL, 0);
		return usage_error("which command?");
	}
	if (opt_has(&o, OPT_HELP))
		return cmd_help(&o, argv, nr);
	c = find_command(argv[0], nr > 1 ? argv[1] : "");
	if (!c && !find_command(argv[0], NULL))
		return usage_error("there is no command \"%.40s\"", argv[0]);
	if (!c)
		return which_noun(argv[0]);
	argv++;
	nr--;
	if (c->noun) {
		argv++;
		nr--;
	}
	return run(c, &o, argv, nr);
}
