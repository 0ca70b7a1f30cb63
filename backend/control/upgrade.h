/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * upgrade.h - the daemon becomes another program, and each worker hands its guest to one of the other's.
 */
#ifndef SYNTH_UPGRADE_H
#define SYNTH_UPGRADE_H

#include "backend/control/control.h"

#define UPGRADE_PAUSES 4096u

struct upgrade;

/* At start: @argv is what the next program is started with too; upgrades are counted in @rundir. */
int upgrade_open(struct control *c, const char *rundir, char **argv) __must_check;
void upgrade_close(struct control *c);
/* This program afresh, in this process, workers serving on.  Returns when that cannot be. */
void upgrade_restart(struct control *c);
/*
 * Ask @program (NULL: what lies where ours was started from) whether it can take over; if so, answer @req and become it.
 * If not, @req fails and all is as it was.
 */
void upgrade_start(struct control *c, const char *program, struct ctl_req *req);
/* A device may wait for a worker that can be asked, or a worker be ready that cannot be: see to it. */
void upgrade_look(struct control *c);
/* At start: workers of before the last upgrade are replaced. */
void upgrade_workers(struct control *c);
struct json_object *upgrade_json(const struct control *c);

/* `--reads-journal N --speaks-wire M`: exit status.  @journal, @wire 0: not asked. */
int upgrade_answer(const struct control_class *k, uint32_t journal, uint32_t wire);

#endif
