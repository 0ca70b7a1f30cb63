# SPDX-License-Identifier: LGPL-2.1-or-later
# toolstack/: synthctl, the command line.  spec.c is pure; the rest is one file a group of commands.
bin_PROGRAMS += toolstack/synthctl

toolstack_synthctl_SOURCES = \
	toolstack/synthctl.h toolstack/synthctl.c \
	toolstack/spec.h toolstack/spec.c \
	toolstack/client.c toolstack/output.c \
	toolstack/cmd-attach.c toolstack/cmd-list.c toolstack/cmd-stat.c
toolstack_synthctl_CPPFLAGS = $(AM_CPPFLAGS) $(JSONC_CFLAGS) $(SMARTCOLS_CFLAGS)
toolstack_synthctl_LDADD = common/libsynth-pure.la $(JSONC_LIBS) $(SMARTCOLS_LIBS) -lm

# The completion script is installed where bash looks for it, and is inside the program for `synthctl completion bash`.
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = toolstack/synthctl.bash
toolstack/completion-bash.h: toolstack/synthctl.bash
	$(AM_V_GEN)$(MKDIR_P) toolstack && { echo '/* made from synthctl.bash */'; \
	echo 'static const char completion_bash[] ='; \
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $(srcdir)/toolstack/synthctl.bash; echo ';'; } > $@.tmp && mv $@.tmp $@
toolstack/synthctl-synthctl.$(OBJEXT): toolstack/completion-bash.h
CLEANFILES += toolstack/completion-bash.h

pods += toolstack/synthctl.1.pod

if HAVE_CMOCKA
check_PROGRAMS += toolstack/test-spec
TESTS += toolstack/test-spec
endif
toolstack_test_spec_SOURCES = toolstack/test-spec.c toolstack/spec.c
toolstack_test_spec_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
toolstack_test_spec_LDADD = common/libsynth-pure.la $(CMOCKA_LIBS)

check_PROGRAMS += toolstack/fake-blkd
toolstack_fake_blkd_SOURCES = toolstack/fake-blkd.c
dist_check_SCRIPTS += toolstack/test-synthctl.sh
TESTS += toolstack/test-synthctl.sh
