# SPDX-License-Identifier: LGPL-2.1-or-later
# Nics: what they do for guests that behave, and what a guest that does not can do.
check_PROGRAMS += tests/net/badnic
tests_net_badnic_SOURCES = tests/net/badnic.c tests/net/badnic-front.c tests/net/badnic-sins.c tests/net/badnic.h
tests_net_badnic_CPPFLAGS = $(AM_CPPFLAGS) -D__XEN_TOOLS__ $(XENEVTCHN_CFLAGS) $(XENGNTTAB_CFLAGS) $(XENSTORE_CFLAGS)
tests_net_badnic_LDADD = common/libsynth-common.la $(XEN_LIBS)

net_system_tests = tests/net/crash.t tests/net/frames.t tests/net/hostile.t tests/net/links.t tests/net/reconnect.t tests/net/settings.t
EXTRA_DIST += tests/net/lib.sh tests/net/stream-peer.pl tests/net/tagged.pl tests/net/pcap.pl $(net_system_tests)
TESTS += $(net_system_tests)
