# SPDX-License-Identifier: LGPL-2.1-or-later
# What the block devices do for guests that behave.
