#include "cli/pki.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_PEM 65536

DEFINE_CLEANUP(BIO *, BIO_free);

static char *path_in(const char *dir, const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void sync_parent(const char *path)
{
    _cleanup_free_ char *copy = xstrdup(path);
    _cleanup_close_ int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        fsync(fd);
}

static int write_whole(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

/* The file appears complete and durable, or not at all. `replaced`: of the one that it replaces, whose owner and mode stay, so that
 * a renewal is read by whom the first was read; NULL: none may be there. */
static int write_file(const char *path, const char *data, size_t length, mode_t mode,
                      const struct stat *replaced, struct error *err)
{
    _cleanup_free_ char *temporary = xasprintf("%s.XXXXXX", path);
    _cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot make a file next to %s", path);
    int failed = 0;
    if ((replaced && fchown(fd, replaced->st_uid, replaced->st_gid) < 0) ||
        fchmod(fd, replaced ? replaced->st_mode & 0777 : mode) < 0 || write_whole(fd, data, length) < 0 ||
        fsync(fd) < 0)
        failed = errno;
    else if ((replaced ? rename(temporary, path) : link(temporary, path)) < 0)
        failed = errno;
    if (failed || !replaced)
        unlink(temporary);
    if (failed)
        return error_errno(err, failed, "cannot write %s", path);
    sync_parent(path);
    return 0;
}

static int pem_of(EVP_PKEY *key, X509 *cert, BIO **ret, struct error *err)
{
    _cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_secmem());
    if (!bio || (key && !PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) ||
        (cert && !PEM_write_bio_X509(bio, cert))) {
        ERR_clear_error();
        return error_set(err, STATUS_INTERNAL, "OpenSSL cannot write PEM");
    }
    *ret = steal(&bio);
    return 0;
}

static int write_pem(const char *path, EVP_PKEY *key, X509 *cert, mode_t mode, const struct stat *replaced,
                     struct error *err)
{
    _cleanup_(BIO_freep) BIO *bio = NULL;
    int r = pem_of(key, cert, &bio, err);
    if (r < 0)
        return r;
    char *data;
    long length = BIO_get_mem_data(bio, &data);
    return write_file(path, data, (size_t)length, mode, replaced, err);
}

static int make_dirs(const char *dir, struct error *err)
{
    _cleanup_free_ char *path = xstrdup(dir);
    for (char *p = path + 1; *p; p++)
        if (*p == '/' && p[1]) {
            *p = 0;
            if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return error_errno(err, errno, "cannot make the directory %s", path);
            *p = '/';
        }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_errno(err, errno, "cannot make the directory %s", path);
    return 0;
}

int pki_init(const char *dir, const char *name, long days, int64_t now, struct error *err)
{
    if (!*dir)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the directory's name is empty");
    _cleanup_free_ char *cert_path = path_in(dir, "ca.pem"), *key_path = path_in(dir, "ca-key.pem");
    const char *there = access(cert_path, F_OK) == 0  ? cert_path
                        : access(key_path, F_OK) == 0 ? key_path
                                                      : NULL;
    if (there)
        return error_set(
            err, STATUS_ALREADY_EXISTS,
            "%s exists, and a CA is never overwritten: every certificate that it issued would stop "
            "working. Issue from it (drover pki issue), or choose another --dir",
            there);
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(X509_freep) X509 *cert = NULL;
    int r = pki_make_ca(name, now, days, &key, &cert, err);
    if (r >= 0)
        r = make_dirs(dir, err);
    if (r >= 0)
        r = write_pem(key_path, key, NULL, 0600, NULL, err);
    if (r >= 0)
        r = write_pem(cert_path, NULL, cert, 0644, NULL, err);
    return r;
}

static int open_pem(const char *path, BIO **ret, struct error *err)
{
    FILE *file = fopen(path, "re");
    struct stat st;
    if (!file)
        return error_errno(err, errno, "cannot read %s", path);
    if (fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_PEM) {
        fclose(file);
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s is no PEM file: expected a file of at most %d bytes", path, MAX_PEM);
    }
    BIO *bio = BIO_new_fp(file, BIO_CLOSE);
    if (!bio) {
        fclose(file);
        return error_set(err, STATUS_INTERNAL, "OpenSSL cannot read %s", path);
    }
    *ret = bio;
    return 0;
}

static int load_cert(const char *path, X509 **ret, struct error *err)
{
    _cleanup_(BIO_freep) BIO *bio = NULL;
    int r = open_pem(path, &bio, err);
    if (r < 0)
        return r;
    *ret = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    ERR_clear_error();
    if (!*ret)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s holds no certificate", path);
    return 0;
}

/* A key with a pass phrase is refused, not asked about: a prompt would hang a script. */
static int no_pass_phrase(char *buffer, int size, int writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static int load_key(const char *path, EVP_PKEY **ret, struct error *err)
{
    _cleanup_(BIO_freep) BIO *bio = NULL;
    int r = open_pem(path, &bio, err);
    if (r < 0)
        return r;
    *ret = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    ERR_clear_error();
    if (!*ret)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s holds no private key (or one with a pass phrase)",
                         path);
    return 0;
}

static int load_ca_cert(const char *dir, char **ret_path, X509 **ret, struct error *err)
{
    *ret_path = path_in(dir, "ca.pem");
    if (access(*ret_path, F_OK) < 0 && errno == ENOENT)
        return error_set(err, STATUS_NOT_FOUND,
                         "there is no CA in %s (no ca.pem); make one with: drover pki init --dir %s", dir,
                         dir);
    return load_cert(*ret_path, ret, err);
}

/* 0 when `path` is free to be written. */
static int may_write(const char *path, const char *identity, bool *ret_replace, struct stat *ret_replaced,
                     struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0) {
        if (errno != ENOENT)
            return error_errno(err, errno, "cannot look at %s", path);
        *ret_replace = false;
        return 0;
    }
    _cleanup_(X509_freep) X509 *cert = NULL;
    _cleanup_free_ char *there = NULL;
    if (S_ISREG(st.st_mode) && load_cert(path, &cert, NULL) == 0)
        there = pki_identity(cert);
    if (!streq(there, identity))
        return error_set(err, STATUS_ALREADY_EXISTS,
                         "%s exists and is not a certificate for %s (%s); remove it, or choose another --out",
                         path, identity, there ? there : "it holds none of Drover's certificates");
    *ret_replace = true;
    *ret_replaced = st;
    return 0;
}

static void format_time(int64_t seconds, char text[32])
{
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
        text[0] = 0;
}

static int record(const char *dir, X509 *cert, const char *serial, const struct pki_leaf *leaf,
                  const char *file, struct error *err)
{
    _cleanup_free_ char *path = path_in(dir, "issued");
    _cleanup_close_ int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return error_errno(err, errno, "cannot write %s", path);
    char from[32], until[32];
    format_time(pki_from(cert), from);
    format_time(pki_until(cert), until);
    _cleanup_free_ char *line =
        xasprintf("%s\t%s/%s\t%s\t%s\t%s\n", serial, leaf->role, leaf->name, from, until, file);
    if (write_whole(fd, line, strlen(line)) < 0 || fsync(fd) < 0)
        return error_errno(err, errno, "cannot write %s", path);
    return 0;
}

static char *absolute(const char *path)
{
    char cwd[PATH_MAX];
    if (path[0] == '/' || !getcwd(cwd, sizeof(cwd)))
        return xstrdup(path);
    return path_in(cwd, path);
}

int pki_issue(const char *dir, const struct pki_leaf *leaf, const char *out, struct pki_issued *ret,
              struct error *err)
{
    _cleanup_free_ char *cert_path = NULL, *key_path = path_in(dir, "ca-key.pem");
    _cleanup_(X509_freep) X509 *ca = NULL, *cert = NULL;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *ca_key = NULL, *key = NULL;
    int r = load_ca_cert(dir, &cert_path, &ca, err);
    if (r >= 0)
        r = load_key(key_path, &ca_key, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *identity = xasprintf("drover://%s/%s", leaf->role, leaf->name);
    _cleanup_free_ char *name = xasprintf("%s-%s.pem", leaf->role, leaf->name);
    _cleanup_free_ char *given = out ? xstrdup(out) : path_in(dir, name);
    if (strpbrk(given, "\n\t"))
        return error_set(err, STATUS_INVALID_ARGUMENT, "the file's name has a tab or a line feed in it");
    _cleanup_free_ char *file = absolute(given);
    bool replace = false;
    struct stat replaced;
    r = may_write(file, identity, &replace, &replaced, err);
    if (r >= 0)
        r = pki_make_leaf(ca_key, ca, leaf, &key, &cert, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *serial = pki_serial(cert);
    /* Recorded first: a certificate in the world that the index does not know would be worse than a line too many. */
    r = record(dir, cert, serial, leaf, file, err);
    if (r >= 0)
        r = write_pem(file, key, cert, 0600, replace ? &replaced : NULL, err);
    if (r < 0)
        return r;
    *ret = (struct pki_issued){steal(&file), steal(&serial), pki_until(cert)};
    return 0;
}

void pki_issued_deinit(struct pki_issued *issued)
{
    free(issued->file);
    free(issued->serial);
}

static int64_t parse_time(const char *text)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return end && !*end ? (int64_t)timegm(&tm) : -1;
}

static bool parse_line(char *line, struct pki_entry *entry)
{
    char *field[5];
    for (int i = 0; i < 5; i++) {
        field[i] = line;
        line += strcspn(line, i < 4 ? "\t" : "\n");
        if (i < 4 && !*line)
            return false;
        *line++ = 0;
    }
    int64_t from = parse_time(field[2]), until = parse_time(field[3]);
    if (from < 0 || until < 0 || pki_parse_subject(field[1], &entry->role, &entry->name, NULL) < 0)
        return false;
    entry->serial = xstrdup(field[0]);
    entry->file = xstrdup(field[4]);
    entry->from = from;
    entry->until = until;
    return true;
}

static int read_index(const char *dir, struct pki_index *index, struct error *err)
{
    _cleanup_free_ char *path = path_in(dir, "issued"), *line = NULL;
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? 0 : error_errno(err, errno, "cannot read %s", path);
    size_t size = 0;
    for (int number = 1; getline(&line, &size, f) > 0; number++) {
        struct pki_entry entry = {0};
        if (!parse_line(line, &entry))
            return error_set(
                err, STATUS_INVALID_ARGUMENT,
                "%s:%d is no line of the index; expected serial, ROLE/NAME, two times and a file, with "
                "tabs between them: repair or remove the line",
                path, number);
        for (size_t i = 0; i < index->n_entries; i++)
            if (streq(index->entries[i].role, entry.role) && streq(index->entries[i].name, entry.name))
                index->entries[i].replaced = true;
        index->entries = xrealloc(index->entries, index->n_entries + 1, sizeof(entry));
        index->entries[index->n_entries++] = entry;
    }
    return 0;
}

int pki_list(const char *dir, struct pki_index *ret, struct error *err)
{
    struct pki_index index = {0};
    _cleanup_(X509_freep) X509 *ca = NULL;
    int r = load_ca_cert(dir, &index.ca_file, &ca, err);
    if (r >= 0) {
        char name[65] = "?";
        X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_commonName, name, sizeof(name));
        index.ca_name = xstrdup(name);
        index.ca_serial = pki_serial(ca);
        index.ca_from = pki_from(ca);
        index.ca_until = pki_until(ca);
        r = read_index(dir, &index, err);
    }
    if (r < 0) {
        pki_index_deinit(&index);
        return r;
    }
    *ret = index;
    return 0;
}

void pki_index_deinit(struct pki_index *index)
{
    for (size_t i = 0; i < index->n_entries; i++) {
        free(index->entries[i].role);
        free(index->entries[i].name);
        free(index->entries[i].serial);
        free(index->entries[i].file);
    }
    free(index->entries);
    free(index->ca_name);
    free(index->ca_serial);
    free(index->ca_file);
    *index = (struct pki_index){0};
}
