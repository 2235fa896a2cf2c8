#include "agent/io/records.h"

#include "common/base/ballast.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <uuid/uuid.h>

enum { FILE_MAX = 16 << 20, HEADER = 32 };

#define MAGIC "drover 1 " /* then 16 hexadecimal digits, padded with blanks and a newline to HEADER */

struct records {
    char *dir;
    int dir_fd, transactions_fd, archive_fd, damaged_fd, lock_fd;
    struct ballast ballast;
    pthread_mutex_t
        lock; /* the writer's: of the ballast, of temporary names, of what is to be the next fence */
    pthread_mutex_t
        seen; /* guards the fence, and is never held while the disk is waited for: the loop asks, too */
    Drover__V1__Fence *fence;
    bool unsure; /* the fence was written, and nobody knows whether it stays */
};

bool records_is_uuid(const char *text)
{
    uuid_t id;
    return text && strlen(text) == 36 && uuid_parse(text, id) == 0 && !strpbrk(text, "/.");
}

static uint64_t hash(const uint8_t *data, size_t size)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * 1099511628211u;
    return h;
}

static int open_dir(int parent, const char *name, int *ret_fd)
{
    if (parent >= 0 && mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static int write_all(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Positive: the new file is there, and may be the old one again after a cut of the power. */
enum { UNSURE = 1 };

static int try_file(int dir_fd, const char *name, const void *head, size_t head_size, const void *data,
                    size_t size)
{
    static const char temporary[] = ".new";
    _cleanup_close_ int fd =
        openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, head, head_size);
    if (r == 0)
        r = write_all(fd, data, size);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dir_fd, temporary, 0);
        return r;
    }
    return fsync(dir_fd) < 0 ? UNSURE : 0;
}

/* Caller holds the lock, so that one temporary name is enough. On a full disk what is under way is still written. */
static int put_file(struct records *r, int dir_fd, const char *name, const void *head, size_t head_size,
                    const void *data, size_t size)
{
    int e = try_file(dir_fd, name, head, head_size, data, size);
    if ((e == -ENOSPC || e == -EDQUOT) && ballast_drop(&r->ballast))
        e = try_file(dir_fd, name, head, head_size, data, size);
    return e;
}

static int cannot_write(const struct records *r, int e, const char *where, const char *name,
                        struct error *err)
{
    if (e == UNSURE)
        return error_set(err, STATUS_DATA_LOSS,
                         "%s/%s%s is written, and its directory can't be synced: nobody knows whether it "
                         "survives a cut of the power; is the disk failing?",
                         r->dir, where, name);
    return error_errno(err, -e, "cannot write %s/%s%s", r->dir, where, name);
}

static int put_message(struct records *r, int dir_fd, const char *name, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size > FILE_MAX - HEADER)
        return -EFBIG;
    _cleanup_free_ uint8_t *data = xcalloc(1, size);
    protobuf_c_message_pack(message, data);
    char head[HEADER + 1];
    snprintf(head, sizeof(head), MAGIC "%016" PRIx64 "%*s\n", hash(data, size), HEADER - 1 - 9 - 16, "");
    return put_file(r, dir_fd, name, head, HEADER, data, size);
}

/* NULL and what was wrong; NOT_FOUND when there is no such file. */
static ProtobufCMessage *get_message(int dir_fd, const char *name, const ProtobufCMessageDescriptor *type,
                                     struct error *err)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        error_errno(err, errno, "cannot read %s", name);
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || st.st_size < HEADER || st.st_size > FILE_MAX) {
        error_set(err, STATUS_DATA_LOSS, "%s is damaged: %lld bytes, expected %d to %d", name,
                  (long long)st.st_size, HEADER, FILE_MAX);
        return NULL;
    }
    size_t size = (size_t)st.st_size, got = 0;
    _cleanup_free_ uint8_t *data = xcalloc(1, size + 1);
    while (got < size) {
        ssize_t n = read(fd, data + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            error_errno(err, n < 0 ? errno : EIO, "cannot read %s", name);
            return NULL;
        }
        got += (size_t)n;
    }
    char head[HEADER + 1];
    snprintf(head, sizeof(head), MAGIC "%016" PRIx64 "%*s\n", hash(data + HEADER, size - HEADER),
             HEADER - 1 - 9 - 16, "");
    if (memcmp(data, head, HEADER) != 0) {
        error_set(err, STATUS_DATA_LOSS, "%s is damaged: its first line does not fit the rest", name);
        return NULL;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, size - HEADER, data + HEADER);
    if (!message)
        error_set(err, STATUS_DATA_LOSS, "%s is damaged: it holds no %s", name, type->name);
    return message;
}

/* A file that can't be read is evidence, not rubbish: it is kept where nothing reads it. */
static void put_aside(struct records *r, int dir_fd, const char *name, struct error *why)
{
    _cleanup_free_ char *to = xasprintf("%s.%lld", name, (long long)time(NULL));
    if (renameat(dir_fd, name, r->damaged_fd, to) < 0)
        error_set(why, why->code, "%s (and it can't be moved to %s/damaged: %s)", why->text, r->dir,
                  strerror(errno));
    else
        error_set(why, why->code, "%s; moved to %s/damaged/%s", why->text, r->dir, to);
    fsync(dir_fd);
}

int records_open(const char *dir, struct records **ret, struct error *ret_warning, struct error *err)
{
    _cleanup_(records_freep) struct records *r = new0(struct records);
    r->dir = xstrdup(dir);
    r->dir_fd = r->transactions_fd = r->archive_fd = r->damaged_fd = r->lock_fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->seen, NULL);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return error_errno(err, errno, "state_dir: cannot make %s", dir);
    int e = open_dir(AT_FDCWD, dir, &r->dir_fd);
    if (e == 0)
        e = open_dir(r->dir_fd, "transactions", &r->transactions_fd);
    if (e == 0)
        e = open_dir(r->dir_fd, "archive", &r->archive_fd);
    if (e == 0)
        e = open_dir(r->dir_fd, "damaged", &r->damaged_fd);
    if (e < 0)
        return error_errno(err, -e, "state_dir: cannot open %s and what it holds", dir);
    /* What an agent that died had not synced is settled by now: it is as it is read. */
    if (fsync(r->transactions_fd) < 0 || fsync(r->dir_fd) < 0)
        return error_errno(err, errno, "state_dir: cannot sync %s; is the disk failing?", dir);
    r->lock_fd = openat(r->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (r->lock_fd < 0)
        return error_errno(err, errno, "state_dir: cannot open %s/lock", dir);
    if (flock(r->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "state_dir: %s is held by another drover-agent; stop it, or give this one its own state_dir",
            dir);
    _cleanup_free_ char *beside = xasprintf("%s/records", dir);
    ballast_init(&r->ballast, beside);
    ballast_lay(&r->ballast); /* else no move is begun here, see records_has_room */
    struct error why = {0};
    r->fence = (Drover__V1__Fence *)get_message(r->dir_fd, "fence", &drover__v1__fence__descriptor, &why);
    if (!r->fence) {
        if (why.code == STATUS_DATA_LOSS)
            put_aside(r, r->dir_fd, "fence", &why);
        else if (why.code != STATUS_NOT_FOUND)
            return error_set(err, why.code, "state_dir: %s", why.text);
        r->fence = new0(Drover__V1__Fence);
        drover__v1__fence__init(r->fence);
    }
    if (ret_warning)
        *ret_warning = why.code == STATUS_NOT_FOUND ? (struct error){0} : why;
    *ret = steal(&r);
    return 0;
}

void records_free(struct records *r)
{
    if (!r)
        return;
    if (r->fence)
        drover__v1__fence__free_unpacked(r->fence, NULL);
    int fds[] = {r->lock_fd, r->damaged_fd, r->archive_fd, r->transactions_fd, r->dir_fd};
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->seen);
    ballast_deinit(&r->ballast);
    free(r->dir);
    free(r);
}

bool records_has_room(struct records *r)
{
    pthread_mutex_lock(&r->lock);
    bool laid = ballast_lay(&r->ballast);
    pthread_mutex_unlock(&r->lock);
    return laid;
}

static void closedir_p(DIR **d)
{
    if (*d)
        closedir(*d);
}

int records_read(struct records *r, void (*fn)(void *arg, Drover__V1__Record *record),
                 void (*damaged)(void *arg, const struct error *why), void *arg, struct error *err)
{
    int fd = openat(r->transactions_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedir_p) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return error_errno(err, errno, "cannot list %s/transactions", r->dir);
    struct dirent *entry;
    while ((entry = readdir(d))) {
        if (entry->d_name[0] == '.')
            continue;
        struct error why = {0};
        Drover__V1__Record *record = (Drover__V1__Record *)get_message(r->transactions_fd, entry->d_name,
                                                                       &drover__v1__record__descriptor, &why);
        if (record && !(record->step && records_is_uuid(record->step->guest) &&
                        streq(record->step->transaction, entry->d_name))) {
            error_set(&why, STATUS_DATA_LOSS, "%s is damaged: it does not name itself and a guest",
                      entry->d_name);
            drover__v1__record__free_unpacked(record, NULL);
            record = NULL;
        }
        if (record) {
            fn(arg, record);
        } else if (why.code == STATUS_DATA_LOSS) {
            put_aside(r, r->transactions_fd, entry->d_name, &why);
            damaged(arg, &why);
        } else {
            return error_set(err, why.code, "%s/transactions: %s", r->dir, why.text);
        }
    }
    return 0;
}

int records_put(struct records *r, const Drover__V1__Record *record, struct error *err)
{
    pthread_mutex_lock(&r->lock);
    int e = put_message(r, r->transactions_fd, record->step->transaction, &record->base);
    pthread_mutex_unlock(&r->lock);
    return e ? cannot_write(r, e, "transactions/", record->step->transaction, err) : 0;
}

int records_remove(struct records *r, const char *transaction, struct error *err)
{
    if (unlinkat(r->transactions_fd, transaction, 0) < 0 && errno != ENOENT)
        return error_errno(err, errno, "cannot remove %s/transactions/%s", r->dir, transaction);
    return 0;
}

int records_archive(struct records *r, const char *name, const char *guest, uint64_t generation,
                    const char *xml, struct error *err)
{
    char plain[64];
    snprintf(plain, sizeof(plain), "%s", name ? name : "");
    for (char *c = plain; *c; c++)
        if (*c == '/' || *c == '.' || (unsigned char)*c < ' ')
            *c = '_';
    _cleanup_free_ char *file = xasprintf("%s-%s-g%" PRIu64 ".xml", plain, guest, generation);
    pthread_mutex_lock(&r->lock);
    int e = put_file(r, r->archive_fd, file, "", 0, xml, strlen(xml));
    pthread_mutex_unlock(&r->lock);
    return e ? cannot_write(r, e, "archive/", file, err) : 0;
}

static Drover__V1__Fence__Generation *find(const Drover__V1__Fence *fence, const char *guest)
{
    for (size_t i = 0; i < fence->n_generations; i++)
        if (streq(fence->generations[i]->guest, guest))
            return fence->generations[i];
    return NULL;
}

uint64_t records_epoch(struct records *r)
{
    pthread_mutex_lock(&r->seen);
    uint64_t epoch = r->fence->epoch;
    pthread_mutex_unlock(&r->seen);
    return epoch;
}

static uint64_t generation_in(const Drover__V1__Fence *fence, const char *guest)
{
    const Drover__V1__Fence__Generation *g = find(fence, guest);
    return g ? g->generation : 0;
}

uint64_t records_generation(struct records *r, const char *guest)
{
    pthread_mutex_lock(&r->seen);
    uint64_t generation = generation_in(r->fence, guest);
    pthread_mutex_unlock(&r->seen);
    return generation;
}

static bool is_higher(const Drover__V1__Fence *fence, uint64_t epoch, const char *guest, uint64_t generation)
{
    return epoch > fence->epoch || (guest && generation > generation_in(fence, guest));
}

/* A copy of the fence with what is higher in it; NULL if nothing is. */
static Drover__V1__Fence *raised(struct records *r, uint64_t epoch, const char *guest, uint64_t generation,
                                 bool *ret_unsure)
{
    Drover__V1__Fence *f = NULL;
    pthread_mutex_lock(&r->seen);
    *ret_unsure = r->unsure;
    if (is_higher(r->fence, epoch, guest, generation))
        f = (Drover__V1__Fence *)message_copy(&r->fence->base);
    pthread_mutex_unlock(&r->seen);
    if (!f)
        return NULL;
    if (epoch > f->epoch)
        f->epoch = epoch;
    Drover__V1__Fence__Generation *g = guest ? find(f, guest) : NULL;
    if (guest && !g) {
        g = new0(Drover__V1__Fence__Generation);
        drover__v1__fence__generation__init(g);
        g->guest = xstrdup(guest);
        message_append(&f->generations, &f->n_generations, g);
    }
    if (g && generation > g->generation)
        g->generation = generation;
    return f;
}

/* The writer's. What is not durable was not seen: the old fence holds until the new one is. */
static int raise_fence(struct records *r, uint64_t epoch, const char *guest, uint64_t generation)
{
    bool unsure;
    Drover__V1__Fence *f = raised(r, epoch, guest, generation, &unsure);
    int e = unsure ? UNSURE : f ? put_message(r, r->dir_fd, "fence", &f->base) : 0;
    if (f && !unsure && e >= 0) {
        pthread_mutex_lock(&r->seen);
        Drover__V1__Fence *old = r->fence;
        r->fence = f;
        f = old;
        r->unsure = e == UNSURE;
        pthread_mutex_unlock(&r->seen);
    }
    if (f)
        drover__v1__fence__free_unpacked(f, NULL);
    return e;
}

int records_raise(struct records *r, uint64_t epoch, const char *guest, uint64_t generation,
                  struct error *err)
{
    pthread_mutex_lock(&r->seen);
    bool nothing = !r->unsure && !is_higher(r->fence, epoch, guest, generation);
    pthread_mutex_unlock(&r->seen);
    if (nothing)
        return 0;
    pthread_mutex_lock(&r->lock);
    int e = raise_fence(r, epoch, guest, generation);
    pthread_mutex_unlock(&r->lock);
    return e ? cannot_write(r, e, "", "fence", err) : 0;
}

int records_get_closures(struct records *r, Drover__V1__Closures **ret, struct error *err)
{
    struct error why = {0};
    Drover__V1__Closures *c =
        (Drover__V1__Closures *)get_message(r->dir_fd, "closures", &drover__v1__closures__descriptor, &why);
    if (!c && why.code != STATUS_NOT_FOUND)
        return error_set(err, why.code, "state_dir: %s", why.text);
    if (!c) {
        c = new0(Drover__V1__Closures);
        drover__v1__closures__init(c);
    }
    *ret = c;
    return 0;
}

int records_put_closures(struct records *r, const Drover__V1__Closures *closures, struct error *err)
{
    pthread_mutex_lock(&r->lock);
    int e = put_message(r, r->dir_fd, "closures", &closures->base);
    pthread_mutex_unlock(&r->lock);
    return e ? cannot_write(r, e, "", "closures", err) : 0;
}
