/* Tells when a network interface or a bridge's port has come, gone or changed: the kernel's netlink messages. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/loop.h"

struct links;

/* Calls fn(arg) on the loop after each burst. */
int links_new(struct loop *loop, void (*fn)(void *arg), void *arg, struct links **ret, struct error *err);
void links_free(struct links *links);
DEFINE_CLEANUP(struct links *, links_free);
