/* SPDX-License-Identifier: MIT */
/*
 * sqlite_checkpoint: the thread that moves committed pages from the write-ahead log into the
 * database.
 *
 * DESIGN: a checkpoint reads, writes and syncs two files; on the log thread it would stall every
 * publish. A PASSIVE checkpoint takes no lock that a writer wants, so it runs here, on a connection
 * of its own, while the log thread goes on appending. When it has moved everything and no reader
 * looks at the log any more, SQLite starts the file again from its beginning with the next commit.
 *
 * Under load there is always something appended meanwhile. sqlite.c therefore does the small rest
 * itself once the file has passed WAL_RESTART_FRAMES and the thread has caught up nearly.
 *
 * A checkpoint that fails (disk full) is no news: the log holds everything, and the next pass tries
 * again. This thread must never write anything else.
 */
#include "store/sqlite_engine.h"

#include <errno.h>
#include <signal.h>

static void pass(struct checkpointer *k)
{
	int frames = 0, moved = 0;

	if (sqlite3_wal_checkpoint_v2(k->c.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved) !=
	    SQLITE_OK)
		return;
	atomic_store(&k->moved, moved);
}

static void *run(void *arg)
{
	struct checkpointer *k = arg;

	pthread_mutex_lock(&k->lock);
	while (!k->stop) {
		if (!k->wanted) {
			pthread_cond_wait(&k->wake, &k->lock);
			continue;
		}
		k->wanted = false;
		atomic_store(&k->is_busy, true);
		pthread_mutex_unlock(&k->lock);
		pass(k);
		pthread_mutex_lock(&k->lock);
		atomic_store(&k->is_busy, false);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

int checkpointer_start(struct checkpointer *k, const char *path)
{
	sigset_t all, before;

	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->wake, NULL);
	int rc = connection_open(&k->c, path, SQLITE_OPEN_READWRITE);
	if (rc == 0)
		rc = connection_exec(&k->c,
				     "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -512");
	if (rc == 0) {
		/* signals are the main thread's */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		rc = -pthread_create(&k->thread, NULL, run, k);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (rc == 0) {
		k->is_running = true;
		pthread_setname_np(k->thread, "checkpoint");
		return 0;
	}
	connection_close(&k->c);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	return rc;
}

void checkpointer_stop(struct checkpointer *k)
{
	if (!k->is_running)
		return;
	pthread_mutex_lock(&k->lock);
	k->stop = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	k->is_running = false;
	connection_close(&k->c);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
}

void checkpointer_kick(struct checkpointer *k)
{
	pthread_mutex_lock(&k->lock);
	k->wanted = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
}
