# SPDX-License-Identifier: LGPL-2.1-or-later
# hostxen: the stand-in for Xen. The two libraries are preloaded into programs that know nothing of sanitizers
# (xenstored, QEMU), so they are never instrumented, whatever configure was told; the daemon and the command are.
hostxen_plain_cflags = $(SYNTH_CFLAGS) -fno-sanitize=all -fvisibility=hidden -ftls-model=initial-exec
hostxen_plain_ldflags = -module -avoid-version -shared -Wl,-z,relro -Wl,-z,now -Wl,-z,nodelete -XCClinker -fno-sanitize=all

bin_PROGRAMS += hostxen/hostxen
pkglibexec_PROGRAMS += hostxen/hostxend
pkglib_LTLIBRARIES += hostxen/libhostxen.la hostxen/libhostxen-xsd.la
noinst_HEADERS += hostxen/world.h hostxen/wire.h hostxen/broker.h hostxen/lib/lib.h
EXTRA_DIST += hostxen/README.md hostxen/test-lib.sh hostxen/test-life.t hostxen/test-xenbus.t hostxen/test-fault.t hostxen/test-qemu.t
pods += hostxen/hostxen.1.pod
check_PROGRAMS += hostxen/probe
TESTS += hostxen/test-life.t hostxen/test-xenbus.t hostxen/test-fault.t hostxen/test-qemu.t

hostxen_hostxen_SOURCES = hostxen/hostxen.c
hostxen_hostxen_CPPFLAGS = $(AM_CPPFLAGS) $(XENSTORE_CFLAGS)
hostxen_hostxen_LDADD = $(XENSTORE_LIBS)

hostxen_hostxend_SOURCES = hostxen/hostxend.c hostxen/world.c hostxen/serve.c hostxen/xenbus.c

hostxen_libhostxen_la_SOURCES = hostxen/lib/client.c hostxen/lib/evtchn.c hostxen/lib/gnttab.c hostxen/lib/gntshr.c \
	hostxen/lib/xenctrl.c hostxen/lib/stubs.c hostxen/lib/fault.c
hostxen_libhostxen_la_CFLAGS = $(hostxen_plain_cflags)
hostxen_libhostxen_la_LDFLAGS = $(hostxen_plain_ldflags)
hostxen_libhostxen_la_LIBADD = -lpthread -ldl

hostxen_libhostxen_xsd_la_SOURCES = hostxen/xsd-open.c
hostxen_libhostxen_xsd_la_CFLAGS = $(hostxen_plain_cflags)
hostxen_libhostxen_xsd_la_LDFLAGS = $(hostxen_plain_ldflags)
hostxen_libhostxen_xsd_la_LIBADD = -ldl

hostxen_probe_SOURCES = hostxen/probe.c
hostxen_probe_CPPFLAGS = $(AM_CPPFLAGS) $(XENGNTTAB_CFLAGS) $(XENEVTCHN_CFLAGS)
hostxen_probe_LDADD = $(XENGNTTAB_LIBS) $(XENEVTCHN_LIBS)
