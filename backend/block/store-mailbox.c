/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* store-mailbox.c - finished ios, from helper threads to the queue's thread. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "backend/block/store-file.h"

int mailbox_init(struct mailbox *m)
{
	m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->fd < 0)
		return -errno;
	pthread_mutex_init(&m->lock, NULL);
	store_list_init(&m->done);
	m->peek = NULL;
	m->told = false;
	return 0;
}

void mailbox_fini(struct mailbox *m)
{
	/* A helper that posted the last io may still be inside mailbox_post(). */
	pthread_mutex_lock(&m->lock);
	pthread_mutex_unlock(&m->lock);
	pthread_mutex_destroy(&m->lock);
	close(m->fd);
}

void mailbox_post(struct mailbox *m, struct store_io *io)
{
	const uint64_t one = 1;
	ssize_t n;

	pthread_mutex_lock(&m->lock);
	store_list_add(&m->done, io);
	__atomic_store_n(&m->peek, m->done.head, __ATOMIC_RELAXED);
	if (!m->told) {
		m->told = true;
		n = write(m->fd, &one, sizeof(one)); /* cannot fail: the counter is 0 */
		(void)n;
	}
	pthread_mutex_unlock(&m->lock);
}

struct store_io *mailbox_take(struct mailbox *m)
{
	struct store_io *l;
	uint64_t n;
	ssize_t r;

	if (!mailbox_ready(m))
		return NULL;
	pthread_mutex_lock(&m->lock);
	l = m->done.head;
	store_list_init(&m->done);
	__atomic_store_n(&m->peek, NULL, __ATOMIC_RELAXED);
	if (m->told) {
		m->told = false;
		r = read(m->fd, &n, sizeof(n));
		(void)r;
	}
	pthread_mutex_unlock(&m->lock);
	return l;
}
