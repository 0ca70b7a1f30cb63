/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mac.c - see mac.h */
#include <errno.h>
#include <stdio.h>
#include "common/net/mac.h"

int mac_parse(const char *text, uint8_t mac[MAC_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t m[MAC_BYTES], any = 0;

	if (strlen(text) != MAC_TEXT - 1)
		return -EINVAL;
	for (uint32_t i = 0; i < MAC_BYTES; i++) {
		uint8_t byte = 0;

		for (uint32_t k = 0; k < 2; k++) {
			char c = text[3 * i + k];
			const char *at = strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c);

			if (!at)
				return -EINVAL;
			byte = (uint8_t)(byte << 4 | (at - digits));
		}
		if (i + 1 < MAC_BYTES && text[3 * i + 2] != ':')
			return -EINVAL;
		m[i] = byte;
		any |= byte;
	}
	if ((m[0] & 1) || !any)
		return -EINVAL;
	memcpy(mac, m, sizeof(m));
	return 0;
}

void mac_text(const uint8_t m[MAC_BYTES], char text[MAC_TEXT])
{
	snprintf(text, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}
