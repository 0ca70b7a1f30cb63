#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A worker, its guest and its control plane on a hostxen of their own: test-worker.c, its cases as TAP.
set -u
export SYNTH_LIBEXECDIR=$SYNTH_BUILDDIR/backend SYNTH_LIBDIR=$SYNTH_BUILDDIR
hostxen=$SYNTH_BUILDDIR/hostxen/hostxen
test=$SYNTH_BUILDDIR/backend/worker/test-worker
[ -x "$test" ] || { echo '1..0 # SKIP built without cmocka'; exit 0; }
HOSTXEN_DIR=$(mktemp -d)
export HOSTXEN_DIR
trap '"$hostxen" stop; rm -rf "$HOSTXEN_DIR"' EXIT
trap 'exit 1' INT TERM
"$hostxen" start || exit 1
CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 200 "$hostxen" run -d 1 -- "$test"
