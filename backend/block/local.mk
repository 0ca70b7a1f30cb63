# SPDX-License-Identifier: LGPL-2.1-or-later
# The block class.  libblk-pure.la: what fuzzers and unit tests of the parser link, no system call in it but mmap.
noinst_LTLIBRARIES += backend/libblk-pure.la backend/libstore.la backend/libblk.la
backend_libblk_pure_la_SOURCES = \
	backend/block/blk-wire.h \
	backend/block/blk-parse.h backend/block/blk-parse.c \
	backend/block/blk-journal.h backend/block/blk-journal.c \
	backend/block/blk-overlap.h backend/block/blk-overlap.c \
	backend/block/blk-req.h backend/block/blk-req.c

backend_libblk_la_SOURCES = \
	backend/block/block.c \
	backend/block/blk-queue.h backend/block/blk-queue.c \
	backend/block/blk-data.h backend/block/blk-data.c
backend_libblk_la_LIBADD = backend/libblk-pure.la backend/libstore.la

# The image stores, without ring or guest.
backend_libstore_la_SOURCES = \
	backend/block/store.h backend/block/store.c backend/block/store-null.c \
	backend/block/store-file.h backend/block/store-file.c backend/block/store-inline.c \
	backend/block/store-window.h backend/block/store-window.c backend/block/store-pool.c \
	backend/block/store-mailbox.c
backend_libstore_la_CPPFLAGS = $(AM_CPPFLAGS)
backend_libstore_la_LIBADD =
if HAVE_LIBURING
backend_libstore_la_SOURCES += backend/block/store-uring.c
backend_libstore_la_CPPFLAGS += $(LIBURING_CFLAGS)
backend_libstore_la_LIBADD += $(LIBURING_LIBS)
endif

# Loaded by workers whose guest has an NBD disk; libnbd, its memory and the time to load it stay out of the others.  What it needs of the worker
# (mailbox, log, clock) it finds in the program, which exports its symbols.
if HAVE_LIBNBD
pkglib_LTLIBRARIES += backend/synth-store-nbd.la
backend_synth_store_nbd_la_SOURCES = backend/block/store-nbd.c
backend_synth_store_nbd_la_CPPFLAGS = $(AM_CPPFLAGS) $(LIBNBD_CFLAGS)
backend_synth_store_nbd_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -export-symbols-regex '^synth_store_nbd_open$$'
backend_synth_store_nbd_la_LIBADD = $(LIBNBD_LIBS) -lpthread
endif

if HAVE_CMOCKA
blk_tests = backend/block/test-blk-journal backend/block/test-blk-overlap backend/block/test-blk-parse backend/block/test-blk-req backend/block/test-store
check_PROGRAMS += $(blk_tests)
TESTS += $(blk_tests)
backend_block_test_blk_parse_SOURCES = backend/block/test-blk-parse.c backend/block/blk-slot-test.h
backend_block_test_blk_parse_LDADD = backend/libblk-pure.la $(CMOCKA_LIBS)
backend_block_test_blk_journal_LDADD = backend/libblk-pure.la common/libsynth-pure.la $(CMOCKA_LIBS)
backend_block_test_blk_overlap_LDADD = backend/libblk-pure.la common/libsynth-pure.la $(CMOCKA_LIBS) -lpthread
backend_block_test_blk_req_LDADD = backend/libblk-pure.la $(CMOCKA_LIBS)
if HAVE_LIBURING
check_PROGRAMS += backend/block/test-uring
TESTS += backend/block/test-uring
backend_block_test_uring_CPPFLAGS = $(AM_CPPFLAGS) $(LIBURING_CFLAGS) $(CMOCKA_CFLAGS)
backend_block_test_uring_LDADD = backend/libstore.la common/libsynth-pure.la $(CMOCKA_LIBS) $(LIBURING_LIBS) -lpthread
endif
# The rings of a disk, over a worker's core and a guest in the same process.
check_PROGRAMS += backend/block/test-blk-queue
TESTS += backend/block/test-blk-queue
backend_block_test_blk_queue_SOURCES = backend/block/test-blk-queue.c backend/block/blk-slot-test.h tests/lib/fake-xen.h tests/lib/fake-xen.c \
	backend/worker/device.c backend/worker/queue.c backend/worker/poll.c backend/worker/moderate.c backend/worker/journal.c
backend_block_test_blk_queue_LDADD = backend/libblk.la backend/libwire.la common/libsynth-pure.la $(CMOCKA_LIBS) -lpthread
backend_block_test_blk_queue_LDFLAGS = $(AM_LDFLAGS) -export-dynamic
backend_block_test_store_LDADD = backend/libstore.la common/libsynth-pure.la $(CMOCKA_LIBS) -lpthread
endif

# What xl runs when it detaches one of our disks (the `script` node names it).
xenscriptsdir = $(sysconfdir)/xen/scripts
dist_xenscripts_SCRIPTS = backend/block/block-synth
