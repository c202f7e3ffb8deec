/* SPDX-License-Identifier: MIT */
/*
 * fault: a refusal on its way to a client.
 *
 * DESIGN. What can be refused is a table (base/tbl/errors.h); what is said about it is a sentence
 * made here. The sentence is put inside JSON later, so it must stay valid UTF-8 even when it is
 * cut: the cut steps back over a character that would be split. As in problem.c, the text is made
 * aside, so that a message may wrap the one that is there.
 */
#include "base/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *code;
	int status;
} faults[] = {
	[FAULT_NONE] = {"none", 200},
#define FAULT(ID, code, status) [FAULT_##ID] = {code, status},
#include "base/tbl/errors.h"
#undef FAULT
};

const char *fault_code(enum fault_id id)
{
	assert(id < FAULT_COUNT);
	return faults[id].code;
}

int fault_status(enum fault_id id)
{
	assert(id < FAULT_COUNT);
	return faults[id].status;
}

/* Length of text[0..n) without a character at its end that has lost its tail. */
static size_t utf8_cut(const char *text, size_t n)
{
	size_t start = n;
	unsigned char lead;
	size_t size;

	while (start > 0 && n - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0)
		return n;
	start--;
	lead = (unsigned char)text[start];
	size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	return n - start < size ? start : n;
}

int fault_set(struct fault *f, enum fault_id id, const char *fmt, ...)
{
	struct fault made;
	va_list ap;
	size_t size;
	int n;

	assert(id < FAULT_COUNT);
	if (f == NULL)
		return -EINVAL;
	va_start(ap, fmt);
	n = vsnprintf(made.message, sizeof(made.message), fmt, ap);
	va_end(ap);
	assert(n >= 0);
	size = (size_t)n;
	if (size >= sizeof(made.message))
		size = utf8_cut(made.message, sizeof(made.message) - 1);
	f->id = id;
	memcpy(f->message, made.message, size);
	f->message[size] = '\0';
	return -EINVAL;
}
