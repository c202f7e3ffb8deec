/* SPDX-License-Identifier: MIT */
/*
 * fuzz_main: replays a corpus through a fuzz target where libFuzzer is not linked, so that
 * everything a fuzzer ever found stays an ordinary test with any compiler.
 *
 *   fuzz_json FOLDER|FILE…      a folder: each file in it, in the order of the names
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void die(const char *what, const char *name)
{
	fprintf(stderr, "%s: ", name);
	perror(what);
	exit(1);
}

/* The input stands in a block of exactly its size: a sanitizer sees the first byte read beyond it.
 */
static void replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t n;

	if (!f || fstat(fileno(f), &st) < 0)
		die("open", path);
	n = (size_t)st.st_size;
	data = malloc(n ? n : 1);
	if (!data || fread(data, 1, n, f) != n)
		die("read", path);
	fclose(f);
	printf("%s\n", path); /* the last line names the culprit */
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
}

static int is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* Return how many inputs there were. */
static int replay(const char *path)
{
	struct dirent **entries;
	struct stat st;
	int n;

	if (stat(path, &st) < 0)
		die("stat", path);
	if (!S_ISDIR(st.st_mode)) {
		replay_file(path);
		return 1;
	}
	n = scandir(path, &entries, is_visible, alphasort);
	if (n < 0)
		die("scandir", path);
	for (int i = 0; i < n; i++) {
		char name[4096];
		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		replay_file(name);
		free(entries[i]);
	}
	free(entries);
	return n;
}

int main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++)
		n += replay(argv[i]);
	printf("%d inputs\n", n);
	return n > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
