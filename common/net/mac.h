/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mac.h - a nic's address, as text.  Pure. */
#ifndef SYNTH_NET_MAC_H
#define SYNTH_NET_MAC_H

#include "common/base/base.h"

#define MAC_BYTES 6u
#define MAC_TEXT  18u /* with the NUL */

/* "00:16:3e:01:02:03", not a group's and not all zero: 0 or -EINVAL. */
int mac_parse(const char *text, uint8_t mac[MAC_BYTES]) __must_check;
void mac_text(const uint8_t mac[MAC_BYTES], char text[MAC_TEXT]);

#endif
