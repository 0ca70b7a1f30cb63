# SPDX-License-Identifier: LGPL-2.1-or-later
# Built by run.sh, with clang and without autotools.  A new target: its file here, and inputs in corpus/NAME.
EXTRA_DIST += tests/fuzz/run.sh tests/fuzz/replay.c tests/fuzz/fuzz.h tests/fuzz/mortal.h tests/fuzz/nodes.h tests/fuzz/spec.h tests/fuzz/quiet.h tests/fuzz/corpus \
	tests/fuzz/fuzz-blk-front.c tests/fuzz/fuzz-blk-journal.c tests/fuzz/fuzz-journal.c \
	tests/fuzz/fuzz-blk-parse.c \
	tests/fuzz/fuzz-blk-rsp.c tests/fuzz/fuzz-cmd.c tests/fuzz/fuzz-worker.c \
	tests/fuzz/fuzz-image-uri.c \
	tests/fuzz/fuzz-net-front.c \
	tests/fuzz/fuzz-net-mcast.c \
	tests/fuzz/fuzz-net-rx.c \
	tests/fuzz/fuzz-net-tx.c \
	tests/fuzz/fuzz-pair-ring.c \
	tests/fuzz/fuzz-redo.c tests/fuzz/fuzz-ring.c \
	tests/fuzz/fuzz-spec-disk.c \
	tests/fuzz/fuzz-spec-nic.c \
	tests/fuzz/fuzz-text.c \
	tests/fuzz/fuzz-wire.c \
	tests/fuzz/fuzz-xenbus.c
