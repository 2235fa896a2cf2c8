/* The tick guest: what its few files share. No libc: it runs on the bare machine. */
#ifndef TICK_H
#define TICK_H

#include <stdbool.h>
#include <stdint.h>

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t rdtsc(void)
{
    uint64_t value;

    __asm__ volatile("rdtsc" : "=A"(value));
    return value;
}

/* QEMU before 9.0 without KVM clears dirty bits in a migration and leaves this CPU's TLB as it was: what is written by an entry that is there
 * already is left behind. The stack of before under the registers of now has no way back. Changing CR0.WP empties its TLB. */
static inline void tlb_flush(void)
{
    enum { WP = 1 << 16 };
    uint32_t cr0;

    __asm__ volatile("movl %%cr0, %0; xorl %1, %0; movl %0, %%cr0; xorl %1, %0; movl %0, %%cr0"
                     : "=&r"(cr0)
                     : "i"(WP)
                     : "memory");
}

/* COM1 */
void serial_init(void);
void serial_text(const char *text);
void serial_number(uint32_t number);

/* Starts the timer interrupt at hz and returns the TSC's cycles per millisecond. */
uint32_t timer_init(uint32_t hz);

/* The first IDE disk. Without one, disk_init() returns false. A failed transfer returns false too. */
bool disk_init(uint32_t cycles_per_ms);
bool disk_read(uint32_t sector, void *ret_512_bytes);
bool disk_write(uint32_t sector, const void *bytes_512);

#endif
