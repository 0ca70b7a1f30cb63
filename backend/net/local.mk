# SPDX-License-Identifier: LGPL-2.1-or-later
# The network class.  libnet-pure.la: what fuzzers and unit tests link, no system call in it.
noinst_LTLIBRARIES += backend/libnet-pure.la
backend_libnet_pure_la_SOURCES = \
	backend/net/net-wire.h \
	backend/net/net-tx.h backend/net/net-tx.c \
	backend/net/net-rx.h backend/net/net-rx.c \
	backend/net/net-hdr.h backend/net/net-hdr.c \
	backend/net/net-rate.h backend/net/net-rate.c \
	backend/net/net-mcast.h backend/net/net-mcast.c \
	backend/net/net-journal.h \
	backend/net/net-pace.h backend/net/net-pace.c \
	backend/net/pair-ring.h backend/net/pair-ring.c
backend_libnet_pure_la_LIBADD = common/libsynth-pure.la

pkglibexec_PROGRAMS += backend/synth-netd-worker
backend_synth_netd_worker_SOURCES = $(worker_sources) \
	backend/net/net.c \
	backend/net/net-queue.h backend/net/net-queue.c backend/net/net-queue-tx.c backend/net/net-queue-rx.c \
	backend/net/net-trace.h backend/net/net-trace.c \
	backend/net/link.h backend/net/link.c backend/net/link-tap.c backend/net/link-stream.c \
	backend/net/link-pair.c
backend_synth_netd_worker_CPPFLAGS = $(worker_cppflags)
backend_synth_netd_worker_LDADD = backend/libnet-pure.la backend/libwire.la common/libsynth-common.la $(XEN_LIBS) $(worker_libs) -lpthread

sbin_PROGRAMS += backend/synth-netd
backend_synth_netd_SOURCES = $(control_sources) \
	backend/net/net-control.c \
	backend/net/net-front.h backend/net/net-front.c \
	backend/net/net-target.h backend/net/net-target.c \
	backend/net/tap.h backend/net/tap.c backend/net/pair.h backend/net/pair.c
backend_synth_netd_CPPFLAGS = $(AM_CPPFLAGS) $(JSONC_CFLAGS) $(XENCONTROL_CFLAGS)
backend_synth_netd_LDADD = backend/libnet-pure.la $(control_ldadd)

pods += backend/net/synth-netd.8.pod

# What xl runs when it detaches one of our nics (the `script` node names it).
dist_xenscripts_SCRIPTS += backend/net/vif-synth

if HAVE_CMOCKA
net_tests = backend/net/test-net-tx backend/net/test-net-hdr backend/net/test-net-front backend/net/test-net-pace backend/net/test-pair-ring backend/net/test-link-pair
check_PROGRAMS += $(net_tests)
TESTS += $(net_tests)
backend_net_test_net_tx_LDADD = backend/libnet-pure.la $(CMOCKA_LIBS)
backend_net_test_net_hdr_LDADD = backend/libnet-pure.la $(CMOCKA_LIBS)
backend_net_test_net_pace_LDADD = backend/libnet-pure.la $(CMOCKA_LIBS)
backend_net_test_pair_ring_LDADD = backend/libnet-pure.la $(CMOCKA_LIBS) -lpthread
backend_net_test_link_pair_SOURCES = backend/net/test-link-pair.c backend/net/link.h backend/net/link-pair.c
backend_net_test_link_pair_LDADD = backend/libnet-pure.la $(CMOCKA_LIBS)
backend_net_test_net_front_SOURCES = backend/net/test-net-front.c backend/net/net-front.h backend/net/net-front.c
backend_net_test_net_front_LDADD = backend/libnet-pure.la backend/libcontrol-pure.la $(CMOCKA_LIBS)
endif
