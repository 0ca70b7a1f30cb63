/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * spec.h - what a class reads of a device's settings: out of a control request or out of its own nodes (which a person may
 * have been at), and then what a worker, which may have been taken over, says about the opened device.
 * Input: byte 0: 0x01 a request (JSON), else nodes; 0x02: what is behind the first NUL is the worker's answer; 0x04: on whose
 * behalf.  Then the text, then that answer, put right as far as its size goes with 0x08.
 */
#ifndef SYNTH_FUZZ_SPEC_H
#define SYNTH_FUZZ_SPEC_H

#include <json-c/json.h>
#include "tests/fuzz/nodes.h"

/* Nodes that were made, as a directory. */
static int made_get(void *arg, const char *name, char *value, size_t bytes)
{
	const struct nodes *n = arg;

	for (uint32_t i = 0; i < n->nr; i++) {
		if (!(n->v[i].where & NODE_BACK) || strcmp(n->v[i].name, name) != 0)
			continue;
		if (strlen(n->v[i].value) >= bytes)
			return -EMSGSIZE;
		memcpy(value, n->v[i].value, strlen(n->v[i].value) + 1);
		return 0;
	}
	return -ENOENT;
}

static void must_be_same(const struct nodes *a, const struct nodes *b)
{
	must(a->nr == b->nr);
	for (uint32_t i = 0; i < a->nr; i++)
		must(strcmp(a->v[i].name, b->v[i].name) == 0 && strcmp(a->v[i].value, b->v[i].value) == 0 &&
		     a->v[i].where == b->v[i].where);
}

/* What a device writes down is what a later daemon makes of it. */
static void round_trip(const struct control_class *c, const struct class_options *opt, const void *spec)
{
	struct nodes birth = { 0 }, again = { 0 };
	const struct node_getter g = { made_get, &birth };
	uint32_t vdev = 0;
	struct fault f = { 0 };
	void *spec2 = NULL;

	must(c->dev_nth(0, &vdev) == 0);
	c->nodes_birth(spec, vdev, &birth);
	must(birth.err == 0 && birth.nr > 0);
	must(c->spec_load(&g, opt, &spec2, &f) == 0);
	c->nodes_birth(spec2, vdev, &again);
	must_be_same(&birth, &again);
	c->spec_free(spec2);
	nodes_free(&birth);
	nodes_free(&again);
}

static void opened(const struct control_class *c, void *spec, const uint8_t *answer, size_t bytes)
{
	struct json_object *o = json_object_new_object();
	struct nodes live = { 0 };
	int rc = c->info(spec, answer, bytes, 1 << 20);

	must(rc >= 0 || rc == -EPROTO || rc == -EFBIG);
	c->nodes_live(spec, &live);
	must(live.err == 0);
	for (uint32_t i = 0; i < live.nr; i++)
		for (const char *p = live.v[i].value; *p; p++)
			must((unsigned char)*p >= 0x20);
	c->show(spec, NULL, o);
	must(json_object_to_json_string(o) != NULL);
	nodes_free(&live);
	json_object_put(o);
}

static int spec_fuzz(const uint8_t *data, size_t size, size_t info_bytes)
{
	const struct control_class *c = daemon_class;
	const struct class_options opt = { .max_queues = 4, .poll_us = 50 };
	struct feed f = { data, size }, text, answer;
	const struct node_getter g = { fuzz_get, &text };
	uint8_t how = feed_u8(&f), body[512] = { 0 };
	const uint8_t *nul = how & 2 ? memchr(f.p, '\0', f.left) : NULL;
	struct json_object *o = NULL;
	struct front_params p;
	struct fault fault = { 0 };
	char why[REASON_MAX];
	void *spec = NULL;
	int rc;

	text = (struct feed){ f.p, nul ? (size_t)(nul - f.p) : f.left };
	answer = nul ? (struct feed){ nul + 1, f.left - text.left - 1 } : (struct feed){ f.p, 0 };
	if (how & 1) {
		struct json_tokener *tok = json_tokener_new_ex(8);
		char *line = malloc(text.left + 1);

		must(tok && line);
		memcpy(line, text.p, text.left);
		line[text.left] = '\0';
		o = json_tokener_parse_ex(tok, line, (int)text.left);
		json_tokener_free(tok);
		free(line);
		if (!json_object_is_type(o, json_type_object)) {
			json_object_put(o);
			return 0;
		}
		rc = c->spec_new(o, &opt, &spec, &fault);
	} else {
		rc = c->spec_load(&g, &opt, &spec, &fault);
	}
	if (rc < 0) {
		must(fault.why[0]);
		json_object_put(o);
		return 0;
	}
	round_trip(c, &opt, spec);
	rc = c->front(spec, &g, &p, why);
	must(rc == 0 || (rc < 0 && why[0]));
	info_bytes = how & 8 ? info_bytes : MIN(answer.left, sizeof(body));
	feed_bytes(&answer, body, MIN(info_bytes, sizeof(body)));
	opened(c, spec, body, MIN(info_bytes, sizeof(body)));
	if (c->change && o) {
		struct nodes n = { 0 };

		rc = c->change(spec, o, &n, &fault);
		must(rc == 0 || fault.why[0]);
		nodes_free(&n);
	}
	if (c->settings_body) {
		uint8_t *set = malloc(SETTINGS_MAX);

		must(set && c->settings_body(spec, &g, &g, set) <= SETTINGS_MAX);
		free(set);
	}
	c->spec_free(spec);
	json_object_put(o);
	return 0;
}

#endif
