/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-mac.c - a nic's address, as text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/net/mac.h"

static void address_reads_back(void **state)
{
	static const uint8_t want[MAC_BYTES] = { 0x00, 0x16, 0x3e, 0xab, 0xcd, 0x0f };
	uint8_t mac[MAC_BYTES];
	char text[MAC_TEXT];

	assert_int_equal(mac_parse("00:16:3E:aB:cd:0f", mac), 0);
	assert_memory_equal(mac, want, sizeof(want));
	mac_text(mac, text);
	assert_string_equal(text, "00:16:3e:ab:cd:0f");
}

static void nonsense_is_no_address(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"00:16:3e:ab:cd",
		"00:16:3e:ab:cd:0",
		"00:16:3e:ab:cd:0f:",
		"00:16:3e:ab:cd:0f:11",
		"00:16:3e:ab:cd:0g",
		"00-16-3e-ab-cd-0f",
		"0016:3e:ab:cd:0f:1",
		"00:16:3e:ab:cd: f",
		":0:16:3e:ab:cd:0f",
		"00:00:00:00:00:00",
		"01:16:3e:ab:cd:0f",
		"ff:ff:ff:ff:ff:ff",
	};
	uint8_t mac[MAC_BYTES] = { 7 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (mac_parse(bad[i], mac) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(mac[0], 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_reads_back),
		cmocka_unit_test(nonsense_is_no_address),
	};

	return cmocka_run_group_tests_name("mac", tests, NULL, NULL);
}
