/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* replay.c - runs a fuzz target over files, without libFuzzer: any compiler, and coverage of the kept inputs (tests/coverage.sh). */
#include "tests/fuzz/fuzz.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		static uint8_t buf[1u << 16];
		FILE *in = fopen(argv[i], "rb");
		size_t n = in ? fread(buf, 1, sizeof(buf), in) : 0;
		uint8_t *exact = malloc(n + 1);

		if (!in || !exact) {
			fprintf(stderr, "cannot read %s\n", argv[i]);
			return 1;
		}
		fclose(in);
		memcpy(exact, buf, n);
		LLVMFuzzerTestOneInput(exact, n);
		free(exact);
	}
	return 0;
}
