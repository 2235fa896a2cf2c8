/* The first IDE disk, by programmed I/O: enough to leave a mark on it at every tick. */
#include "tick.h"

enum {
    ATA = 0x1f0,
    ATA_COUNT = ATA + 2,
    ATA_LBA = ATA + 3,
    ATA_DRIVE = ATA + 6,
    ATA_STATUS = ATA + 7,
    ATA_CONTROL = 0x3f6,
    STATUS_ERROR = 0x01,
    STATUS_DATA = 0x08,
    STATUS_FAULT = 0x20,
    STATUS_BUSY = 0x80,
    COMMAND_READ = 0x20,
    COMMAND_WRITE = 0x30,
    COMMAND_FLUSH = 0xe7,
    TIMEOUT_MS = 30000,
};

static uint64_t timeout;

/* Waits until the disk isn't busy, and has data if wanted. */
static bool disk_wait(bool data)
{
    uint64_t start = rdtsc();

    for (;;) {
        uint8_t status = inb(ATA_STATUS);

        if (!(status & STATUS_BUSY)) {
            if (status & (STATUS_ERROR | STATUS_FAULT))
                return false;
            if (!data || (status & STATUS_DATA))
                return true;
        }
        if (rdtsc() - start > timeout)
            return false;
    }
}

static bool disk_command(uint32_t sector, uint8_t command)
{
    outb(ATA_DRIVE, (uint8_t)(0xe0 | (sector >> 24)));
    if (!disk_wait(false))
        return false;
    outb(ATA_COUNT, 1);
    outb(ATA_LBA, (uint8_t)sector);
    outb(ATA_LBA + 1, (uint8_t)(sector >> 8));
    outb(ATA_LBA + 2, (uint8_t)(sector >> 16));
    outb(ATA_STATUS, command);
    return true;
}

bool disk_init(uint32_t cycles_per_ms)
{
    uint8_t status;

    timeout = (uint64_t)cycles_per_ms * TIMEOUT_MS;
    outb(ATA_CONTROL, 2);
    outb(ATA_DRIVE, 0xe0);
    status = inb(ATA_STATUS);
    return status != 0 && status != 0xff;
}

bool disk_read(uint32_t sector, void *ret_512_bytes)
{
    uint32_t words = 256;

    if (!disk_command(sector, COMMAND_READ) || !disk_wait(true))
        return false;
    __asm__ volatile("rep insw" : "+D"(ret_512_bytes), "+c"(words) : "d"(ATA) : "memory");
    return disk_wait(false);
}

bool disk_write(uint32_t sector, const void *bytes_512)
{
    uint32_t words = 256;

    if (!disk_command(sector, COMMAND_WRITE) || !disk_wait(true))
        return false;
    __asm__ volatile("rep outsw" : "+S"(bytes_512), "+c"(words) : "d"(ATA) : "memory");
    if (!disk_wait(false))
        return false;
    outb(ATA_STATUS, COMMAND_FLUSH);
    return disk_wait(false);
}
