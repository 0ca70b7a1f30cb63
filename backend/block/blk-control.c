/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blk-control.c - the block class's control plane half (contract: backend/control/class.h).
 *
 * A spec is what the user asked for and what the worker answered when it opened the image.  All of what the user
 * asked for is written to the back end directory, so that a later daemon can serve the disk again.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/io/blkif.h>
#include "backend/block/blk-front.h"
#include "backend/block/blk-journal.h"
#include "backend/block/fence.h"
#include "backend/block/image.h"
#include "backend/control/class.h"
#include "backend/control/spec.h"
#include "common/log/log.h"
#include "common/span/span.h"

#define BLK_MAX_SEGMENTS 256u
#define BLK_SCRIPT       SYNTH_SCRIPTDIR "/block-synth"
#define BLK_POLL_MAX_US  10000u

struct blk_spec {
	char target[IMAGE_TARGET_MAX]; /* as given */
	struct image_uri uri;
	bool readonly, cdrom, removable, discard, direct;
	uint32_t max_queues, poll_us;
	/* of the last open */
	bool opened, is_direct;
	bool is_file; /* a regular one that is written to */
	bool told;    /* the guest was told info.sectors, if need be by a daemon before us */
	char cache_why[96];
	struct blk_info info;
	struct fence *fence; /* nbd: of the worker's connection; NULL: there is none, or we do not have it */
	uint64_t blind_ns;   /* nbd: since when one is missing that would be needed; 0 */
	int witness;         /* file, by the page cache: image_witness(); else -1 */
	bool poisoned;       /* and what it said once */
};

struct blk_open_priv {
	struct image_uri uri;
	struct blk_open open; /* with what is known before the image is open */
	bool readonly, direct;
	bool is_direct, is_file;
	char cache_why[96];
	struct fence *before, *now; /* of the last connection, and of the one that is made */
	bool unanswered;            /* in the first */
	uint64_t blind_ns;
	int witness;
};

static int spec_target(struct blk_spec *s, const char *target, struct fault *f)
{
	int err = image_parse(target, &s->uri, f);

	if (err < 0)
		return err;
	memcpy(s->target, target, strlen(target) + 1);
	return 0;
}

static int get_cache(json_object *o, bool *direct, struct fault *f)
{
	json_object *v;
	const char *s;

	if (!json_object_object_get_ex(o, "cache", &v) || !v)
		return 0;
	s = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
	if (strcmp(s, "direct") != 0 && strcmp(s, "buffered") != 0)
		return fault_set(f, FAULT_USAGE, -EINVAL, "\"cache\" must be \"direct\" or \"buffered\"");
	*direct = strcmp(s, "direct") == 0;
	return 0;
}

static int spec_args(struct blk_spec *s, json_object *args, struct fault *f)
{
	json_object *target;
	int err;

	if (!json_object_object_get_ex(args, "target", &target) || !json_object_is_type(target, json_type_string) ||
	    strlen(json_object_get_string(target)) != (size_t)json_object_get_string_len(target))
		return fault_set(f, FAULT_USAGE, -EINVAL, "\"target\" is missing or no text");
	err = spec_target(s, json_object_get_string(target), f);
	if (err == 0)
		err = arg_bool(args, "ro", &s->readonly, f);
	if (err == 0)
		err = arg_bool(args, "cdrom", &s->cdrom, f);
	if (err == 0)
		err = arg_bool(args, "removable", &s->removable, f);
	if (err == 0)
		err = arg_bool(args, "discard", &s->discard, f);
	if (err == 0)
		err = get_cache(args, &s->direct, f);
	if (err == 0)
		err = arg_count(args, "queues", 1, WIRE_MAX_QUEUES, &s->max_queues, f);
	if (err == 0)
		err = arg_count(args, "poll_us", 0, BLK_POLL_MAX_US, &s->poll_us, f);
	return err;
}

static struct blk_spec *spec_alloc(const struct class_options *opt)
{
	struct blk_spec *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->witness = -1;
	s->direct = s->discard = true;
	s->max_queues = opt->max_queues;
	s->poll_us = opt->poll_us;
	return s;
}

static int blk_spec_new(json_object *args, const struct class_options *opt, void **ret, struct fault *f)
{
	struct blk_spec *s = spec_alloc(opt);
	int err;

	if (!s)
		return fault_set(f, FAULT_FAILED, -ENOMEM, "out of memory");
	err = spec_args(s, args, f);
	if (err < 0) {
		free(s);
		return err;
	}
	if (s->cdrom) /* there is nothing to write on one */
		s->readonly = true;
	*ret = s;
	return 0;
}

/* Our own writing, but a person may have been at it. */
static int blk_spec_load(const struct node_getter *g, const struct class_options *opt, void **ret, struct fault *f)
{
	struct blk_spec *s = spec_alloc(opt);
	char value[FRONT_VALUE_MAX], target[IMAGE_TARGET_MAX];
	int err;

	if (!s)
		return fault_set(f, FAULT_FAILED, -ENOMEM, "out of memory");
	if (g->get(g->arg, "sectors", value, sizeof(value)) == 0)
		s->told = parse_str_u64(value, UINT64_MAX, &s->info.sectors) == 0;
	err = g->get(g->arg, "params", target, sizeof(target));
	if (err < 0)
		fault_set(f, FAULT_FAILED, err, "cannot read its params node: %s", strerror(-err));
	else
		err = spec_target(s, target, f);
	if (err == 0) {
		err = g->get(g->arg, "mode", value, sizeof(value));
		s->readonly = err < 0 || strcmp(value, "w") != 0; /* in doubt, read-only */
		err = g->get(g->arg, "device-type", value, sizeof(value));
		s->cdrom = err == 0 && strcmp(value, "cdrom") == 0;
		err = g->get(g->arg, "synth/cache", value, sizeof(value));
		s->direct = err < 0 || strcmp(value, "buffered") != 0;
		err = load_bool(g, "removable", &s->removable);
		if (err == 0)
			err = load_bool(g, "discard-enable", &s->discard);
		if (err == 0)
			err = load_count(g, "synth/queues", 1, WIRE_MAX_QUEUES, &s->max_queues);
		if (err == 0)
			err = load_count(g, "synth/poll-us", 0, BLK_POLL_MAX_US, &s->poll_us);
		if (err < 0)
			fault_set(f, FAULT_FAILED, err, "its nodes are damaged: %s", strerror(-err));
	}
	if (err < 0) {
		free(s);
		return err;
	}
	*ret = s;
	return 0;
}

static void blk_spec_free(void *spec)
{
	struct blk_spec *s = spec;

	fence_put(s->fence);
	if (s->witness >= 0)
		close(s->witness);
	free(s);
}

/* ------------------------------------------------------------------ nodes */

static void blk_nodes_birth(const void *spec, uint32_t vdev, struct nodes *n)
{
	const struct blk_spec *s = spec;
	const char *type = s->cdrom ? "cdrom" : "disk";
	const uint32_t both = NODE_BACK | NODE_MIRROR;
	char name[VDEV_NAME_MAX];

	vdev_name(vdev, name);
	nodes_add(n, NODE_FRONT, "virtual-device", "%u", vdev);
	nodes_add(n, NODE_FRONT, "device-type", "%s", type);
	nodes_add(n, NODE_FRONT, "trusted", "1");
	/* What libxl writes for a disk; `script` must be there or xl cannot detach it. */
	nodes_add(n, both, "params", "%s", s->target);
	nodes_add(n, both, "script", BLK_SCRIPT);
	nodes_add(n, both, "type", "phy");
	nodes_add(n, both, "dev", "%s", name);
	nodes_add(n, both, "mode", s->readonly ? "r" : "w");
	nodes_add(n, both, "device-type", "%s", type);
	nodes_add(n, both, "removable", "%d", s->removable || s->cdrom);
	nodes_add(n, both, "bootable", "1");
	nodes_add(n, both, "discard-enable", "%d", s->discard);
	nodes_add(n, both, "specification", "xen");
	nodes_add(n, NODE_BACK, "hotplug-status", "connected");
	nodes_add(n, NODE_BACK, "synth/queues", "%u", s->max_queues);
	nodes_add(n, NODE_BACK, "synth/poll-us", "%u", s->poll_us);
	nodes_add(n, NODE_BACK, "synth/cache", s->direct ? "direct" : "buffered");
}

static void blk_nodes_live(const void *spec, struct nodes *n)
{
	const struct blk_spec *s = spec;
	const struct blk_info *i = &s->info;
	uint32_t info = 0;

	nodes_add(n, NODE_BACK, "max-ring-page-order", "%u", WIRE_MAX_ORDER);
	nodes_add(n, NODE_BACK, "max-ring-pages", "%u", WIRE_MAX_PAGES);
	nodes_add(n, NODE_BACK, "multi-queue-max-queues", "%u", s->max_queues);
	nodes_add(n, NODE_BACK, "feature-persistent", "1");
	nodes_add(n, NODE_BACK, "feature-max-indirect-segments", "%u", BLK_MAX_SEGMENTS);
	if (!s->opened)
		return;
	nodes_add(n, NODE_BACK, "feature-flush-cache", "%u", i->can_flush);
	/* A barrier orders one ring only, so it would not be one with several. */
	nodes_add(n, NODE_BACK, "feature-barrier", "%u", i->can_flush && s->max_queues == 1 ? 1u : 0u);
	nodes_add(n, NODE_BACK, "feature-discard", "%u", i->can_discard);
	if (i->can_discard) {
		nodes_add(n, NODE_BACK, "discard-granularity", "%u", i->discard_granularity);
		nodes_add(n, NODE_BACK, "discard-alignment", "%u", i->discard_alignment);
		nodes_add(n, NODE_BACK, "discard-secure", "%u", i->can_secure_discard);
	}
	if (s->cdrom)
		info |= VDISK_CDROM;
	if (s->removable || s->cdrom)
		info |= VDISK_REMOVABLE;
	if (s->readonly || i->readonly)
		info |= VDISK_READONLY;
	nodes_add(n, NODE_BACK, "sectors", "%llu", (unsigned long long)i->sectors);
	nodes_add(n, NODE_BACK, "sector-size", "%u", SECTOR_BYTES);
	nodes_add(n, NODE_BACK, "physical-sector-size", "%u", i->physical_sector);
	nodes_add(n, NODE_BACK, "info", "%u", info);
}

/* ---------------------------------------------------------------- opening */

static uint32_t blk_parts(const void *spec)
{
	const struct blk_spec *s = spec;

	return s->uri.kind == BLK_STORE_NBD ? BLK_PART_NBD : 0;
}

static int blk_open_new(void *spec, const char *device, struct open_job *j)
{
	struct blk_spec *s = spec;
	struct blk_open_priv *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->uri = s->uri;
	p->readonly = s->readonly;
	p->direct = s->direct;
	p->open.kind = (uint32_t)s->uri.kind;
	p->open.flags = (s->readonly ? BLK_O_READONLY : 0) | (s->discard && !s->readonly ? BLK_O_DISCARD : 0) |
			(s->max_queues == 1 ? BLK_O_BARRIER : 0);
	p->open.poll_max_us = s->poll_us;
	snprintf(p->open.name, sizeof(p->open.name), "%s", device);
	snprintf(p->open.export, sizeof(p->open.export), "%s", s->uri.export);
	p->before = fence_ref(s->fence);
	p->unanswered = j->unanswered;
	if (s->uri.kind == BLK_STORE_NBD && !s->fence && j->unanswered && s->blind_ns == 0)
		s->blind_ns = now_ns();
	p->blind_ns = s->blind_ns;
	p->open.flags |= s->poisoned ? BLK_O_POISONED : 0;
	p->witness = s->witness < 0 ? -1 : fcntl(s->witness, F_DUPFD_CLOEXEC, 3);
	j->priv = p;
	return 0;
}

/* Nothing of the last worker is under way any more. */
static int fence(const struct blk_open_priv *p, struct fault *f)
{
	if (p->readonly)
		return 0;
	if (p->before)
		return fence_wait(p->before, FENCE_WAIT_MS, p->unanswered, f);
	return p->blind_ns ? fence_blind(p->blind_ns, f) : 0;
}

/* What the last worker was told and has not told us. */
static void ask_witness(struct blk_open_priv *p, const struct image *im)
{
	if (p->uri.kind != BLK_STORE_FILE || p->readonly || (im->flags & (BLK_O_DIRECT | BLK_O_MEMORY)) ||
	    !image_witness(im->fd, &p->witness) || (p->open.flags & BLK_O_POISONED))
		return;
	p->open.flags |= BLK_O_POISONED;
	log_error(
		"%s: a write-back of the page cache has failed: every flush will fail until the disk is attached again",
		p->open.name);
}

static void blk_open_run(struct open_job *j)
{
	struct blk_open_priv *p = j->priv;
	struct image im = { .fd = -1 };

	j->err = fence(p, &j->fault);
	if (j->err < 0)
		return;
	j->err = image_open(&p->uri, p->readonly, p->direct, j->was, &im, &j->fault);
	j->id[0] = im.dev;
	j->id[1] = im.ino;
	if (j->err < 0)
		return;
	if (im.fd >= 0)
		j->fds[j->nr_fds++] = im.fd;
	if (p->uri.kind == BLK_STORE_NBD) {
		p->now = fence_new(im.fd);
		if (!p->now) {
			j->err = fault_set(&j->fault, FAULT_FAILED, -EMFILE, "out of memory or file descriptors");
			return;
		}
	}
	ask_witness(p, &im);
	p->open.flags |= im.flags;
	p->open.size = im.size;
	p->open.sector = im.sector;
	p->is_direct = (im.flags & BLK_O_DIRECT) != 0;
	p->is_file = p->uri.kind == BLK_STORE_FILE && !(im.flags & (BLK_O_READONLY | BLK_O_BLOCKDEV));
	j->file_bytes = p->is_file ? im.size : 0;
	memcpy(p->cache_why, im.cache_why, sizeof(p->cache_why));
	_Static_assert(sizeof(p->open) <= sizeof(j->body), "an open body fits its job");
	memcpy(j->body, &p->open, sizeof(p->open));
	j->bytes = sizeof(p->open);
}

static int blk_look_run(struct open_job *j)
{
	const struct blk_open_priv *p = j->priv;

	return image_look(&p->uri, j->was, &j->fault);
}

static void blk_open_told(void *spec, const struct open_job *j)
{
	struct blk_spec *s = spec;
	struct blk_open_priv *p = j->priv;

	s->is_direct = p->is_direct;
	s->is_file = p->is_file;
	memcpy(s->cache_why, p->cache_why, sizeof(s->cache_why));
	fence_put(s->fence);
	s->fence = fence_ref(p->now);
	s->blind_ns = 0;
	s->poisoned = (p->open.flags & BLK_O_POISONED) != 0;
	if (s->witness >= 0)
		close(s->witness);
	s->witness = p->witness;
	p->witness = -1;
}

#define KEPT_DIRECT 0x1u
#define KEPT_FILE   0x2u

struct blk_kept {
	uint32_t is; /* KEPT_* */
	char cache_why[96];
};

static uint32_t blk_keep(const void *spec, void *body, int fds[WIRE_MAX_FDS], uint32_t *nr_fds)
{
	const struct blk_spec *s = spec;
	struct blk_kept k = { .is = (s->is_direct ? KEPT_DIRECT : 0) | (s->is_file ? KEPT_FILE : 0) };

	_Static_assert(sizeof(k) <= WIRE_TAG_MAX, "what is kept of a disk fits a tag");
	memcpy(k.cache_why, s->cache_why, sizeof(k.cache_why));
	memcpy(body, &k, sizeof(k));
	*nr_fds = 0;
	if (s->fence)
		fds[(*nr_fds)++] = fence_fd(s->fence);
	else if (s->witness >= 0)
		fds[(*nr_fds)++] = s->witness;
	return sizeof(k);
}

static int blk_taken(void *spec, const struct taken *t)
{
	struct blk_spec *s = spec;
	struct blk_kept k;

	if (t->bytes != sizeof(k) || t->nr_fds > (s->uri.kind != BLK_STORE_NULL))
		return -EPROTO;
	memcpy(&k, t->body, sizeof(k));
	for (size_t i = 0; i < sizeof(k.cache_why) && k.cache_why[i]; i++)
		if (k.cache_why[i] < 0x20 || k.cache_why[i] > 0x7e)
			return -EPROTO;
	if (!memchr(k.cache_why, '\0', sizeof(k.cache_why)))
		return -EPROTO;
	s->is_direct = (k.is & KEPT_DIRECT) != 0;
	s->is_file = (k.is & KEPT_FILE) != 0;
	memcpy(s->cache_why, k.cache_why, sizeof(s->cache_why));
	if (t->nr_fds && s->uri.kind == BLK_STORE_FILE) {
		s->witness = t->fds[0];
	} else if (t->nr_fds) {
		s->fence = fence_new(t->fds[0]); /* one that is none is as good as none */
		close(t->fds[0]);
	}
	return 0;
}

static void blk_open_free(struct open_job *j)
{
	struct blk_open_priv *p = j->priv;

	for (uint32_t i = 0; i < j->nr_fds; i++)
		close(j->fds[i]);
	j->nr_fds = 0;
	if (p) {
		fence_put(p->before);
		fence_put(p->now);
		if (p->witness >= 0)
			close(p->witness);
	}
	free(p);
	j->priv = NULL;
}

static bool power_of_two(uint32_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* The worker may have been taken over by its guest: what it says goes to that guest only, but must be sane. */
static int blk_info(void *spec, const void *body, size_t bytes, uint64_t file_bytes)
{
	struct blk_spec *s = spec;
	struct blk_info i;
	bool changed;

	if (bytes != sizeof(i))
		return -EPROTO;
	memcpy(&i, body, sizeof(i));
	i.engine[sizeof(i.engine) - 1] = '\0';
	for (char *p = i.engine; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return -EPROTO;
	if (i.sectors > UINT64_MAX / SECTOR_BYTES || !power_of_two(i.physical_sector) ||
	    i.physical_sector < SECTOR_BYTES)
		return -EPROTO;
	if (i.can_flush > 1 || i.can_discard > 1 || i.can_secure_discard > 1 || i.readonly > 1)
		return -EPROTO;
	if (s->is_file && i.sectors > file_bytes / SECTOR_BYTES)
		return -EFBIG;
	if (!s->discard || s->readonly || i.readonly)
		i.can_discard = i.can_secure_discard = 0;
	changed = s->told && i.sectors != s->info.sectors;
	s->info = i;
	s->opened = s->told = true;
	return changed;
}

static int blk_front(const void *spec, const struct node_getter *g, struct front_params *ret, char why[REASON_MAX])
{
	const struct blk_spec *s = spec;
	const struct blk_front_limits lim = { .max_queues = s->max_queues,
					      .max_order = WIRE_MAX_ORDER,
					      .persistent = true };

	return blk_front_parse(g, &lim, ret, why);
}

static int blk_resize_run(struct open_job *j, uint64_t size)
{
	const struct blk_open_priv *p = j->priv;
	int err;

	if (size == 0) {
		j->file_bytes = p->readonly ? 0 : image_file_bytes(&p->uri, j->was);
		return 0;
	}
	if (p->readonly)
		return fault_set(&j->fault, FAULT_USAGE, -EROFS, "the disk is attached read-only");
	err = image_resize(&p->uri, size, j->was, &j->fault);
	if (err == 0)
		j->file_bytes = size;
	return err;
}

/* ---------------------------------------------------------------- showing */

static void blk_show(const void *spec, const struct front_params *p, json_object *o)
{
	static const char *const abi[BLK_NR_ABIS] = {
		[BLK_ABI_NATIVE] = "native", [BLK_ABI_X86_32] = "x86_32-abi", [BLK_ABI_X86_64] = "x86_64-abi"
	};
	const struct blk_spec *s = spec;

	show_text(o, "target", s->target);
	json_object_object_add(o, "ro", json_object_new_boolean(s->readonly));
	json_object_object_add(o, "cdrom", json_object_new_boolean(s->cdrom));
	json_object_object_add(o, "removable", json_object_new_boolean(s->removable || s->cdrom));
	show_number(o, "size", s->opened, s->info.sectors * SECTOR_BYTES);
	if (s->uri.kind == BLK_STORE_FILE)
		show_text(o, "cache", s->opened ? (s->is_direct ? "direct" : "buffered") : "");
	else
		show_text(o, "cache", "");
	show_text(o, "cache_why", s->cache_why);
	show_text(o, "engine", s->opened ? s->info.engine : "");
	show_number(o, "queues", p != NULL, p ? p->wire.nr_queues : 0);
	show_number(o, "max_queues", true, s->max_queues);
	show_number(o, "ring_pages", p != NULL, p ? 1u << p->wire.order : 0);
	show_text(o, "protocol", p && p->wire.abi < BLK_NR_ABIS ? abi[p->wire.abi] : "");
	json_object_object_add(o, "persistent",
			       p ? json_object_new_boolean((p->wire.features & BLK_F_PERSISTENT) != 0) : NULL);
	show_number(o, "physical_sector", s->opened, s->info.physical_sector);
	json_object_object_add(o, "discard", s->opened ? json_object_new_boolean(s->info.can_discard != 0) : NULL);
}

static const struct control_class block_control_class = {
	.name = "disk",
	.type = "vbd",
	.user_type = "svbd",
	.program = "synth-blkd",
	.worker = "synth-blkd-worker",
	.stem = "blkd",
	.dev_parse = vdev_parse,
	.dev_name = vdev_name,
	.dev_nth = vdev_nth,
	.spec_new = blk_spec_new,
	.spec_load = blk_spec_load,
	.spec_free = blk_spec_free,
	.nodes_birth = blk_nodes_birth,
	.nodes_live = blk_nodes_live,
	.parts = blk_parts,
	.open_new = blk_open_new,
	.open_run = blk_open_run,
	.look_run = blk_look_run,
	.open_told = blk_open_told,
	.open_free = blk_open_free,
	.keep = blk_keep,
	.taken = blk_taken,
	.info = blk_info,
	.journal_bytes = blk_journal_bytes,
	.unanswered = blk_journal_unanswered,
	.front = blk_front,
	.resize_run = blk_resize_run,
	.show = blk_show,
};

const struct control_class *const daemon_class = &block_control_class;
