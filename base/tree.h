/* SPDX-License-Identifier: MIT */
/* tree: the one set of intrusive balanced trees in this tree of sources (BSD's RB_ macros). */
#ifndef BASE_TREE_H
#define BASE_TREE_H

#include <bsd/sys/tree.h>

#endif
