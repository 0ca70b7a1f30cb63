/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-doctor-report.c - findings and the commands they advise.  Pure memory; what it holds may be anybody's text. */
#include <stdarg.h>
#include <stdio.h>
#include "common/base/exit.h"
#include "toolstack/cmd-doctor.h"

static void *no_memory(void)
{
	fputs("synthctl: out of memory\n", stderr);
	exit(EXIT_FAILED);
}

static char *vtext(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static char *vtext(const char *fmt, va_list ap)
{
	char *s;

	return vasprintf(&s, fmt, ap) < 0 ? no_memory() : s;
}

char *text(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = vtext(fmt, ap);
	va_end(ap);
	return s;
}

const char *level_name(enum level level)
{
	static const char *const names[LEVEL_NR] = { "ok", "note", "warning", "error", "n/a" };

	return names[level];
}

struct finding *report_add(struct report *r, const char *check, enum level level, const char *subject, const char *fmt,
			   ...)
{
	struct finding *f;
	va_list ap;

	if (r->nr == r->room) {
		size_t room = r->room ? 2 * r->room : 32;
		struct finding *v = realloc(r->v, room * sizeof(*v));

		r->v = v ? v : no_memory();
		r->room = room;
	}
	f = &r->v[r->nr++];
	*f = (struct finding){ .check = check, .level = level };
	f->subject = subject ? text("%s", subject) : NULL;
	va_start(ap, fmt);
	f->what = vtext(fmt, ap);
	va_end(ap);
	return f;
}

void finding_why(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	free(f->why);
	va_start(ap, fmt);
	f->why = vtext(fmt, ap);
	va_end(ap);
}

void finding_next(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	free(f->next);
	va_start(ap, fmt);
	f->next = vtext(fmt, ap);
	va_end(ap);
}

void finding_command(struct finding *f, const char *fmt, ...)
{
	char **v = realloc(f->commands, (f->nr_commands + 1) * sizeof(*v));
	va_list ap;

	f->commands = v ? v : no_memory();
	va_start(ap, fmt);
	f->commands[f->nr_commands++] = vtext(fmt, ap);
	va_end(ap);
}

void finding_start(struct finding *f, bool unit, const char *run_prefix, const char *program)
{
	if (unit)
		finding_command(f, "systemctl start %s", program);
	else /* a session of its own: it is to outlive the administrator's */
		finding_command(f, "%ssetsid %s &", run_prefix, program);
}

static void finding_free(struct finding *f)
{
	for (unsigned i = 0; i < f->nr_commands; i++)
		free(f->commands[i]);
	free(f->commands);
	free(f->subject);
	free(f->what);
	free(f->why);
	free(f->next);
}

void report_clear(struct report *r)
{
	for (size_t i = 0; i < r->nr; i++)
		finding_free(&r->v[i]);
	free(r->v);
	*r = (struct report){ 0 };
}

size_t report_count(const struct report *r, enum level level)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nr; i++)
		n += r->v[i].level == level;
	return n;
}

static bool problem(const struct finding *f)
{
	return f->level == LEVEL_WARNING || f->level == LEVEL_ERROR;
}

bool report_problem(const struct report *r, const char *check, const char *subject)
{
	for (size_t i = 0; i < r->nr; i++) {
		const struct finding *f = &r->v[i];

		if (problem(f) && !strcmp(f->check, check) &&
		    !strcmp(f->subject ? f->subject : "", subject ? subject : ""))
			return true;
	}
	return false;
}

size_t report_confirm(struct report *r, const struct report *before, bool (*moving)(const char *check))
{
	size_t kept = 0, dropped;

	for (size_t i = 0; i < r->nr; i++) {
		struct finding *f = &r->v[i];

		if (problem(f) && moving(f->check) && !report_problem(before, f->check, f->subject))
			finding_free(f);
		else
			r->v[kept++] = *f;
	}
	dropped = r->nr - kept;
	r->nr = kept;
	return dropped;
}

char *shell_word(const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,=@%+-";
	char *out, *p;

	if (*s && strspn(s, plain) == strlen(s))
		return text("%s", s);
	out = p = malloc(4 * strlen(s) + 3);
	if (!out)
		return no_memory();
	*p++ = '\'';
	for (; *s; s++) {
		if (*s == '\'')
			p = stpcpy(p, "'\\''");
		else
			*p++ = *s;
	}
	strcpy(p, "'");
	return out;
}
