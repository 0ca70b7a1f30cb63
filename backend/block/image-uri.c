/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image-uri.c - a target's text -> struct image_uri.  Pure. */
#include <errno.h>
#include <stdio.h>
#include "backend/block/image.h"
#include "common/span/span.h"

static int bad(struct fault *f, const char *why)
{
	fault_set(f, FAULT_USAGE, -EINVAL, "%s", why);
	fault_next(f, "targets are file:/path, nbd://host[:port]/export, nbd+unix:///export?socket=/path, null:SIZE");
	return -EINVAL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Undo %XX.  No NUL and no control character comes out. */
static int unescape(const char *in, size_t bytes, char *out, size_t out_size)
{
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)in[i];

		if (c == '%') {
			if (i + 2 >= bytes || hex(in[i + 1]) < 0 || hex(in[i + 2]) < 0)
				return -EINVAL;
			c = (unsigned char)(hex(in[i + 1]) * 16 + hex(in[i + 2]));
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return -EINVAL;
		if (n + 1 >= out_size)
			return -ENAMETOOLONG;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

static int parse_file(const char *path, struct image_uri *u, struct fault *f)
{
	if (strncmp(path, "///", 3) == 0)
		path += 2; /* file:///path */
	if (path[0] != '/')
		return bad(f, "a file's path must be absolute");
	if (path[strspn(path, "/")] == '\0')
		return bad(f, "the file's path is empty");
	u->kind = BLK_STORE_FILE;
	memcpy(u->path, path, strlen(path) + 1); /* not longer than the target, which fits */
	return 0;
}

static int parse_null(const char *size, struct image_uri *u, struct fault *f)
{
	if (parse_size(size, &u->size) < 0)
		return bad(f, "null: wants a size, such as null:10G");
	if (u->size == 0 || u->size % SECTOR_BYTES || u->size > INT64_MAX)
		return bad(f, "null: wants a size that is a positive multiple of 512");
	u->kind = BLK_STORE_NULL;
	return 0;
}

static int parse_nbd_unix(const char *text, struct image_uri *u, struct fault *f)
{
	const char *q = strchr(text, '?');

	/* an empty authority, then the export: ///export?socket=/path; the export may be left out */
	if (strncmp(text, "//", 2) != 0 || (text[2] != '/' && text[2] != '?'))
		return bad(f, "nbd+unix: wants nbd+unix:///export?socket=/path");
	if (!q || strncmp(q, "?socket=", 8) != 0 || strchr(q, '&'))
		return bad(f, "nbd+unix: wants ?socket=/path and no other parameter");
	text += text[2] == '/' ? 3 : 2;
	if (unescape(text, (size_t)(q - text), u->export, sizeof(u->export)) < 0)
		return bad(f, "the export's name is too long or has strange characters");
	if (unescape(q + 8, strlen(q + 8), u->path, sizeof(u->path)) < 0 || u->path[0] != '/')
		return bad(f, "the socket's path must be absolute");
	u->kind = BLK_STORE_NBD;
	u->unix_socket = true;
	return 0;
}

static int parse_nbd(const char *text, struct image_uri *u, struct fault *f)
{
	const char *host, *end, *slash, *port = "10809";
	uint32_t n;

	if (strncmp(text, "//", 2) != 0)
		return bad(f, "nbd: wants nbd://host[:port]/export");
	host = text + 2;
	slash = strchrnul(host, '/');
	if (memchr(host, '@', (size_t)(slash - host)) || strchr(text, '?'))
		return bad(f, "nbd: takes no user and no parameters");
	if (*host == '[') { /* an IPv6 address */
		host++;
		end = memchr(host, ']', (size_t)(slash - host));
		if (!end || (end + 1 != slash && end[1] != ':'))
			return bad(f, "the address in brackets has no end");
		text = end + 1;
	} else {
		end = memchr(host, ':', (size_t)(slash - host));
		if (!end)
			end = slash;
		text = end;
	}
	if (end == host || (size_t)(end - host) >= sizeof(u->host))
		return bad(f, "nbd: wants a host name");
	if (unescape(host, (size_t)(end - host), u->host, sizeof(u->host)) < 0)
		return bad(f, "the host name has strange characters");
	snprintf(u->port, sizeof(u->port), "%s", port);
	if (*text == ':') {
		size_t len = (size_t)(slash - text - 1);

		if (len == 0 || len >= sizeof(u->port))
			return bad(f, "the port must be 1 to 65535");
		memcpy(u->port, text + 1, len);
		u->port[len] = '\0';
		if (parse_str_u32(u->port, 65535, &n) < 0 || n == 0)
			return bad(f, "the port must be 1 to 65535");
	}
	if (*slash == '/')
		slash++;
	if (unescape(slash, strlen(slash), u->export, sizeof(u->export)) < 0)
		return bad(f, "the export's name is too long or has strange characters");
	u->kind = BLK_STORE_NBD;
	return 0;
}

int image_parse(const char *target, struct image_uri *ret, struct fault *f)
{
	struct image_uri u;
	int err;

	memset(&u, 0, sizeof(u));
	if (strlen(target) >= IMAGE_TARGET_MAX)
		return bad(f, "the target is too long");
	if (*target == '\0')
		return bad(f, "the target is empty");
	for (const char *p = target; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return bad(f, "the target has control characters in it");
	if (*target == '/')
		err = parse_file(target, &u, f);
	else if (strncmp(target, "file:", 5) == 0)
		err = parse_file(target + 5, &u, f);
	else if (strncmp(target, "null:", 5) == 0)
		err = parse_null(target + 5, &u, f);
	else if (strncmp(target, "nbd+unix:", 9) == 0)
		err = parse_nbd_unix(target + 9, &u, f);
	else if (strncmp(target, "nbd:", 4) == 0)
		err = parse_nbd(target + 4, &u, f);
	else
		err = bad(f, "the target is neither an absolute path nor a known URI");
	if (err == 0)
		*ret = u;
	return err;
}
