/* SPDX-License-Identifier: MIT */
/* publication_terms: what publication.c shares with publication_terms.c. Thread: the worker's. */
#ifndef TRANSPORTS_PUBLICATION_TERMS_H
#define TRANSPORTS_PUBLICATION_TERMS_H

#include "transports/publication.h"

/* Take over the bytes of b, which is empty afterwards. */
struct slice publication_own(struct publication *p, struct buf *b);
/* A member that must be a string, unescaped; p NULL when it is absent or null. */
int publication_string(struct publication *p, struct slice object, const char *name,
		       struct slice *ret, struct fault *fault);

#endif
