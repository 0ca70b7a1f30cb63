/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * base.h - the few small things every file needs.  Pure.
 */
#ifndef SYNTH_BASE_H
#define SYNTH_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_SIZE(a)         (sizeof(a) / sizeof((a)[0]))
#define container_of(p, t, m) ((t *)(void *)((char *)(p)-offsetof(t, m)))
#define __must_check          __attribute__((warn_unused_result))
#define __printf(f, a)        __attribute__((format(printf, f, a)))
#define likely(x)             __builtin_expect(!!(x), 1)
#define unlikely(x)           __builtin_expect(!!(x), 0)

#define PAGE_BYTES   4096u /* a grant is always 4 KiB, whatever the host's page size */
#define SECTOR_BYTES 512u  /* the unit of blkif, whatever the image's */

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* A shared word read once, whole, by the compiler's promise. */
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))

/* Monotonic time in nanoseconds. */
uint64_t now_ns(void);

#endif
