# SPDX-License-Identifier: LGPL-2.1-or-later
# The data plane: one process a guest.  libwire.la is what it shares with the control plane.
noinst_LTLIBRARIES += backend/libwire.la
backend_libwire_la_SOURCES = backend/control/wire.c backend/control/wire.h
