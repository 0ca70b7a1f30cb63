/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rings.c - a front end's rings without its manners: grants pages, makes event channels, publishes the nodes, says
 * "ready", and keeps them until its standard input ends.  Who plays the states is the test's script.
 *
 *	rings DIR [QUEUES [ORDER]]     DIR: device/vbd/51712
 *	rings flood PATH COUNT         writes PATH that often, 3 and 4 in turn
 */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include "common/base/base.h"

#define MAX_QUEUES 32u
#define MAX_PAGES  16u

static struct xs_handle *xs;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void publish(const char *dir, const char *prefix, const char *name, uint32_t value)
{
	char path[256], text[16];

	snprintf(path, sizeof(path), "%s/%s%s", dir, prefix, name);
	snprintf(text, sizeof(text), "%u", value);
	if (!xs_write(xs, XBT_NULL, path, text, (unsigned)strlen(text)))
		die(path);
}

static void one_queue(xengntshr_handle *shr, xenevtchn_handle *ev, const char *dir, const char *prefix, uint32_t order)
{
	uint32_t refs[MAX_PAGES], *ring;
	char name[32];
	int port;

	ring = xengntshr_share_pages(shr, 0, 1 << order, refs, 1);
	if (!ring)
		die("share");
	memset(ring, 0, 4096u << order);
	ring[1] = ring[3] = 1; /* req_event, rsp_event */
	port = xenevtchn_bind_unbound_port(ev, 0);
	if (port < 0)
		die("event channel");
	if (order == 0) {
		publish(dir, prefix, "ring-ref", refs[0]);
	} else {
		for (uint32_t i = 0; i < 1u << order; i++) {
			snprintf(name, sizeof(name), "ring-ref%u", i);
			publish(dir, prefix, name, refs[i]);
		}
	}
	publish(dir, prefix, "event-channel", (uint32_t)port);
}

static int flood(const char *path, long count)
{
	for (long i = 0; i < count; i++)
		if (!xs_write(xs, XBT_NULL, path, i % 2 ? "4" : "3", 1))
			die("write");
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t queues = argc > 2 ? (uint32_t)atoi(argv[2]) : 1, order = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
	char path[256], c;

	xs = xs_open(0);
	if (!xs)
		die("xenstore");
	if (argc == 4 && strcmp(argv[1], "flood") == 0)
		return flood(argv[2], atol(argv[3]));
	if (argc < 2 || queues < 1 || queues > MAX_QUEUES || (1u << order) > MAX_PAGES) {
		fprintf(stderr, "usage: rings DIR [QUEUES [ORDER]] | rings flood PATH COUNT\n");
		return 2;
	}
	xengntshr_handle *shr = xengntshr_open(NULL, 0);
	xenevtchn_handle *ev = xenevtchn_open(NULL, 0);

	if (!shr || !ev)
		die("open");
	snprintf(path, sizeof(path), "%s/protocol", argv[1]);
	if (!xs_write(xs, XBT_NULL, path, "x86_64-abi", 10))
		die(path);
	if (order)
		publish(argv[1], "", "ring-page-order", order);
	if (queues == 1) {
		one_queue(shr, ev, argv[1], "", order);
	} else {
		publish(argv[1], "", "multi-queue-num-queues", queues);
		for (uint32_t i = 0; i < queues; i++) {
			char prefix[32];

			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
			one_queue(shr, ev, argv[1], prefix, order);
		}
	}
	printf("ready\n");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}
