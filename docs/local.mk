# SPDX-License-Identifier: LGPL-2.1-or-later
# Man pages are POD beside the program they describe: FOLDER/NAME.SECTION.pod, named in `pods` by the folder's fragment.
EXTRA_DIST += $(pods)
manpages = $(notdir $(pods:.pod=))
if HAVE_POD2MAN
man_MANS += $(addprefix docs/man/,$(manpages))
endif
CLEANFILES += $(addprefix docs/man/,$(manpages))
