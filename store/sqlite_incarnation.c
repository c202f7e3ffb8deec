/* SPDX-License-Identifier: MIT */
/*
 * sqlite_incarnation: is this database the one that ran here last, or was an older copy put in its
 * place? Ids that were given out after a copy was made mean nothing in it, so a log that was put
 * back must get a new epoch: then everybody who returns is told of a gap, instead of being served
 * from the wrong place.
 *
 * DESIGN. Two witnesses, in the database (meta.incarnation) and in a small file beside it
 * (<database>.incarnation), and two facts that they must agree on:
 *  - a random word, new with each start. An older copy of the database has an older word.
 *  - the newest seq that was committed (the mark), written to the file alone, after each commit and
 *    without a sync. A copy made since the last start has the right word, but stops short of the
 *    mark. What was only written is lost with the machine, and the database may then rightly stop
 *    short: so the mark counts only when the machine has been up ever since (the kernel's boot id).
 *
 * A start writes three times, and a crash between any two of them leaves a pair that agrees:
 *
 *   file: {was}        database: was
 *   file: {was, new}   database: was      1 file, renamed into place
 *   file: {was, new}   database: new      2 database, one transaction (with the epoch, if it
 * changes) file: {new}        database: new      3 file
 *
 * When the epoch changes the file does not accept the old word from step 1 on, so a crash before
 * step 2 only means that the next start finds out once more. When nothing changes and a step fails
 * (a full disk), the pair still agrees and the broker goes on with it; a new epoch that can not be
 * written is a reason not to start.
 *
 * A database without a word has not run yet: it is new, or a backup (which leaves the word out).
 *
 * It must never accept a word before the other side could have it, and never fail a publish.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "store/sqlite_engine.h"

#define BOOT_ID     "/proc/sys/kernel/random/boot_id"
#define BOOT_MAX    36
#define NONE        "-" /* no word, no boot id */
#define WORD_MAX    (2 * EPOCH_MAX)
#define MARK_FORMAT "%020llu\n"
#define MARK_BYTES  21

/* What the file says. */
struct record {
	char accepts[2][WORD_MAX + 1]; /* words of the database that agree; NONE: one less */
	char boot[BOOT_MAX + 1];
	uint64_t mark;
};

static void make_word(char out[WORD_MAX + 1])
{
	struct epoch a, b;

	epoch_make(&a);
	epoch_make(&b);
	snprintf(out, WORD_MAX + 1, "%s%s", a.text, b.text);
}

static void read_boot(char out[BOOT_MAX + 1])
{
	int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, BOOT_MAX) : -1;

	if (fd >= 0)
		close(fd);
	if (n == BOOT_MAX)
		out[BOOT_MAX] = '\0';
	else
		strcpy(out, NONE);
}

/* --- the file -------------------------------------------------------------------------------- */

/* Freed by the caller. */
static char *file_name(const struct store *s, const char *suffix)
{
	size_t room = strlen(s->path) + sizeof(".incarnation") + strlen(suffix);
	char *name = xmalloc(room);

	snprintf(name, room, "%s.incarnation%s", s->path, suffix);
	return name;
}

/* Return 0, 1 when there is no file or nothing in it that makes sense, or negative errno. */
static int record_read(const struct store *s, struct record *ret)
{
	char *name = file_name(s, ""), text[256];
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	int rc = fd >= 0 ? 0 : -errno;
	unsigned long long mark = 0;

	free(name);
	if (fd < 0)
		return rc == -ENOENT ? 1 : rc;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		rc = -errno;
	close(fd);
	if (rc != 0)
		return rc;
	text[n] = '\0';
	if (sscanf(text, "holdfast log incarnation accepts %30s %30s boot %36s mark %20llu",
		   ret->accepts[0], ret->accepts[1], ret->boot, &mark) < 3)
		return 1;
	ret->mark = mark;
	return 0;
}

static int write_synced(const char *name, const char *text, size_t n)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	ssize_t put = write(fd, text, n);
	int rc = put == (ssize_t)n ? 0 : put < 0 ? -errno : -ENOSPC;
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	if (close(fd) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

/* All of it or nothing, on the medium. */
static int record_write(const struct store *s, const char *word, const char *other, uint64_t mark)
{
	char *name = file_name(s, ""), *temporary = file_name(s, ".new");
	char boot[BOOT_MAX + 1], text[256];

	read_boot(boot);
	int n = snprintf(text, sizeof(text),
			 "holdfast log incarnation\naccepts %s %s\nboot %s\nmark " MARK_FORMAT,
			 word, other, boot, (unsigned long long)mark);
	int rc = write_synced(temporary, text, (size_t)n);
	if (rc == 0 && rename(temporary, name) != 0)
		rc = -errno;
	if (rc == 0)
		rc = schema_sync_parent(name);
	else
		unlink(temporary);
	free(temporary);
	free(name);
	return rc;
}

/* The mark can be written where it stands: the last bytes, always as many. */
static void open_mark(struct store *s)
{
	char *name = file_name(s, "");

	s->mark_fd = open(name, O_WRONLY | O_CLOEXEC);
	free(name);
	if (s->mark_fd < 0)
		return;
	s->mark_at = lseek(s->mark_fd, 0, SEEK_END) - MARK_BYTES;
	if (s->mark_at > 0)
		return;
	close(s->mark_fd);
	s->mark_fd = -1;
}

void incarnation_mark(struct store *s, uint64_t seq)
{
	char text[MARK_BYTES];

	if (s->mark_fd < 0)
		return;
	/* MARK_FORMAT, without printf's cost: it is written with every commit */
	text[MARK_BYTES - 1] = '\n';
	for (int i = MARK_BYTES - 2; i >= 0; i--, seq /= 10)
		text[i] = (char)('0' + seq % 10);
	/* A mark that is behind is a weaker witness, and no reason to refuse what is committed. */
	ssize_t ignored = pwrite(s->mark_fd, text, MARK_BYTES, s->mark_at);
	(void)ignored;
}

/* --- the database ---------------------------------------------------------------------------- */

static int read_word(struct store *s, char out[WORD_MAX + 1])
{
	sqlite3_stmt *stmt = NULL;

	strcpy(out, NONE);
	if (sqlite3_prepare_v2(s->c.db, "SELECT value FROM meta WHERE key = 'incarnation'", -1,
			       &stmt, NULL) != SQLITE_OK)
		return connection_error(&s->c);
	int rc = sqlite3_step(stmt);
	int error = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : connection_error(&s->c);
	if (rc == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);
		/* cut, it matches nothing: as good as any other wrong word */
		snprintf(out, WORD_MAX + 1, "%s", text ? text : "?");
	}
	sqlite3_finalize(stmt);
	return error;
}

static int write_words(struct store *s, const char *word, bool is_new_epoch)
{
	struct epoch epoch;

	int rc = store_begin(s, true);
	if (rc == 0)
		rc = meta_set_text(&s->c, "incarnation", word);
	if (rc == 0 && is_new_epoch) {
		epoch_make(&epoch);
		rc = meta_set_text(&s->c, "epoch", epoch.text);
	}
	return store_end(s, rc);
}

/* --- the verdict ----------------------------------------------------------------------------- */

static bool accepts(const struct record *r, const char *word)
{
	return strcmp(word, r->accepts[0]) == 0 || strcmp(word, r->accepts[1]) == 0;
}

static enum lineage judge(const struct record *r, const char *word, uint64_t top)
{
	char boot[BOOT_MAX + 1];

	if (!accepts(r, word))
		return LINEAGE_REPLACED;
	read_boot(boot);
	if (top < r->mark && strcmp(boot, NONE) != 0 && strcmp(boot, r->boot) == 0)
		return LINEAGE_OLDER;
	return LINEAGE_SAME;
}

/* Where does this database come from? */
static int find_lineage(struct store *s, bool adopt, const char *word, uint64_t top,
			enum lineage *ret)
{
	struct record r;
	int64_t reserved;

	if (strcmp(word, NONE) == 0) {
		int rc = connection_number(&s->c, "SELECT value FROM meta WHERE key = 'reserved'",
					   &reserved);
		if (rc == 0)
			*ret = top == 0 && reserved == 0 ? LINEAGE_NEW : LINEAGE_BACKUP;
		return rc;
	}
	int rc = record_read(s, &r);
	if (rc == 0)
		*ret = judge(&r, word, top);
	else if (rc > 0)
		*ret = adopt ? LINEAGE_ADOPTED : LINEAGE_ALONE;
	return rc < 0 ? rc : 0;
}

bool lineage_is_broken(enum lineage l)
{
	return l == LINEAGE_BACKUP || l == LINEAGE_REPLACED || l == LINEAGE_OLDER ||
	       l == LINEAGE_ALONE;
}

/* The three steps of a start. */
static int enter(struct store *s, const char *was, uint64_t top)
{
	bool is_broken = lineage_is_broken(s->lineage);
	char word[WORD_MAX + 1];

	make_word(word);
	int rc = record_write(s, word, is_broken ? NONE : was, top);
	if (rc == 0)
		rc = write_words(s, word, is_broken);
	if (rc == 0 && !is_broken)
		rc = record_write(s, word, NONE, top);
	return is_broken ? rc : 0;
}

int incarnation_take(struct store *s, bool adopt)
{
	char was[WORD_MAX + 1];
	int64_t top;

	int rc = connection_number(&s->c,
				   "SELECT max((SELECT coalesce(max(seq), 0) FROM message),"
				   " (SELECT coalesce(max(head), 0) FROM channel))",
				   &top);
	if (rc == 0)
		rc = read_word(s, was);
	if (rc == 0)
		rc = find_lineage(s, adopt, was, (uint64_t)top, &s->lineage);
	if (rc == 0)
		rc = enter(s, was, (uint64_t)top);
	if (rc == 0)
		open_mark(s);
	return rc;
}
