/* SPDX-License-Identifier: MIT */
/* list: the one set of intrusive lists in this tree (glibc's sys/queue.h has no _SAFE loops). */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <bsd/sys/queue.h>

#endif
