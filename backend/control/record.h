/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * record.h - the journal file of a device (backend/journal.h), from the control plane's side: made when the front end
 * connects, handed to each worker that serves it, removed when they have let go of the rings.
 *
 * It is $SYNTH_RUNDIR/journal/STEM-UUID, and outlives the daemon: what the rings of a connected device are is taken from
 * there, not from xenstore, where its guest may have written something else since.
 */
#ifndef SYNTH_RECORD_H
#define SYNTH_RECORD_H

#include "backend/control/control.h"

/* Where they are; makes the directory. */
int record_dir(const char *rundir) __must_check;
/* For the connection of d->params: the file's fd, which is the caller's, or -errno. */
int record_create(struct device *d, struct fault *f) __must_check;
/* The fd of one that is there, its head checked and copied to @p; -ENOENT: none; -EBADMSG: damaged, or not this device's. */
int record_open(const struct device *d, struct front_params *p) __must_check;
/*
 * What the device stood on when its front end connected (struct open_job.id): 0, 0 when no journal is there, or none that could be
 * gone on from.  -errno: it cannot be told now.
 */
int record_identity(const struct device *d, uint64_t id[2]) __must_check;
/* Had its last worker something under way, by what the journal says?  When it cannot be read: as far as we know. */
bool record_unanswered(const struct device *d);
bool record_there(const struct device *d);
void record_remove(const struct device *d);
/* At start: remove those that no device in control.devices has. */
void record_sweep(struct control *c);

#endif
