/* SPDX-License-Identifier: MIT */
/* commands: the table is complete and its help fits a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

static void test_rows_are_complete_and_unique(void **state)
{
	for (size_t i = 0; commands[i]; i++) {
		const struct command *c = commands[i];
		assert_non_null(c->name);
		assert_non_null(c->args);
		assert_non_null(c->summary);
		assert_non_null(c->run);
		assert_true(c->args_max < 0 || c->args_max >= c->args_min);
		assert_true(!c->options || c->options_size);
		assert_ptr_equal(command_find(c->name), c);
	}
}

/* An option of a command must not hide a global one. */
static void test_option_names_are_unique(void **state)
{
	for (size_t i = 0; commands[i]; i++) {
		for (const struct option_def *d = commands[i]->options; d && d->name; d++) {
			assert_true(d->kind == OPTION_FLAG || d->arg);
			assert_true(d->offset < commands[i]->options_size);
			for (const struct option_def *g = cli_global_options; g->name; g++)
				assert_string_not_equal(d->name, g->name);
			for (const struct option_def *o = d + 1; o->name; o++)
				assert_string_not_equal(d->name, o->name);
		}
	}
}

static void check_width(char *text)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(strlen(line) <= 100);
}

static void test_help_fits(void **state)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	cli_help_print(f);
	for (size_t i = 0; commands[i]; i++)
		command_help_print(commands[i], f);
	fclose(f);
	check_width(text);
	free(text);
}

static void test_unknown_command(void **state)
{
	assert_null(command_find("chanels"));
	assert_null(command_find(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_complete_and_unique),
		cmocka_unit_test(test_option_names_are_unique),
		cmocka_unit_test(test_help_fits),
		cmocka_unit_test(test_unknown_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
