/* Owning locals free themselves: `_cleanup_(free_p) char *s = NULL;` (the idea is systemd's and dbus-broker's). */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* DEFINE_CLEANUP(struct loop *, loop_free) defines loop_freep for _cleanup_; the destructor must accept NULL. */
#define DEFINE_CLEANUP(type, fn)                                                                             \
    __attribute__((unused)) static inline void fn##p(type *p)                                                \
    {                                                                                                        \
        if (*p)                                                                                              \
            fn(*p);                                                                                          \
    }                                                                                                        \
    struct cleanup_needs_semicolon_##fn

static inline void free_p(void *p)
{
    free(*(void **)p);
}

static inline void close_p(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* Hands a descriptor over: `return steal_fd(&fd);` */
static inline int steal_fd(int *fd)
{
    int open = *fd;
    *fd = -1;
    return open;
}

static inline void fclose_p(FILE **f)
{
    if (*f)
        fclose(*f);
}

#define _cleanup_free_ _cleanup_(free_p)
#define _cleanup_close_ _cleanup_(close_p)
#define _cleanup_fclose_ _cleanup_(fclose_p)

/* Hands a pointer over: `return steal(&p);` */
#define steal(pp)                                                                                            \
    ({                                                                                                       \
        __typeof__(*(pp)) steal_value_ = *(pp);                                                              \
        *(pp) = NULL;                                                                                        \
        steal_value_;                                                                                        \
    })
