/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * spec.c - from "file:/srv/a.img=xvda" (or xl's way of saying it) to a struct spec.  Pure: see spec.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include "common/span/span.h"
#include "toolstack/spec.h"

static _Thread_local char message[256];

static int __printf(2, 3) bad(spec_why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	*why = message;
	return -EINVAL;
}

/* Bytes of one well-formed UTF-8 character at @s (1..4), or 0.  Overlong forms and surrogates are not well-formed. */
static unsigned utf8_len(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		return (s[1] & 0xc0) == 0x80 ? 2 : 0;
	if ((s[0] & 0xf0) == 0xe0) {
		if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80)
			return 0;
		if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0))
			return 0;
		return 3;
	}
	if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 || (s[3] & 0xc0) != 0x80)
			return 0;
		if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
			return 0;
		return 4;
	}
	return 0;
}

/* What goes into JSON, xenstore and log lines must be printable UTF-8. */
static bool is_clean(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		unsigned n = utf8_len(s);

		if (!n || *s < 0x20 || *s == 0x7f)
			return false;
		s += n;
	}
	return true;
}

static size_t letters(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyz");
}

/* By its looks alone.  That there is no hdz1 the daemon says (common/xen/vdev.h); else a file "a.img=hdz1" would be looked for. */
bool spec_is_dev(const char *text)
{
	const char *s = text;
	size_t n, digits;

	if (!strncmp(s, "xvd", 3))
		s += 3;
	else if (!strncmp(s, "sd", 2) || !strncmp(s, "hd", 2))
		s += 2;
	else
		return false;
	n = letters(s);
	if (n < 1 || n > 3)
		return false;
	s += n;
	digits = strspn(s, "0123456789");
	return digits <= 3 && s[digits] == '\0' && s[0] != '0';
}

/* Set ret->target to @scheme + an absolute form of @path. */
static int set_path(const char *scheme, const char *path, const char *cwd, struct spec *ret, spec_why *why)
{
	int n;

	while (path[0] == '.' && path[1] == '/')
		for (path += 2; *path == '/'; path++)
			;
	if (!*path || !strcmp(path, ".") || path[strlen(path) - 1] == '/')
		return bad(why, "\"%.100s\" names a directory, not an image", *path ? path : cwd);
	if (path[0] == '/')
		n = snprintf(ret->target, sizeof(ret->target), "%s%s", scheme, path);
	else
		n = snprintf(ret->target, sizeof(ret->target), "%s%s%s%s", scheme, cwd,
			     cwd[0] && cwd[strlen(cwd) - 1] == '/' ? "" : "/", path);
	if (n < 0 || (size_t)n >= sizeof(ret->target))
		return bad(why, "the path is longer than %u bytes", SPEC_TARGET_MAX - 1);
	return 0;
}

static int parse_file(const char *rest, const char *cwd, struct spec *ret, spec_why *why)
{
	if (!strncmp(rest, "//", 2)) { /* file:///srv/a.img, file://localhost/srv/a.img */
		const char *path = strchr(rest + 2, '/');

		if (!path || (path != rest + 2 && strncmp(rest, "//localhost/", 12)))
			return bad(why, "file: images are on this machine; write file:/path");
		rest = path;
	}
	if (!*rest)
		return bad(why, "file: needs a path, as in file:/srv/a.img");
	return set_path("file:", rest, cwd, ret, why);
}

static int parse_nbd(const char *text, struct spec *ret, spec_why *why)
{
	const char *host = text + strlen("nbd:"), *end, *port;
	uint64_t n;

	if (strncmp(host, "//", 2))
		return bad(why, "write nbd://HOST[:PORT]/EXPORT");
	host += 2;
	end = host + strcspn(host, "/");
	if (end == host || *host == ':')
		return bad(why, "nbd:// needs a host, as in nbd://storage.example/vol0 (for a Unix socket: "
				"nbd+unix:///vol0?socket=/path)");
	if (*host == '[') {
		port = memchr(host, ']', (size_t)(end - host));
		if (!port || port == host + 1)
			return bad(why, "the address in nbd:// has no closing bracket");
		port++;
	} else {
		port = host + strcspn(host, ":/");
	}
	if (port != end && (*port != ':' || parse_u64(port + 1, (size_t)(end - port - 1), 65535, &n) || !n))
		return bad(why, "the port in nbd:// is not a number from 1 to 65535");
	snprintf(ret->target, sizeof(ret->target), "%s", text);
	return 0;
}

static int parse_nbd_unix(const char *text, const char *cwd, struct spec *ret, spec_why *why)
{
	static const char form[] = "write nbd+unix:///EXPORT?socket=/path/to/socket";
	const char *export = text + strlen("nbd+unix:"), *query;
	char head[SPEC_TARGET_MAX];

	if (strncmp(export, "///", 3))
		return bad(why, "%s", form);
	query = strchr(export, '?');
	if (!query || strncmp(query, "?socket=", 8) || !query[8] || strpbrk(query + 8, "?&"))
		return bad(why, "%s", form);
	query += strlen("?socket=");
	snprintf(head, sizeof(head), "%.*s", (int)(query - text), text);
	return set_path(head, query, cwd, ret, why);
}

static int parse_null(const char *text, struct spec *ret, spec_why *why)
{
	uint64_t size;

	if (parse_size(text + strlen("null:"), &size) || size < SECTOR_BYTES)
		return bad(why, "null: needs a size, as in null:1G");
	snprintf(ret->target, sizeof(ret->target), "%s", text);
	return 0;
}

/* "scheme:" at the start of @text?  A path such as "./a:b" has none. */
static size_t scheme_len(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+-.");

	return n && letters(text) && text[n] == ':' ? n + 1 : 0;
}

static int parse_target(const char *text, const char *cwd, struct spec *ret, spec_why *why)
{
	size_t n = scheme_len(text);

	if (!*text)
		return bad(why, "the target is empty");
	if (!n)
		return set_path("file:", text, cwd, ret, why);
	if (!strncmp(text, "file:", n))
		return parse_file(text + n, cwd, ret, why);
	if (!strncmp(text, "nbd+unix:", n))
		return parse_nbd_unix(text, cwd, ret, why);
	if (!strncmp(text, "nbd:", n))
		return parse_nbd(text, ret, why);
	if (!strncmp(text, "null:", n))
		return parse_null(text, ret, why);
	if (!strncmp(text, "qcow2:", n) || !strncmp(text, "vhd:", n) || !strncmp(text, "vmdk:", n))
		return bad(
			why,
			"image formats are served through NBD: run qemu-nbd on it and attach nbd+unix:///?socket=PATH");
	return bad(why,
		   "\"%.*s\" is no known scheme; there are file:, nbd:, nbd+unix:, null: (a file so named: ./%.60s)",
		   (int)MIN(n, 40), text, text);
}

int spec_parse(const char *text, const char *cwd, struct spec *ret, spec_why *why)
{
	char target[SPEC_TARGET_MAX];
	const char *eq = strrchr(text, '=');
	size_t n = strlen(text);

	memset(ret, 0, sizeof(*ret));
	if (!is_clean(text))
		return bad(why, "the target holds control characters, or bytes that are not UTF-8");
	if (eq && spec_is_dev(eq + 1)) {
		snprintf(ret->dev, sizeof(ret->dev), "%s", eq + 1);
		n = (size_t)(eq - text);
	}
	if (n >= sizeof(target))
		return bad(why, "the target is longer than %u bytes", SPEC_TARGET_MAX - 1);
	memcpy(target, text, n);
	target[n] = '\0';
	return parse_target(target, cwd, ret, why);
}

/* ------------------------------------------------------------------ xl's syntax */

struct xl {
	char *target, *format, *vdev, *access;
};

static int xl_flag(const char *word, struct spec *ret, spec_why *why)
{
	if (!strcmp(word, "cdrom") || !strcmp(word, "devtype=cdrom"))
		ret->cdrom = true;
	else if (!strcmp(word, "removable=1"))
		ret->removable = true;
	else if (!strcmp(word, "no-discard"))
		ret->no_discard = true;
	else if (strcmp(word, "removable=0") && strcmp(word, "discard") && strcmp(word, "devtype=disk") &&
		 strcmp(word, "direct-io-safe") && strcmp(word, "backendtype=phy") &&
		 strcmp(word, "script=block-synth"))
		return bad(
			why,
			"\"%.80s\" has no meaning here (there are target=, format=, vdev=, access=, devtype=, cdrom, "
			"removable, discard, no-discard)",
			word);
	return 0;
}

/* "xvda", or "hdc:cdrom" of old. */
static bool is_xl_vdev(const char *word)
{
	char name[SPEC_DEV_MAX];
	size_t n = strcspn(word, ":");

	if (n >= sizeof(name) || (word[n] && strcmp(word + n, ":cdrom")))
		return false;
	memcpy(name, word, n);
	name[n] = '\0';
	return spec_is_dev(name);
}

static int xl_word(char *word, unsigned *position, struct xl *x, struct spec *ret, spec_why *why)
{
	char **slot[] = { &x->target, &x->format, &x->vdev, &x->access };
	static const char *const key[] = { "target=", "format=", "vdev=", "access=" };

	for (unsigned i = 0; i < ARRAY_SIZE(key); i++) {
		size_t n = strlen(key[i]);

		if (strncmp(word, key[i], n))
			continue;
		if (*slot[i])
			return bad(why, "\"%.*s\" is said twice", (int)n - 1, key[i]);
		*slot[i] = word + n;
		*position = ARRAY_SIZE(slot);
		return 0;
	}
	if (!strcmp(word, "removable"))
		return xl_flag("removable=1", ret, why);
	if (strchr(word, '=') || *position >= ARRAY_SIZE(slot) || !strcmp(word, "cdrom") || !strcmp(word, "discard") ||
	    !strcmp(word, "no-discard") || !strcmp(word, "direct-io-safe"))
		return xl_flag(word, ret, why);
	/* The old "phy:/dev/x,xvda,w" has no format: a device's name in its place says so. */
	if (*position == 1 && is_xl_vdev(word))
		*position = 2;
	if (*slot[*position])
		return bad(why, "\"%.80s\": its place is taken by a key before it", word);
	*slot[(*position)++] = word;
	return 0;
}

static int xl_finish(const struct xl *x, const char *cwd, struct spec *ret, spec_why *why)
{
	static const char *const late[] = { ",format=", ",vdev=", ",access=" };
	const char *target = x->target;

	if (!target || !*target)
		return bad(why, "the disk has no target=");
	/* No file is called so: the key was meant as a key, which it is when target= comes last. */
	for (unsigned i = 0; i < ARRAY_SIZE(late); i++) {
		const char *at = strstr(target, late[i]);

		if (at)
			return bad(why, "target= takes the rest of the line: \"%.80s\" has to stand before it", at + 1);
	}
	if (x->format && *x->format && strcmp(x->format, "raw"))
		return bad(why,
			   "format \"%.20s\" is served through NBD: run qemu-nbd on it and attach "
			   "nbd+unix:///?socket=PATH",
			   x->format);
	if (x->vdev && *x->vdev) {
		size_t n = strcspn(x->vdev, ":");

		if (!is_xl_vdev(x->vdev))
			return bad(why, "vdev \"%.40s\" is not an xvdX, sdX or hdX", x->vdev);
		ret->cdrom |= x->vdev[n] == ':';
		snprintf(ret->dev, sizeof(ret->dev), "%.*s", (int)n, x->vdev);
	}
	if (x->access && *x->access) {
		if (!strcmp(x->access, "ro") || !strcmp(x->access, "r"))
			ret->ro = true;
		else if (strcmp(x->access, "rw") && strcmp(x->access, "w"))
			return bad(why, "access \"%.20s\" is neither rw nor ro", x->access);
	}
	if (!strncmp(target, "phy:", 4) || !strncmp(target, "raw:", 4))
		target += 4;
	return parse_target(target, cwd, ret, why);
}

int spec_parse_xl(const char *text, const char *cwd, struct spec *ret, spec_why *why)
{
	char copy[SPEC_TARGET_MAX + 256], *word = copy;
	struct xl x = { 0 };
	unsigned position = 0;

	memset(ret, 0, sizeof(*ret));
	if (!is_clean(text))
		return bad(why, "the disk holds control characters, or bytes that are not UTF-8");
	if (strlen(text) >= sizeof(copy))
		return bad(why, "the disk is longer than %zu bytes", sizeof(copy) - 1);
	strcpy(copy, text);
	while (word) {
		char *next = NULL;

		word += strspn(word, " ");
		/* target= takes the rest of the line, commas and all */
		if (strncmp(word, "target=", 7)) {
			next = strchr(word, ',');
			if (next)
				*next++ = '\0';
		}
		if (*word || position < 4) {
			int rc = xl_word(word, &position, &x, ret, why);

			if (rc)
				return rc;
		}
		word = next;
	}
	return xl_finish(&x, cwd, ret, why);
}

/* ------------------------------------------------------------------ devices */

int spec_parse_device(const char *text, char *dom, size_t dom_bytes, char *dev, size_t dev_bytes)
{
	const char *slash = strrchr(text, '/');
	size_t n;

	if (!slash || slash == text || !slash[1] || !is_clean(text))
		return -EINVAL;
	n = (size_t)(slash - text);
	if (n >= dom_bytes || strlen(slash + 1) >= dev_bytes)
		return -EINVAL;
	memcpy(dom, text, n);
	dom[n] = '\0';
	strcpy(dev, slash + 1);
	return 0;
}
