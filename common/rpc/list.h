/* A doubly linked intrusive list; a head is a link to itself. */
#pragma once

#include <stdbool.h>

struct link {
    struct link *prev, *next;
};

static inline void link_init(struct link *l)
{
    l->prev = l->next = l;
}

static inline bool link_alone(const struct link *l)
{
    return l->next == l;
}

static inline void link_append(struct link *head, struct link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

static inline void link_remove(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    link_init(l);
}

/* `next_` lets the body remove `it_`. */
#define list_for_each(it_, next_, head_)                                                                     \
    for (struct link *it_ = (head_)->next, *next_ = it_->next; it_ != (head_); it_ = next_, next_ = it_->next)
