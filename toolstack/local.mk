# SPDX-License-Identifier: LGPL-2.1-or-later
# toolstack/: synthctl, the command line.  spec.c is pure, and cmd-doctor-{parse,report,judge}.c; the rest is one file a group of commands.
bin_PROGRAMS += toolstack/synthctl

toolstack_synthctl_SOURCES = \
	toolstack/synthctl.h toolstack/synthctl.c \
	toolstack/spec.h toolstack/spec.c \
	toolstack/client.c toolstack/output.c \
	toolstack/cmd-attach.c toolstack/cmd-nic.c toolstack/cmd-list.c toolstack/cmd-daemon.c toolstack/cmd-stat.c \
	toolstack/cmd-doctor.h toolstack/cmd-doctor.c toolstack/cmd-doctor-parse.c toolstack/cmd-doctor-report.c \
	toolstack/cmd-doctor-judge.c toolstack/cmd-doctor-store.c toolstack/cmd-doctor-daemon.c toolstack/cmd-doctor-host.c
toolstack_synthctl_CPPFLAGS = $(AM_CPPFLAGS) $(JSONC_CFLAGS) $(SMARTCOLS_CFLAGS)
# The doctor reads xenstore itself; of libsynth-common only store and paths are taken.
toolstack_synthctl_LDADD = common/libsynth-common.la $(XENSTORE_LIBS) $(JSONC_LIBS) $(SMARTCOLS_LIBS) -lm -lpthread

# The completion script is installed where bash looks for it, and is inside the program for `synthctl completion bash`.
dist_bashcompletion_DATA += toolstack/synthctl.bash
toolstack/completion-bash.h: toolstack/synthctl.bash
	$(AM_V_GEN)$(MKDIR_P) toolstack && { echo '/* made from synthctl.bash */'; \
	echo 'static const char completion_bash[] ='; \
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $(srcdir)/toolstack/synthctl.bash; echo ';'; } > $@.tmp && mv $@.tmp $@
toolstack/synthctl-synthctl.$(OBJEXT): toolstack/completion-bash.h
CLEANFILES += toolstack/completion-bash.h

pods += toolstack/synthctl.1.pod

if HAVE_CMOCKA
check_PROGRAMS += toolstack/test-spec toolstack/test-doctor
TESTS += toolstack/test-spec toolstack/test-doctor
endif
toolstack_test_doctor_SOURCES = toolstack/test-doctor.c toolstack/cmd-doctor.h toolstack/cmd-doctor-parse.c \
	toolstack/cmd-doctor-report.c toolstack/cmd-doctor-judge.c
toolstack_test_doctor_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JSONC_CFLAGS)
toolstack_test_doctor_LDADD = common/libsynth-common.la $(XENSTORE_LIBS) $(CMOCKA_LIBS)
toolstack_test_spec_SOURCES = toolstack/test-spec.c toolstack/spec.c
toolstack_test_spec_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
toolstack_test_spec_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)

check_PROGRAMS += toolstack/fake-blkd
toolstack_fake_blkd_SOURCES = toolstack/fake-blkd.c
dist_check_SCRIPTS += toolstack/test-synthctl.sh
TESTS += toolstack/test-synthctl.sh
