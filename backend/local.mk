# SPDX-License-Identifier: LGPL-2.1-or-later
# control/, worker/ and one folder a device class; each has its fragment.
include backend/control/local.mk
include backend/worker/local.mk
include backend/block/local.mk
include backend/net/local.mk
