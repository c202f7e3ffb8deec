/* SPDX-License-Identifier: MIT */
/* option: the rows are in order, and values of each type are read and written as documented. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "daemon/option.h"

/* What a row promises: its default is valid and written as the table has it, its help is a sentence
 * or more. */
static void check_row(const struct option *o, void *base)
{
	struct buf text = {0};

	assert_int_equal(option_parse(o, o->fallback, base), 0);
	option_format(o, base, &text);
	if (!slice_eq_str(buf_slice(&text), o->fallback))
		fail_msg("%s: %s is written as %.*s", o->name, o->fallback,
			 SLICE_ARG(buf_slice(&text)));
	assert_true(strlen(o->help) > 10);
	assert_int_equal(o->help[strlen(o->help) - 1], '.');
	option_clear(o, base);
	buf_fini(&text);
}

static void test_rows(void **state)
{
	struct namespace ns = {0};
	struct config cfg = {0};

	for (size_t i = 0; i < OPTION_N; i++) {
		bool found = false;

		check_row(&config_options[i], &cfg);
		for (size_t j = 0; j < option_section_n - 1; j++)
			found |= option_in_section(&config_options[i], option_sections[j].name);
		assert_true(found);
	}
	for (size_t i = 0; i < NAMESPACE_OPTION_N; i++)
		check_row(&namespace_options[i], &ns);
	assert_string_equal(option_sections[option_section_n - 1].name, "namespace");
}

struct value_case {
	const char *text;
	uint64_t value; /* UINT64_MAX: refused */
};

static const struct option *find_row(const char *name)
{
	for (size_t i = 0; i < OPTION_N; i++) {
		if (strcmp(config_options[i].name, name) == 0)
			return &config_options[i];
	}
	fail_msg("no option %s", name);
	return NULL;
}

static void check_values(const char *name, const struct value_case *cases, size_t n)
{
	struct option wide = *find_row(name);

	wide.min = 0;
	wide.max = UINT64_MAX - 1;
	for (size_t i = 0; i < n; i++) {
		struct config cfg = {0};
		uint64_t value;
		int rc = option_parse(&wide, cases[i].text, &cfg);

		memcpy(&value, (char *)&cfg + wide.offset, sizeof(value));
		if ((rc == 0) != (cases[i].value != UINT64_MAX) ||
		    (rc == 0 && value != cases[i].value))
			fail_msg("%s = %s: %d, %llu", name, cases[i].text, rc,
				 (unsigned long long)value);
	}
}

static void test_sizes(void **state)
{
	static const struct value_case cases[] = {
		{"0", 0},
		{"4096", 4096},
		{"4096b", 4096},
		{"64k", 65536},
		{"64K", 65536},
		{"64KiB", 65536},
		{"16mib", 16 << 20},
		{"1g", 1 << 30},
		{"2t", 2ull << 40},
		{"", UINT64_MAX},
		{"-1", UINT64_MAX},
		{"+1", UINT64_MAX},
		{" 1", UINT64_MAX},
		{"1 k", UINT64_MAX},
		{"1kb", UINT64_MAX},
		{"1.5m", UINT64_MAX},
		{"0x10", UINT64_MAX},
		{"k", UINT64_MAX},
		{"18446744073709551616", UINT64_MAX},
		{"16777216t", UINT64_MAX},
	};

	check_values("http.body_bytes", cases, ARRAY_LEN(cases));
}

static void test_durations(void **state)
{
	static const struct value_case cases[] = {
		{"0", 0},
		{"25", 25000},
		{"250ms", 250},
		{"25s", 25000},
		{"5m", 300000},
		{"24h", 86400000},
		{"7d", 7 * 86400000ull},
		{"1M", 60000},
		{"", UINT64_MAX},
		{"s", UINT64_MAX},
		{"1.5s", UINT64_MAX},
		{"-5s", UINT64_MAX},
		{"5 s", UINT64_MAX},
		{"5min", UINT64_MAX},
		{"999999999999999999d", UINT64_MAX},
	};

	check_values("http.head_timeout", cases, ARRAY_LEN(cases));
}

static void test_counts(void **state)
{
	static const struct value_case cases[] = {
		{"0", 0},
		{"007", 7},
		{"18446744073709551613", UINT64_MAX - 2},
		{"1e3", UINT64_MAX},
		{"1k", UINT64_MAX},
		{"", UINT64_MAX},
	};

	check_values("server.workers", cases, ARRAY_LEN(cases));
}

static void test_other_values(void **state)
{
	static const struct {
		const char *name, *text, *back; /* NULL: refused */
	} cases[] = {
		{"server.demo", "YES", "yes"},
		{"server.demo", "on", "yes"},
		{"server.demo", "0", "no"},
		{"server.demo", "false", "no"},
		{"server.demo", "y", NULL},
		{"server.admin_socket_mode", "660", "0660"},
		{"server.admin_socket_mode", "0666", "0666"},
		{"server.admin_socket_mode", "888", NULL},
		{"server.admin_socket_mode", "7777", NULL},
		{"server.log_level", "debug", "debug"},
		{"server.log_level", "off", "off"},
		{"server.log_level", "Info", NULL},
		{"store.engine", "memory", "memory"},
		{"store.engine", "redis", NULL},
		{"server.listen", "  a:1 \t b:2 ", "a:1 b:2"},
		{"server.listen", " ", NULL},
		{"server.cors_origins", "", ""},
		{"server.data_dir", "/var/lib/hold fast", "/var/lib/hold fast"},
		{"server.data_dir", "", NULL},
		{"server.data_dir", "\"data\"", NULL},
		{"server.data_dir", "a\nb", NULL},
		{"server.data_dir", "a ;b", NULL},
		{"server.data_dir", "data ", NULL},
		{"server.data_dir", "d\xff", NULL},
		{"server.data_dir", "d\xc3\xa4", "d\xc3\xa4"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct option *o = find_row(cases[i].name);
		struct config cfg = {0};
		struct buf back = {0};
		int rc = option_parse(o, cases[i].text, &cfg);

		if (rc == 0)
			option_format(o, &cfg, &back);
		if ((rc == 0) != (cases[i].back != NULL) ||
		    (rc == 0 && !slice_eq_str(buf_slice(&back), cases[i].back)))
			fail_msg("%s = %s: %d, %.*s", cases[i].name, cases[i].text, rc,
				 SLICE_ARG(buf_slice(&back)));
		buf_fini(&back);
		option_clear(o, &cfg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),         cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),    cmocka_unit_test(test_counts),
		cmocka_unit_test(test_other_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
