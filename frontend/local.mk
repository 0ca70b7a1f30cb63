# SPDX-License-Identifier: LGPL-2.1-or-later
# core/ knows no device class; one folder a class.
frontend_cppflags = $(AM_CPPFLAGS) -D__XEN_TOOLS__ $(XENEVTCHN_CFLAGS) $(XENGNTTAB_CFLAGS) $(XENSTORE_CFLAGS)

noinst_LTLIBRARIES += frontend/libsynth-front.la frontend/libsynth-front-tool.la \
	frontend/libsynth-blkfront-pure.la frontend/libsynth-blkfront.la

frontend_libsynth_front_la_SOURCES = \
	frontend/core/share.h frontend/core/share.c \
	frontend/core/front.h frontend/core/front.c \
	frontend/core/pace.h frontend/core/pace.c \
	frontend/core/watch.h frontend/core/watch.c
frontend_libsynth_front_la_CPPFLAGS = $(frontend_cppflags)
frontend_libsynth_front_la_LIBADD = common/libsynth-common.la

frontend_libsynth_front_tool_la_SOURCES = frontend/core/tool.h frontend/core/tool.c
frontend_libsynth_front_tool_la_CPPFLAGS = $(frontend_cppflags) $(JSONC_CFLAGS)

# What decides about a back end's bytes: a fuzzer links it alone.
frontend_libsynth_blkfront_pure_la_SOURCES = \
	frontend/block/blk-rsp.h frontend/block/blk-rsp.c \
	frontend/block/blk-verify.h frontend/block/blk-verify.c

frontend_libsynth_blkfront_la_SOURCES = \
	frontend/block/blkfront.h frontend/block/blkfront-impl.h \
	frontend/block/blkfront.c frontend/block/blkfront-queue.c frontend/block/blkfront-io.c
frontend_libsynth_blkfront_la_CPPFLAGS = $(frontend_cppflags)
frontend_libsynth_blkfront_la_LIBADD = frontend/libsynth-blkfront-pure.la frontend/libsynth-front.la

bin_PROGRAMS += frontend/synth-blkfront
frontend_synth_blkfront_SOURCES = \
	frontend/block/synth-blkfront.h frontend/block/synth-blkfront.c \
	frontend/block/blk-io.c frontend/block/blk-copy.c
frontend_synth_blkfront_CPPFLAGS = $(frontend_cppflags) $(JSONC_CFLAGS)
frontend_synth_blkfront_LDADD = frontend/libsynth-front-tool.la frontend/libsynth-blkfront.la $(XEN_LIBS) $(JSONC_LIBS) -lpthread

pods += frontend/block/synth-blkfront.1.pod frontend/net/synth-netfront.1.pod
dist_bashcompletion_DATA += frontend/net/synth-netfront.bash

# Found by `synth-blkfront serve` here (frontend/.libs) and where it is installed.
if HAVE_NBDKIT
pkglib_LTLIBRARIES += frontend/nbdkit-synth-plugin.la
frontend_nbdkit_synth_plugin_la_SOURCES = frontend/block/nbdkit-synth-plugin.c
frontend_nbdkit_synth_plugin_la_CPPFLAGS = $(frontend_cppflags) $(NBDKIT_CFLAGS)
frontend_nbdkit_synth_plugin_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared
frontend_nbdkit_synth_plugin_la_LIBADD = frontend/libsynth-blkfront.la $(XEN_LIBS) -lpthread
endif

# Network
noinst_LTLIBRARIES += frontend/libsynth-netfront-pure.la frontend/libsynth-netfront.la

frontend_libsynth_netfront_pure_la_SOURCES = \
	frontend/net/net-rsp.h frontend/net/net-rsp.c \
	frontend/net/net-probe.h frontend/net/net-probe.c

frontend_libsynth_netfront_la_SOURCES = frontend/net/netfront.h frontend/net/netfront.c
frontend_libsynth_netfront_la_CPPFLAGS = $(frontend_cppflags)
frontend_libsynth_netfront_la_LIBADD = frontend/libsynth-netfront-pure.la frontend/libsynth-front.la

bin_PROGRAMS += frontend/synth-netfront
frontend_synth_netfront_SOURCES = \
	frontend/net/synth-netfront.h frontend/net/synth-netfront.c \
	frontend/net/net-io.c frontend/net/net-up.c \
	frontend/net/tap.h frontend/net/tap.c
frontend_synth_netfront_CPPFLAGS = $(frontend_cppflags) $(JSONC_CFLAGS)
frontend_synth_netfront_LDADD = frontend/libsynth-front-tool.la frontend/libsynth-netfront.la $(XEN_LIBS) $(JSONC_LIBS) -lpthread

if HAVE_CMOCKA
frontend_tests = frontend/core/test-pace frontend/block/test-blk-rsp frontend/block/test-blk-verify frontend/net/test-net-rsp frontend/net/test-net-probe
check_PROGRAMS += $(frontend_tests)
TESTS += $(frontend_tests)
frontend_core_test_pace_SOURCES = frontend/core/test-pace.c frontend/core/pace.c
frontend_core_test_pace_LDADD = $(CMOCKA_LIBS)
frontend_block_test_blk_rsp_LDADD = frontend/libsynth-blkfront-pure.la common/libsynth-pure.la $(CMOCKA_LIBS)
frontend_block_test_blk_verify_LDADD = frontend/libsynth-blkfront-pure.la common/libsynth-pure.la $(CMOCKA_LIBS)
frontend_net_test_net_rsp_LDADD = frontend/libsynth-netfront-pure.la common/libsynth-pure.la $(CMOCKA_LIBS)
frontend_net_test_net_probe_LDADD = frontend/libsynth-netfront-pure.la common/libsynth-pure.la $(CMOCKA_LIBS)
endif

include tests/frontend/local.mk
include tests/netfront/local.mk
