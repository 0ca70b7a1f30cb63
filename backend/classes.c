/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* classes.c - every device class there is. A new one is one line here, and one include in backend/local.mk. */
#include "backend/class.h"

static const struct device_class *const classes[] = {
	&block_class,
};

const struct device_class *class_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (strcmp(classes[i]->name, name) == 0)
			return classes[i];
	return NULL;
}
