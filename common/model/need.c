#include "common/model/need.h"

enum { OVERHEAD_PERCENT = 5, OVERHEAD_MIN = 64 << 20 };

uint64_t need_overhead(uint64_t memory_max)
{
    uint64_t part = memory_max / 100 * OVERHEAD_PERCENT;
    return part < OVERHEAD_MIN ? OVERHEAD_MIN : part;
}

uint64_t need_memory(uint64_t memory_max, bool hugepages)
{
    return (hugepages ? 0 : memory_max) + need_overhead(memory_max);
}
