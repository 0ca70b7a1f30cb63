# SPDX-License-Identifier: LGPL-2.1-or-later
# Man pages are POD beside the program they describe: FOLDER/NAME.SECTION.pod, named in `pods` by the folder's fragment.
# They are made in docs/man/ of the build tree.
EXTRA_DIST += $(pods) tools/setup.sh docs/control-protocol.md docs/xenstore-layout.md docs/xenbus.md docs/metrics.md docs/neighbours.md docs/supervision.md docs/path-of-a-request.md docs/path-of-a-frame.md docs/new-device-class.md docs/save-restore.md docs/advisories.md docs/reliability.md

# What the manual pages name.
dist_doc_DATA = README.md SECURITY.md docs/control-protocol.md docs/metrics.md docs/neighbours.md docs/path-of-a-frame.md docs/path-of-a-request.md \
	docs/reliability.md docs/save-restore.md docs/supervision.md docs/xenstore-layout.md

if HAVE_POD2MAN
docs/man/.stamp: $(pods)
	$(AM_V_GEN)$(MKDIR_P) docs/man; set -e; for p in $(pods); do \
		src=$$p; test -f $$src || src='$(srcdir)'/$$p; \
		page=$$(basename $$p .pod); name=$$(echo $${page%.*} | tr a-z A-Z); \
		$(POD2MAN) --utf8 --errors=die --name=$$name --section=$${page##*.} --center='Synth' --release='synth $(VERSION)' $$src docs/man/$$page; \
	done; touch $@
all-local: docs/man/.stamp

install-data-local: docs/man/.stamp
	@set -e; for p in $(pods); do page=$$(basename $$p .pod); dir='$(DESTDIR)$(mandir)'/man$${page##*.}; \
		$(MKDIR_P) "$$dir"; $(INSTALL_DATA) docs/man/$$page "$$dir/$$page"; done
uninstall-local:
	@for p in $(pods); do page=$$(basename $$p .pod); rm -f '$(DESTDIR)$(mandir)'/man$${page##*.}/$$page; done
clean-local:
	rm -rf docs/man
endif
