/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blkrate.c - blkrate DEVICE SECONDS: 4 KiB random reads past the page cache, one at a time; prints how many a second.
 * For initramfs images that have to be tiny, where fio does not fit.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t rng = 88172645463325252u, reads = 0;
	double begin, seconds;
	off_t blocks;
	void *buf;
	int fd;

	if (argc != 3 || (seconds = atof(argv[2])) <= 0) {
		fprintf(stderr, "usage: blkrate DEVICE SECONDS\n");
		return 2;
	}
	fd = open(argv[1], O_RDONLY | O_DIRECT);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	blocks = lseek(fd, 0, SEEK_END) / BLOCK;
	if (blocks <= 0 || posix_memalign(&buf, BLOCK, BLOCK)) {
		fprintf(stderr, "blkrate: %s is too small\n", argv[1]);
		return 1;
	}
	begin = now();
	while (now() - begin < seconds) {
		rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
		if (pread(fd, buf, BLOCK, (off_t)(rng % (uint64_t)blocks) * BLOCK) != BLOCK) {
			perror("blkrate: read");
			return 1;
		}
		reads++;
	}
	printf("%.1f\n", (double)reads / (now() - begin));
	return 0;
}
