# SPDX-License-Identifier: LGPL-2.1-or-later
# common/: knows no device class.  libsynth-pure has no system call in it but the clock and stderr (fuzzers link
# it alone); libsynth-common adds the Xen and kernel mechanisms.
noinst_LTLIBRARIES += common/libsynth-pure.la common/libsynth-common.la

common_libsynth_pure_la_SOURCES = \
	common/base/base.h common/base/exit.h common/base/list.h common/base/time.c \
	common/base/crash.h common/base/crash.c \
	common/span/span.h common/span/span.c \
	common/ring/ring.h common/ring/ring.c \
	common/ring/redo.h common/ring/redo.c \
	common/xenbus/xenbus.h common/xenbus/back.c common/xenbus/front.c \
	common/log/log.h common/log/log.c \
	common/net/frame.h common/net/frame.c common/net/offload.h common/net/offload.c \
	common/net/cut.h common/net/cut.c common/net/mac.h common/net/mac.c \
	common/metrics/metrics.h common/metrics/metrics.c \
	common/xen/vdev.h common/xen/vdev.c

common_libsynth_common_la_SOURCES = \
	common/event/loop.h common/event/loop.c \
	common/xen/evtchn.h common/xen/evtchn.c \
	common/xen/grant.h common/xen/grant.c \
	common/xen/store.h common/xen/store.c \
	common/xen/paths.h common/xen/paths.c
common_libsynth_common_la_CPPFLAGS = $(AM_CPPFLAGS) -D__XEN_TOOLS__ $(XENEVTCHN_CFLAGS) $(XENGNTTAB_CFLAGS) $(XENSTORE_CFLAGS)
common_libsynth_common_la_LIBADD = common/libsynth-pure.la

# What a program that uses all of it links.
XEN_LIBS = $(XENEVTCHN_LIBS) $(XENGNTTAB_LIBS) $(XENSTORE_LIBS)

if HAVE_CMOCKA
common_tests = common/ring/test-ring common/ring/test-redo common/span/test-span common/xenbus/test-xenbus common/event/test-loop \
	common/metrics/test-metrics common/net/test-frame common/net/test-cut common/net/test-mac common/xen/test-vdev
check_PROGRAMS += $(common_tests)
TESTS += $(common_tests)
common_ring_test_ring_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS) -lpthread
common_ring_test_redo_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
common_span_test_span_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
common_xenbus_test_xenbus_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
common_event_test_loop_LDADD = common/libsynth-common.la $(CMOCKA_LIBS) $(XEN_LIBS)
common_net_test_frame_SOURCES = common/net/test-frame.c common/net/test-frame.h
common_net_test_cut_SOURCES = common/net/test-cut.c common/net/test-frame.h
common_net_test_cut_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
common_net_test_mac_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
common_net_test_frame_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
common_metrics_test_metrics_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
common_xen_test_vdev_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)
endif
