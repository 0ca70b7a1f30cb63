/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-image-uri.c - libFuzzer target: any target of a disk.
 * links: backend/block/image-uri.c backend/control/fault.c common/span/span.c
 */
#include <errno.h>
#include "backend/block/image.h"
#include "tests/fuzz/fuzz.h"

static void must_be_clean(const char *s, size_t size)
{
	size_t n = strnlen(s, size);

	must(n < size);
	for (size_t i = 0; i < n; i++)
		must((unsigned char)s[i] >= 0x20 && s[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = { data, size };
	char *text = feed_text(&f);
	static struct image_uri u;
	struct fault fault = { 0 };
	int rc;

	memset(&u, 0xa5, sizeof(u));
	rc = image_parse(text, &u, &fault);
	must(rc == 0 || rc == -EINVAL);
	if (rc < 0) {
		must(fault.code == FAULT_USAGE && fault.why[0] && fault.next[0]);
		for (size_t i = 0; i < sizeof(u); i++)
			must(((const uint8_t *)&u)[i] == 0xa5);
	} else {
		must_be_clean(u.path, sizeof(u.path));
		must_be_clean(u.host, sizeof(u.host));
		must_be_clean(u.port, sizeof(u.port));
		must_be_clean(u.export, sizeof(u.export));
		must(u.kind != BLK_STORE_FILE || u.path[0] == '/');
		must(u.kind != BLK_STORE_NULL || (u.size && u.size % SECTOR_BYTES == 0));
		if (u.kind == BLK_STORE_NBD)
			must(u.unix_socket ? u.path[0] == '/' : u.host[0] && u.port[0]);
	}
	free(text);
	return 0;
}
