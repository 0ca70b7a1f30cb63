/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store-window.h - a file that lives in memory, seen through a mapping instead of through read and write.
 *
 * For such a file preadv() spends most of its time on the way to the copy; through a mapping a 4 KiB transfer is
 * the copy alone (measured here on tmpfs: 2.0 us against 0.7 us).  Three things must be kept as they were:
 *
 *   - A file shrunk under us, or memory that cannot be had (ENOSPC), is SIGBUS on a mapping: caught, and made an
 *     error of that one transfer (window.c, "guard").
 *   - Reading a hole through a mapping allocates it.  So the window is used only while the file has no holes:
 *     window_usable(); a discard closes it.
 *   - Mapped pages count as our memory although they are the file's: window_idle() lets go of them.
 *
 * The mapping may be replaced by a bigger one at any time (resize); old ones stay until window_free().
 */
#ifndef SYNTH_STORE_WINDOW_H
#define SYNTH_STORE_WINDOW_H

#include "backend/block/store.h"

struct file;
struct window;

struct window *window_new(struct file *f); /* NULL: cannot be mapped */
void window_free(struct window *w);        /* NULL ok */
void window_resize(struct window *w, struct file *f, uint64_t size);
/* Looks at the file's holes again, now and then; cheap otherwise. */
void window_recheck(struct window *w, struct file *f);
bool window_usable(const struct window *w, const struct file *f);
/* Copies io->bytes; sets io->result.  False: outside the window, nothing was done. */
bool window_transfer(const struct window *w, struct store_io *io);
void window_idle(struct window *w);

#endif
