/* SPDX-License-Identifier: MIT */
/* conn_batch_none: built without liburing; each connection writes for itself. */
#include "net/conn_batch.h"

bool conn_batch_start(struct conn_env *env, const char **ret_why)
{
	*ret_why = "built without liburing";
	return false;
}

void conn_batch_free(struct conn_batch *b)
{
}

bool conn_batch_add(struct conn *c)
{
	return false;
}
