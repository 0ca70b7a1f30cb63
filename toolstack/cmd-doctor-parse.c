/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-doctor-parse.c - text of the kernel to numbers.  Pure: anything may stand there. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include "common/span/span.h"
#include "toolstack/cmd-doctor.h"

int parse_bus_name(const char *name, char type[16], uint32_t *domid, uint32_t *id)
{
	const char *first = strchr(name, '-'), *second = first ? strchr(first + 1, '-') : NULL;
	uint64_t n, v;

	if (!second || first == name || first - name >= 16)
		return -EINVAL;
	if (parse_u64(first + 1, (size_t)(second - first - 1), UINT16_MAX, &n) < 0 ||
	    parse_str_u64(second + 1, UINT32_MAX, &v) < 0)
		return -EINVAL;
	memcpy(type, name, (size_t)(first - name));
	type[first - name] = '\0';
	*domid = (uint32_t)n;
	*id = (uint32_t)v;
	return 0;
}

/* The next word of a line: its length, *p at its start; 0 at the line's end. */
static size_t next_word(const char **p)
{
	*p += strspn(*p, " \t");
	return strcspn(*p, " \t\n");
}

static const char *next_line(const char *p)
{
	p += strcspn(p, "\n");
	return *p ? p + 1 : NULL;
}

int parse_limit(const char *limits, const char *name, uint64_t *soft)
{
	size_t len = strlen(name), n;

	for (const char *p = limits; p; p = next_line(p)) {
		uint64_t v;

		if (strncmp(p, name, len) != 0 || (p[len] != ' ' && p[len] != '\t'))
			continue;
		p += len;
		n = next_word(&p);
		if (n == 9 && !memcmp(p, "unlimited", 9))
			v = UINT64_MAX;
		else if (parse_u64(p, n, UINT64_MAX, &v) < 0)
			return -ENOENT;
		*soft = v;
		return 0;
	}
	return -ENOENT;
}

/* "08:01:1234": two hexadecimal numbers and a decimal one. */
static bool same_file(const char *p, size_t n, uint32_t major, uint32_t minor, uint64_t inode)
{
	char want[64];
	int len = snprintf(want, sizeof(want), "%02x:%02x:%llu", major, minor, (unsigned long long)inode);

	return len > 0 && (size_t)len == n && !memcmp(p, want, n);
}

/* "12: FLOCK  ADVISORY  WRITE 4711 00:1a:99 0 EOF"; one who waits for it has a "->" before FLOCK. */
int64_t parse_lock_holder(const char *locks, uint32_t major, uint32_t minor, uint64_t inode)
{
	for (const char *line = locks; line; line = next_line(line)) {
		const char *p = line, *word[6];
		size_t len[6];
		unsigned n = 0;
		uint64_t pid;

		while (n < 6 && (len[n] = next_word(&p)) > 0) {
			word[n] = p;
			p += len[n++];
		}
		if (n < 6 || len[1] != 5 || memcmp(word[1], "FLOCK", 5) != 0)
			continue;
		if (!same_file(word[5], len[5], major, minor, inode))
			continue;
		return parse_u64(word[4], len[4], INT32_MAX, &pid) < 0 ? 0 : (int64_t)pid;
	}
	return -ENOENT;
}

bool has_word(const char *s, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = s; (p = strstr(p, word)) != NULL; p += n)
		if ((p == s || strchr(" ,\t\n", p[-1])) && (!p[n] || strchr(" ,\t\n", p[n])))
			return true;
	return false;
}

int64_t parse_instance(const char *instance, const char *boot_id)
{
	size_t n = strlen(boot_id);
	uint64_t pid;

	if (!n || strncmp(instance, boot_id, n) != 0 || instance[n] != ':')
		return 0;
	return parse_str_u64(instance + n + 1, INT32_MAX, &pid) < 0 ? 0 : (int64_t)pid;
}
