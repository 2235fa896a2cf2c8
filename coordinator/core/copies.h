/* On how many hosts each guest is: so that nobody has to search the whole fleet for the rare one that is on two. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct copies {
    struct copies_slot {
        uint64_t key; /* of the UUID */
        uint32_t n;
    } * slots; /* owned; a power of two of them */
    size_t size, used;
};

void copies_add(struct copies *copies, uint64_t key);
void copies_remove(struct copies *copies, uint64_t key);
uint32_t copies_count(const struct copies *copies, uint64_t key);
void copies_deinit(struct copies *copies);
