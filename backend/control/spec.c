/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* spec.c - see spec.h. */
#include <errno.h>
#include <json-c/json.h>
#include "backend/control/spec.h"
#include "common/span/span.h"

int arg_bool(json_object *o, const char *name, bool *ret, struct fault *f)
{
	json_object *v;

	if (!json_object_object_get_ex(o, name, &v) || !v)
		return 0;
	if (!json_object_is_type(v, json_type_boolean))
		return fault_set(f, FAULT_USAGE, -EINVAL, "\"%s\" must be true or false", name);
	*ret = json_object_get_boolean(v);
	return 0;
}

int arg_count(json_object *o, const char *name, uint32_t min, uint32_t max, uint32_t *ret, struct fault *f)
{
	json_object *v;
	int64_t n;

	if (!json_object_object_get_ex(o, name, &v) || !v)
		return 0;
	n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
	if (n < (int64_t)min || n > (int64_t)max)
		return fault_set(f, FAULT_USAGE, -EINVAL, "\"%s\" must be %u to %u", name, min, max);
	*ret = (uint32_t)n;
	return 0;
}

int arg_text(json_object *o, const char *name, size_t bytes, const char **ret, struct fault *f)
{
	json_object *v;
	const char *s;

	if (!json_object_object_get_ex(o, name, &v) || !v)
		return 0;
	s = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
	if (*s == '\0' || strlen(s) != (size_t)json_object_get_string_len(v) || strlen(s) >= bytes)
		return fault_set(f, FAULT_USAGE, -EINVAL, "\"%s\" must be a text of 1 to %zu bytes", name, bytes - 1);
	*ret = s;
	return 0;
}

int load_count(const struct node_getter *g, const char *name, uint32_t min, uint32_t max, uint32_t *ret)
{
	char value[FRONT_VALUE_MAX];
	uint32_t n;
	int err = g->get(g->arg, name, value, sizeof(value));

	if (err == -ENOENT)
		return 0;
	if (err == 0)
		err = parse_str_u32(value, max, &n);
	if (err == 0 && n < min)
		err = -ERANGE;
	if (err == 0)
		*ret = n;
	return err;
}

int load_bool(const struct node_getter *g, const char *name, bool *ret)
{
	uint32_t n = *ret;
	int err = load_count(g, name, 0, 1, &n);

	*ret = n != 0;
	return err;
}

void show_text(json_object *o, const char *name, const char *s)
{
	json_object_object_add(o, name, s && *s ? json_object_new_string(s) : NULL);
}

void show_number(json_object *o, const char *name, bool known, uint64_t v)
{
	json_object_object_add(o, name, known ? json_object_new_int64((int64_t)v) : NULL);
}

void show_bool(json_object *o, const char *name, bool known, bool v)
{
	json_object_object_add(o, name, known ? json_object_new_boolean(v) : NULL);
}
