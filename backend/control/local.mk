# SPDX-License-Identifier: LGPL-2.1-or-later
# The control plane: one daemon a device class, of the same core.
control_sources = \
	backend/control/main.c backend/control/control.h backend/control/class.h \
	backend/control/ctl.c backend/control/ctl.h backend/control/cmd.c \
	backend/control/guest.c backend/control/guest.h \
	backend/control/instance.c backend/control/open.c backend/control/connect.c backend/control/layout.c \
	backend/control/discover.c backend/control/kept.c backend/control/supervise.c \
	backend/control/find.c backend/control/worker.h \
	backend/control/listener.c backend/control/listener.h \
	backend/control/upgrade.c backend/control/upgrade.h \
	backend/control/spawn.c backend/control/spawn.h \
	backend/control/domain.c backend/control/domain.h \
	backend/control/job.c backend/control/job.h \
	backend/control/record.c backend/control/record.h \
	backend/control/spec.c backend/control/spec.h
control_ldadd = backend/libcontrol-pure.la backend/libwire.la common/libsynth-common.la \
	$(XEN_LIBS) $(XENCONTROL_LIBS) $(JSONC_LIBS) -lpthread

sbin_PROGRAMS += backend/synth-blkd
backend_synth_blkd_SOURCES = $(control_sources) \
	backend/block/blk-control.c backend/block/fence.c backend/block/fence.h \
	backend/block/image.c
backend_synth_blkd_CPPFLAGS = $(AM_CPPFLAGS) $(JSONC_CFLAGS) $(XENCONTROL_CFLAGS)
backend_synth_blkd_LDADD = backend/libblk-pure.la $(control_ldadd)

# What unit tests and fuzzers link: no system call in it.
noinst_LTLIBRARIES += backend/libcontrol-pure.la
backend_libcontrol_pure_la_SOURCES = \
	backend/control/fault.c backend/control/fault.h backend/control/nodes.c backend/control/nodes.h \
	backend/control/front-nodes.c backend/control/front-nodes.h \
	backend/block/image-uri.c backend/block/image.h backend/block/blk-front.c backend/block/blk-front.h
backend_libcontrol_pure_la_LIBADD = common/libsynth-pure.la

pods += backend/control/synth-blkd.8.pod

if HAVE_CMOCKA
control_tests = backend/block/test-blk-front backend/block/test-fence backend/block/test-image backend/control/test-ctl backend/control/test-record \
	backend/control/test-job backend/control/test-wire
check_PROGRAMS += $(control_tests)
TESTS += $(control_tests)
backend_block_test_blk_front_LDADD = backend/libcontrol-pure.la $(CMOCKA_LIBS)
backend_block_test_fence_SOURCES = backend/block/test-fence.c backend/block/fence.c
backend_block_test_fence_LDADD = backend/libcontrol-pure.la $(CMOCKA_LIBS)
backend_block_test_image_SOURCES = backend/block/test-image.c backend/block/image.c
backend_block_test_image_LDADD = backend/libcontrol-pure.la $(CMOCKA_LIBS)
backend_control_test_record_SOURCES = backend/control/test-record.c backend/control/record.c
backend_control_test_record_LDADD = backend/libcontrol-pure.la backend/libwire.la common/libsynth-pure.la $(CMOCKA_LIBS)
backend_control_test_wire_LDADD = backend/libwire.la $(CMOCKA_LIBS)
backend_control_test_job_SOURCES = backend/control/test-job.c backend/control/job.c
backend_control_test_job_LDADD = common/libsynth-common.la $(XEN_LIBS) $(CMOCKA_LIBS)
backend_control_test_ctl_SOURCES = backend/control/test-ctl.c backend/control/ctl.c
backend_control_test_ctl_CPPFLAGS = $(AM_CPPFLAGS) $(JSONC_CFLAGS)
backend_control_test_ctl_LDADD = backend/libcontrol-pure.la common/libsynth-common.la $(XEN_LIBS) $(JSONC_LIBS) $(CMOCKA_LIBS)
endif

# For hosts with systemd; without it: docs/supervision.md.
systemdsystemunitdir = $(prefix)/lib/systemd/system
nodist_systemdsystemunit_DATA = backend/synth-blkd.service backend/synth-netd.service
EXTRA_DIST += backend/control/synth-blkd.service.in backend/control/synth-netd.service.in
CLEANFILES += $(nodist_systemdsystemunit_DATA)
backend/synth-blkd.service: backend/control/synth-blkd.service.in Makefile
	$(AM_V_GEN)sed -e 's|[@]sbindir@|$(sbindir)|' -e 's|[@]bindir@|$(bindir)|' $(srcdir)/backend/control/synth-blkd.service.in >$@
backend/synth-netd.service: backend/control/synth-netd.service.in Makefile
	$(AM_V_GEN)sed -e 's|[@]sbindir@|$(sbindir)|' -e 's|[@]bindir@|$(bindir)|' $(srcdir)/backend/control/synth-netd.service.in >$@
