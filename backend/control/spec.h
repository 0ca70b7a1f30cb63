/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * spec.h - what classes share to read a device's settings from a control request or from its own nodes, and to
 * show them.  A member or node that is not there leaves *ret as it is.
 */
#ifndef SYNTH_CONTROL_SPEC_H
#define SYNTH_CONTROL_SPEC_H

#include "backend/control/class.h"

/* From a request: 0, or -EINVAL with @f filled. */
int arg_bool(struct json_object *o, const char *name, bool *ret, struct fault *f) __must_check;
int arg_count(struct json_object *o, const char *name, uint32_t min, uint32_t max, uint32_t *ret,
	      struct fault *f) __must_check;
/* *ret points into @o; not empty, no NUL inside, less than @bytes long. */
int arg_text(struct json_object *o, const char *name, size_t bytes, const char **ret, struct fault *f) __must_check;

/* From nodes: 0, -EINVAL, -ERANGE or the getter's error. */
int load_count(const struct node_getter *g, const char *name, uint32_t min, uint32_t max, uint32_t *ret) __must_check;
int load_bool(const struct node_getter *g, const char *name, bool *ret) __must_check;

/* Members of a reply: null when there is nothing to tell. */
void show_text(struct json_object *o, const char *name, const char *s);
void show_number(struct json_object *o, const char *name, bool known, uint64_t v);
void show_bool(struct json_object *o, const char *name, bool known, bool v);

#endif
