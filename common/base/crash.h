/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * crash.h - places where a test kills a process (configure --enable-crash-points; compiled out otherwise).
 *
 * Each step of taking, completing and recovering a request has a name, the same as in tests/model.  $SYNTH_CRASH says
 * where to end, at once and with nothing more run: "NAME:HIT" at the HIT-th time that NAME is passed, "NAME:HIT/N" so in
 * every N-th life only, "NAME:HIT=N" in the N-th (crash_life() numbers them), several of them separated by commas.
 *
 * By exit_group(0): the first process of a PID namespace cannot SIGKILL itself, and to die of a system call that the
 * sandbox forbids would count as the worker's own fault.
 */
#ifndef SYNTH_CRASH_H
#define SYNTH_CRASH_H

#include <stdint.h>

#ifdef SYNTH_CRASH_POINTS
void crash_point(const char *name);
void crash_life(uint32_t number);
#define CRASH_POINT(name) crash_point(name)
#else
#define CRASH_POINT(name) ((void)0)
static inline void crash_life(uint32_t number)
{
	(void)number;
}
#endif

#endif
