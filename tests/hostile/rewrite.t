# SPDX-License-Identifier: LGPL-2.1-or-later
# rewrite.t - a ring whose pages are rewritten by threads of the guest while a worker serves it: in one process, so that sanitizers see it.
exec "${SYNTH_BUILDDIR:-.}/tests/hostile/rewrite" "${REWRITE_MS:-1000}" "${SEED:-$RANDOM}"
