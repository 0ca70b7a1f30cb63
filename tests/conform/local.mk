# SPDX-License-Identifier: LGPL-2.1-or-later
check_PROGRAMS += tests/conform/conform
tests_conform_conform_SOURCES = tests/conform/conform.c tests/conform/agent.c tests/conform/evtchn.c \
	tests/conform/grant.c tests/conform/copy.c tests/conform/death.c tests/conform/store.c \
	tests/conform/domain.c
tests_conform_conform_CPPFLAGS = $(AM_CPPFLAGS) $(XENGNTTAB_CFLAGS) $(XENEVTCHN_CFLAGS) $(XENSTORE_CFLAGS) $(XENCONTROL_CFLAGS)
tests_conform_conform_LDADD = $(XENGNTTAB_LIBS) $(XENEVTCHN_LIBS) $(XENSTORE_LIBS) $(XENCONTROL_LIBS) -lpthread
noinst_HEADERS += tests/conform/conform.h
EXTRA_DIST += tests/conform/README.md

dist_check_SCRIPTS += tests/conform/conform.t
TESTS += tests/conform/conform.t

# Needs everything built: installed programs are what it looks at.
dist_check_SCRIPTS += tests/test-bindings.sh
TESTS += tests/test-bindings.sh
