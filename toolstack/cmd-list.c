/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd-list.c - list, show, resize: one question, one answer.
 */
#include <inttypes.h>
#include <stdio.h>
#include "common/span/span.h"
#include "toolstack/spec.h"
#include "toolstack/synthctl.h"

/* A request about one device, from "DOM/DEV"; NULL after a complaint. */
static struct json_object *device_request(const char *cmd, const char *text)
{
	char dom[256], dev[SPEC_DEV_MAX];
	struct json_object *req;

	if (spec_parse_device(text, dom, sizeof(dom), dev, sizeof(dev))) {
		usage_error("\"%.60s\" is not DOM/DEV, as in web1/xvda", text);
		return NULL;
	}
	req = request_new(cmd);
	json_object_object_add(req, "dom", json_object_new_string(dom));
	json_object_object_add(req, "dev", json_object_new_string(dev));
	return req;
}

static struct json_object *list_request(void *arg)
{
	struct json_object *req = request_new("list");

	if (arg)
		json_object_object_add(req, "dom", json_object_new_string(arg));
	return req;
}

static int list(const struct opts *o, char **doms, int nr)
{
	struct json_object *all = json_object_new_array();
	int rc = 0;

	for (int i = 0; !rc && i < MAX(nr, 1); i++) {
		struct json_object *part = NULL;

		rc = ask_each(o, list_request, nr ? doms[i] : NULL, &part);
		for (size_t k = 0; !rc && k < json_object_array_length(part); k++)
			json_object_array_add(all, json_object_get(json_object_array_get_idx(part, k)));
		json_object_put(part);
	}
	if (!rc && !opt_has(o, OPT_QUIET))
		rc = print_devices(o, all);
	json_object_put(all);
	return rc;
}

int cmd_list(const struct opts *o, char **args, int nr)
{
	struct opts one = *o;

	for (unsigned i = 0; nr && i < NR_SERVICES; i++)
		if (!strcmp(args[0], services[i].class)) {
			one.service = &services[i];
			args++;
			nr--;
			break;
		}
	return list(&one, args, nr);
}

int cmd_block_list(const struct opts *o, char **args, int nr)
{
	struct opts disks = *o;

	disks.service = SERVICE_DISK;
	return list(&disks, args, nr);
}

static int ask_device(const struct opts *o, struct json_object *req)
{
	struct json_object *dev = NULL;
	int rc = ask(o, req, 0, &dev);

	if (!rc && !opt_has(o, OPT_QUIET))
		rc = print_device(o, dev);
	json_object_put(dev);
	return rc;
}

int cmd_show(const struct opts *o, char **args, int nr)
{
	struct json_object *req = device_request("show", args[0]);
	struct opts to = opts_for(o, strrchr(args[0], '/') ? strrchr(args[0], '/') + 1 : "");

	return req ? ask_device(&to, req) : EXIT_USAGE;
}

int cmd_resize(const struct opts *o, char **args, int nr)
{
	struct json_object *req = device_request("resize", args[0]), *dev = NULL;
	struct opts to = opts_for(o, strrchr(args[0], '/') ? strrchr(args[0], '/') + 1 : "");
	struct json_object *size;
	uint64_t bytes;
	int rc;

	if (!req)
		return EXIT_USAGE;
	if (nr > 1) {
		if (parse_size(args[1], &bytes) || !bytes || bytes > INT64_MAX || bytes % SECTOR_BYTES) {
			json_object_put(req);
			return usage_error("\"%.40s\" is no size: a multiple of 512 bytes, as in 40G", args[1]);
		}
		json_object_object_add(req, "size", json_object_new_int64((int64_t)bytes));
	}
	rc = ask(&to, req, 0, &dev);
	if (!rc && opt_has(o, OPT_JSON)) {
		rc = print_device(o, dev);
	} else if (!rc && !opt_has(o, OPT_QUIET) && json_object_object_get_ex(dev, "size", &size)) {
		char *text = human_size((uint64_t)json_object_get_int64(size));

		printf("%s is %s now (%" PRId64 " bytes)\n", member(dev, "device"), text ? text : "?",
		       json_object_get_int64(size));
		free(text);
	}
	json_object_put(dev);
	return rc;
}
