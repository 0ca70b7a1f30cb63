/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-blkd.c - a control socket that answers by script, for tests of synthctl's manners when the daemon misbehaves.
 *
 *   fake-blkd SOCKET SCRIPT LOG
 *
 * Each request is written to LOG; the next line of SCRIPT says what to do with it:
 *   reply TEXT   send TEXT and a newline, "@ID@" replaced by the request's id
 *   split TEXT   the same, a byte at a time
 *   late TEXT    the same, after half a second
 *   hang         do nothing
 *   close        close the connection
 * After the last line every request hangs.  It ends after a minute, or when it is killed.
 */
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/base.h"

#define MAX_CONNS 16u

struct conn {
	int fd;
	char line[65536];
	size_t used;
};

static FILE *script, *log_file;

static void send_text(struct conn *c, const char *text, const char *id, size_t step)
{
	const char *mark = strstr(text, "@ID@");
	char out[65536];
	int n;

	if (mark)
		n = snprintf(out, sizeof(out), "%.*s%s%s\n", (int)(mark - text), text, id, mark + 4);
	else
		n = snprintf(out, sizeof(out), "%s\n", text);
	for (int at = 0; at < n; at += (int)step) {
		size_t bytes = MIN(step, (size_t)(n - at));

		if (send(c->fd, out + at, bytes, MSG_NOSIGNAL) < 0)
			return;
		if (step == 1)
			usleep(500);
	}
}

/* The digits after "id": in the request. */
static void find_id(const char *line, char id[32])
{
	const char *p = strstr(line, "\"id\"");

	strcpy(id, "0");
	if (p && (p = strpbrk(p, "0123456789")))
		snprintf(id, 32, "%.*s", (int)MIN(strspn(p, "0123456789"), 31u), p);
}

/* False: the connection is to be closed. */
static bool answer(struct conn *c, const char *request)
{
	static char line[65536];
	char id[32];

	fprintf(log_file, "%s\n", request);
	fflush(log_file);
	if (!fgets(line, sizeof(line), script))
		return true;
	line[strcspn(line, "\n")] = '\0';
	find_id(request, id);
	if (!strncmp(line, "late ", 5))
		usleep(500000);
	if (!strncmp(line, "reply ", 6) || !strncmp(line, "split ", 6))
		send_text(c, line + 6, id, line[0] == 's' ? 1 : sizeof(line));
	else if (!strncmp(line, "late ", 5))
		send_text(c, line + 5, id, sizeof(line));
	return strcmp(line, "close");
}

static bool serve(struct conn *c)
{
	ssize_t n = recv(c->fd, c->line + c->used, sizeof(c->line) - 1 - c->used, 0);
	char *nl;

	if (n <= 0)
		return false;
	c->used += (size_t)n;
	c->line[c->used] = '\0';
	while ((nl = strchr(c->line, '\n'))) {
		*nl = '\0';
		if (!answer(c, c->line))
			return false;
		c->used -= (size_t)(nl + 1 - c->line);
		memmove(c->line, nl + 1, c->used + 1);
	}
	return c->used < sizeof(c->line) - 1;
}

int main(int argc, char **argv)
{
	static struct conn conns[MAX_CONNS];
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct pollfd p[MAX_CONNS + 1];
	unsigned nr = 0;
	int listener;

	if (argc != 4 || strlen(argv[1]) >= sizeof(sa.sun_path))
		errx(2, "usage: fake-blkd SOCKET SCRIPT LOG");
	strcpy(sa.sun_path, argv[1]);
	script = fopen(argv[2], "r");
	log_file = fopen(argv[3], "a");
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (!script || !log_file || listener < 0 || bind(listener, (struct sockaddr *)&sa, sizeof(sa)) ||
	    listen(listener, 8))
		err(1, "%s", argv[1]);
	alarm(60);
	for (;;) {
		for (unsigned i = 0; i < nr; i++)
			p[i] = (struct pollfd){ .fd = conns[i].fd, .events = POLLIN };
		p[nr] = (struct pollfd){ .fd = nr < MAX_CONNS ? listener : -1, .events = POLLIN };
		if (poll(p, nr + 1, -1) < 0)
			err(1, "poll");
		if (p[nr].revents) {
			int fd = accept(listener, NULL, NULL);

			if (fd >= 0) {
				conns[nr].fd = fd;
				conns[nr++].used = 0;
			}
			continue;
		}
		for (unsigned i = 0; i < nr; i++)
			if (p[i].revents && !serve(&conns[i])) {
				close(conns[i].fd);
				conns[i] = conns[--nr];
				break;
			}
	}
}
