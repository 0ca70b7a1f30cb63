/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mortal.h - for targets which kill what they test at any of its crash points: the death is a jump to the grave, where its successor starts.
 * Included before the source under test, whose crash points (common/base/crash.h) end up here.
 */
#ifndef SYNTH_FUZZ_MORTAL_H
#define SYNTH_FUZZ_MORTAL_H

#define SYNTH_CRASH_POINTS
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

void crash_point(const char *name);

static sigjmp_buf grave;    /* sigsetjmp(grave, 0): not 0 after a death */
static uint32_t steps_left; /* crash points which are survived yet */
static bool mortal;

void crash_point(const char *name)
{
	if (mortal && steps_left-- == 0)
		siglongjmp(grave, 1);
}

#endif
