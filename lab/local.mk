# SPDX-License-Identifier: LGPL-2.1-or-later
# Real Xen under QEMU; see docs/lab.md.  lab/run asks for `lab-programs`: what cases use beside the installed project.
EXTRA_DIST += lab/run lab/demo lab/images.sh lab/dom0 lab/guest lab/cases lab/bench docs/lab.md

EXTRA_PROGRAMS += lab/tools/blkverify
lab_tools_blkverify_SOURCES = lab/tools/blkverify.c
CLEANFILES += lab/tools/blkverify

# in an initramfs without a library
EXTRA_PROGRAMS += lab/tools/blkrate
lab_tools_blkrate_SOURCES = lab/tools/blkrate.c
lab_tools_blkrate_LDFLAGS = -all-static
CLEANFILES += lab/tools/blkrate

# preloaded into xl
EXTRA_LTLIBRARIES += lab/tools/choose-domid.la
lab_tools_choose_domid_la_SOURCES = lab/tools/choose-domid.c
lab_tools_choose_domid_la_LDFLAGS = -module -shared -avoid-version -rpath $(abs_builddir)
CLEANFILES += lab/tools/choose-domid.la

lab_programs = lab/tools/blkverify lab/tools/blkrate lab/tools/choose-domid.la tests/conform/conform
lab-programs: $(lab_programs)
	$(MKDIR_P) '$(LAB_TREE)'
	for p in $(lab_programs); do $(LIBTOOL) --silent --mode=install cp $$p '$(LAB_TREE)' || exit 1; done
.PHONY: lab-programs
