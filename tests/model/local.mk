# SPDX-License-Identifier: LGPL-2.1-or-later
# Ring, journal and crash, explored exhaustively: README.md.
check_PROGRAMS += tests/model/model
tests_model_model_SOURCES = tests/model/main.c tests/model/model.h tests/model/explore.c tests/model/explore.h \
	tests/model/block.c tests/model/rings.c tests/model/net.c
tests_model_model_LDADD = common/libsynth-pure.la

TESTS += tests/model/model.t tests/model/steps.t
EXTRA_DIST += tests/model/model.t tests/model/steps.t tests/model/README.md
