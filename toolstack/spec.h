/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * spec.h - what a person types to name a disk image and its place in the guest: "file:/srv/a.img=xvda".  Pure.
 *
 *   TARGET[=DEV]      DEV is xvdX, sdX or hdX; only the last "=" counts, and only when such a name follows it
 *   PATH, file:PATH   a file or block device; a relative path is taken from @cwd; no %-escapes
 *   nbd://HOST[:PORT][/EXPORT]
 *   nbd+unix:///[EXPORT]?socket=PATH
 *   null:SIZE         reads zeros, forgets writes
 *
 * The same structure is filled from xl's syntax (xl-disk-configuration(5)), so that `synthctl block-attach` takes
 * what `xl block-attach` takes.
 *
 * The daemon checks all of it again: this is for clear and early messages, not for safety.
 */
#ifndef SYNTH_SPEC_H
#define SYNTH_SPEC_H

#include "common/base/base.h"

#define SPEC_TARGET_MAX 1024u /* bytes, NUL included */
#define SPEC_DEV_MAX    16u

struct spec {
	char target[SPEC_TARGET_MAX]; /* with its scheme; file paths are absolute */
	char dev[SPEC_DEV_MAX];       /* "" when not said */
	/* only xl's syntax says these */
	bool ro, cdrom, removable, no_discard;
};

/* A message of ours, without a full stop; valid until the next call of the thread. */
typedef const char *spec_why;

/* 0, or -EINVAL with *why set.  @cwd is absolute. */
int spec_parse(const char *text, const char *cwd, struct spec *ret, spec_why *why) __must_check;
/* xl's syntax: "target=/srv/a.img,vdev=xvda,access=ro", "/srv/a.img,raw,xvda,rw", "phy:/dev/vg/a,xvda,w". */
int spec_parse_xl(const char *text, const char *cwd, struct spec *ret, spec_why *why) __must_check;

/* True for xvda, xvdaa, xvda1, sda, hdc and their like. */
bool spec_is_dev(const char *text);

/* "DOM/DEV" into its halves, both non-empty and without control characters.  Domain names may hold a '/': the last one counts. */
int spec_parse_device(const char *text, char *dom, size_t dom_bytes, char *dev, size_t dev_bytes) __must_check;

#endif
