/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-cmd.c - libFuzzer target: the control socket, from the bytes of its lines to the arguments of its commands: ctl.c and cmd.c whole,
 * on stand-ins for what commands do.  Each line that is understood is answered once, as one line of JSON; what comes after nonsense
 * is not looked at.
 * links: backend/control/ctl.c backend/block/blk-control.c backend/block/fence.c backend/block/image.c
 * needs: json-c
 * Input: byte 0: how much is sent at a time, and how the stand-ins answer; then what a client sends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* `trace` makes a file where it is told: not here. */
static int fuzz_open(const char *path)
{
	errno = EACCES;
	return path[0] == '/' && path[1] == 'x' ? dup(2) : -1;
}
#define open(path, flags, mode) fuzz_open(path)
#include "backend/control/cmd.c"
#undef open
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/quiet.h"

static uint8_t mood;
static struct control control;
static struct control_class class;
static struct guest guest;
static struct device device;
static uint32_t asked, answered; /* requests that came to cmd_run(); answers that were told of */
static uint32_t nonsense;        /* answers to what never came there */

/* ------------------------------------------------------------------ who answers later */

#define MAX_LATER 256u

static struct later {
	struct ctl_req *req; /* or */
	worker_reply_fn *fn;
	void *arg;
} later[MAX_LATER];
static uint32_t nr_later;

static bool put_off(struct ctl_req *req, worker_reply_fn *fn, void *arg)
{
	if (nr_later == MAX_LATER)
		return false;
	later[nr_later++] = (struct later){ req, fn, arg };
	return true;
}

static void answer_later(void)
{
	static struct wire_msg m;
	static const char text[] = "requests 12\nbad_requests 0\nnonsense\n";
	uint32_t n = nr_later;

	nr_later = 0;
	m.hdr.bytes = sizeof(text) - 1;
	memcpy(m.body, text, sizeof(text));
	for (uint32_t i = 0; i < n; i++) {
		struct fault f = { .code = FAULT_TIMEOUT };

		fault_what(&f, "cannot do it");
		fault_set(&f, FAULT_TIMEOUT, 0, "it takes too long");
		if (later[i].fn)
			later[i].fn(later[i].arg, mood & 8 ? -EPIPE : 0, mood & 8 ? NULL : &m);
		else if (mood & 16)
			ctl_fail(later[i].req, &f);
		else
			ctl_ok(later[i].req, NULL);
	}
}

/* ------------------------------------------------------------------ stand-ins */

static int fault_in(struct fault *f)
{
	return fault_set(f, FAULT_BUSY, -EBUSY, "not now");
}

int domain_alive(struct domains *d, uint32_t domid, struct domain_id *id)
{
	return domid < 3;
}

int domain_find(struct domains *d, const char *text, uint32_t *domid, char name[64])
{
	if (strcmp(text, "web1") != 0 && strcmp(text, "1") != 0)
		return mood & 32 ? -EIO : 0;
	*domid = 1;
	snprintf(name, 64, "web1");
	return 1;
}

void domain_name(struct domains *d, uint32_t domid, char name[64])
{
	snprintf(name, 64, "web1");
}

int device_attach(struct control *c, const struct attach *a, void *spec, struct fault *f)
{
	must(a->domid == 1 && a->req && a->wait_s <= 3600);
	if ((mood & 4) || !put_off(a->req, NULL, NULL))
		return fault_in(f);
	c->class->spec_free(spec);
	return 0;
}

int device_wait_for(struct device *d, enum wait_kind kind, uint32_t seconds, struct ctl_req *req)
{
	must(seconds <= 3600);
	return (mood & 4) || !put_off(req, NULL, NULL) ? -ENOMEM : 0;
}

struct json_object *device_json(struct device *d)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "device", json_object_new_string(d->name));
	return o;
}

int worker_ask(struct worker *w, const struct worker_ask *q)
{
	return (mood & 4) || !put_off(NULL, q->fn, q->arg) ? -ENOMEM : 0;
}

int device_trace(struct device *d, const struct wire_trace *t, int fd, worker_reply_fn *fn, void *arg)
{
	must(t->snaplen >= 14 && t->snaplen <= 65535 && t->max_bytes >= 1u << 20);
	return (mood & 4) || !put_off(NULL, fn, arg) ? -ENODEV : 0;
}

int device_resize(struct device *d, uint64_t size, struct fault *f)
{
	must(size % 512 == 0 && size < INT64_MAX);
	return mood & 4 ? fault_in(f) : 0;
}

int layout_write(struct device *d, const struct nodes *n, struct fault *f)
{
	return mood & 4 ? fault_in(f) : 0;
}

static int change(void *spec, json_object *args, struct nodes *n, struct fault *f)
{
	nodes_add(n, NODE_BACK, "rate", "1,1");
	return mood & 4 ? fault_in(f) : 0;
}

const char *device_phase_name(const struct device *d)
{
	return "live";
}

void control_stop(struct control *c, struct ctl_req *req)
{
	ctl_ok(req, NULL);
}

void device_waits_done(struct device *d, enum wait_kind kind, const struct fault *f)
{
}

void device_domain_gone(struct device *d)
{
}

void device_force(struct device *d)
{
}

void device_event(struct device *d, enum back_event ev)
{
}

void device_settings(struct device *d)
{
}

uint64_t device_watch_events(const struct device *d)
{
	return 0;
}

pid_t worker_pid(const struct worker *w)
{
	return 0;
}

uint32_t worker_domid(const struct worker *w)
{
	return 1;
}

uint32_t worker_crashes(const struct worker *w)
{
	return 0;
}

uint32_t worker_deaths(const struct worker *w)
{
	return 0;
}

void upgrade_start(struct control *c, const char *program, struct ctl_req *req)
{
	struct fault f = { .code = FAULT_FAILED };

	ctl_fail(req, &f);
}

struct json_object *upgrade_json(const struct control *c)
{
	return NULL;
}

uint64_t worker_backoff(const struct worker *w)
{
	return 0;
}

uint32_t workers_left(const struct control *c)
{
	return 0;
}

const struct worker *worker_next(const struct control *c, const struct worker *w)
{
	return NULL;
}

const char *worker_state_name(const struct worker *w)
{
	return "up";
}

uint64_t worker_up_ns(const struct worker *w)
{
	return 0;
}

uint32_t worker_strays(const struct worker *w)
{
	return 0;
}

/* ------------------------------------------------------------------ a client */

static struct loop *loop;
static struct ctl *ctl;
static struct sockaddr_un address = { .sun_family = AF_UNIX };

static void run(struct ctl_req *req, json_object *args, void *arg)
{
	static const char *const known[] = { "attach", "detach", "list",  "show",   "stat",
					     "resize", "set",    "trace", "status", "stop" };
	struct fault f = { .code = FAULT_USAGE };
	json_object *v = NULL;
	bool mine = false;

	asked++;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		mine |= json_object_object_get_ex(args, "cmd", &v) && json_object_is_type(v, json_type_string) &&
			strcmp(json_object_get_string(v), known[i]) == 0;
	device.phase = mood & 64 ? DEVICE_ATTACHING : DEVICE_LIVE;
	if (mine || !json_object_is_type(v, json_type_string) || strlen(json_object_get_string(v)) > 10) {
		cmd_run(req, args, &control);
		return;
	}
	fault_what(&f, "no stand-in"); /* a command this target does not know */
	fault_set(&f, FAULT_USAGE, 0, "no stand-in");
	ctl_fail(req, &f);
}

static void begin(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[sizeof(address.sun_path)], dir[64];

	must(snprintf(dir, sizeof(dir), "%s/fuzz-cmd.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp") > 0 &&
	     mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	memcpy(address.sun_path, path, sizeof(path));
	class = *daemon_class;
	class.change = change;
	class.traces = true;
	control.class = &class;
	control.opt = (struct class_options){ .max_queues = 4 };
	list_init(&control.devices);
	list_init(&control.workers);
	snprintf(device.name, sizeof(device.name), "web1/xvda");
	snprintf(device.domain_name, sizeof(device.domain_name), "web1");
	snprintf(device.dev_name, sizeof(device.dev_name), "xvda");
	device.c = &control;
	device.guest = &guest;
	device.domid = 1;
	device.vdev = 51712;
	device.opening = OPEN_DONE;
	list_add_tail(&control.devices, &device.link);
	must(loop_new(&loop) == 0 && ctl_open(loop, path, run, NULL, &ctl) == 0);
}

static void enough(struct loop *l, void *arg)
{
	loop_stop(l);
}

static void turn(void)
{
	must(loop_defer(loop, enough, NULL) == 0 && loop_run(loop) == 0);
}

/* What came back: whole lines of JSON, each an answer. */
static void read_answers(int fd, char *line, size_t *used, size_t max)
{
	ssize_t n;
	char *nl;

	while ((n = recv(fd, line + *used, max - *used, MSG_DONTWAIT)) > 0) {
		*used += (size_t)n;
		while ((nl = memchr(line, '\n', *used))) {
			json_object *o, *v;

			*nl = '\0';
			o = json_tokener_parse(line);
			must(json_object_is_type(o, json_type_object));
			must(json_object_object_get_ex(o, "v", &v) && json_object_get_int(v) == 1);
			must(json_object_object_get_ex(o, "ok", &v) && json_object_is_type(v, json_type_boolean));
			must(json_object_object_get_ex(o, json_object_get_boolean(v) ? "result" : "error", &v) && v);
			nonsense += json_object_object_get_ex(v, "why", &v) &&
				    (strstr(json_object_get_string(v), "each line") ||
				     strstr(json_object_get_string(v), "request's id") ||
				     strstr(json_object_get_string(v), "longer than"));
			json_object_put(o);
			answered++;
			*used -= (size_t)(nl - line) + 1;
			memmove(line, nl + 1, *used);
		}
		must(*used < max);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line[1u << 20];
	struct feed f = { data, size };
	size_t used = 0, step;
	int fd;

	if (!loop)
		begin();
	mood = feed_u8(&f);
	step = mood & 1 ? 7 : 100000;
	asked = answered = nonsense = 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
	turn(); /* accepted */
	while (f.left) {
		size_t n = MIN(step, f.left);

		if (send(fd, f.p, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break; /* it has had enough of us */
		f.p += n;
		f.left -= n;
		turn();
		if (mood & 2)
			answer_later();
		read_answers(fd, line, &used, sizeof(line));
	}
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 6 || nr_later; i++) {
		turn();
		answer_later();
		read_answers(fd, line, &used, sizeof(line));
	}
	must(used == 0);
	/* Nonsense has an answer too; but then what was still asked has none. */
	must(answered <= asked + nonsense && (answered == asked + nonsense || nonsense));
	close(fd);
	turn();
	turn();
	return 0;
}
