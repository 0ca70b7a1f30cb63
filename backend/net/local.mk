# SPDX-License-Identifier: LGPL-2.1-or-later
# The network class.  libnet-pure.la: what fuzzers and unit tests link, no system call in it.
noinst_LTLIBRARIES += backend/libnet-pure.la
backend_libnet_pure_la_SOURCES = \
	backend/net/net-wire.h \
	backend/net/net-tx.h backend/net/net-tx.c \
	backend/net/net-rx.h backend/net/net-rx.c \
	backend/net/net-hdr.h backend/net/net-hdr.c \
	backend/net/net-rate.h backend/net/net-rate.c \
	backend/net/net-mcast.h backend/net/net-mcast.c
backend_libnet_pure_la_LIBADD = common/libsynth-pure.la

if HAVE_CMOCKA
net_tests = backend/net/test-net-tx backend/net/test-net-hdr backend/net/test-net-front
check_PROGRAMS += $(net_tests)
TESTS += $(net_tests)
backend_net_test_net_tx_LDADD = backend/libnet-pure.la $(CMOCKA_LIBS)
backend_net_test_net_hdr_LDADD = backend/libnet-pure.la $(CMOCKA_LIBS)
backend_net_test_net_front_SOURCES = backend/net/test-net-front.c backend/net/net-front.h backend/net/net-front.c
backend_net_test_net_front_LDADD = backend/libnet-pure.la backend/libcontrol-pure.la $(CMOCKA_LIBS)
endif
