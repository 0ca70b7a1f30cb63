# SPDX-License-Identifier: LGPL-2.1-or-later
# model.t - the designs hold and their broken variants are found out, in the short form; tests/model/README.md.
exec "${SYNTH_BUILDDIR:-.}/tests/model/model" ${MODEL_ARGS:-}
