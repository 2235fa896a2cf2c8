/* Errors: one kind from a libvirt call to the operator's shell.
 *
 * A function that can fail returns 0, or a negative status code, and takes a `struct error *` last, which may be NULL.
 * The codes are gRPC's canonical ones (grpc/doc/statuscodes.md), so that an error crosses the wire unchanged.
 * The text is for an operator: what was seen, what was expected, what to do. */
#pragma once

enum status_code {
    STATUS_OK = 0,
    STATUS_CANCELLED = 1,
    STATUS_UNKNOWN = 2,
    STATUS_INVALID_ARGUMENT = 3,
    STATUS_DEADLINE_EXCEEDED = 4,
    STATUS_NOT_FOUND = 5,
    STATUS_ALREADY_EXISTS = 6,
    STATUS_PERMISSION_DENIED = 7,
    STATUS_RESOURCE_EXHAUSTED = 8,
    STATUS_FAILED_PRECONDITION = 9,
    STATUS_ABORTED = 10,
    STATUS_OUT_OF_RANGE = 11,
    STATUS_UNIMPLEMENTED = 12,
    STATUS_INTERNAL = 13,
    STATUS_UNAVAILABLE = 14,
    STATUS_DATA_LOSS = 15,
    STATUS_UNAUTHENTICATED = 16,
};

struct error {
    enum status_code code;
    char text[512]; /* cut with "..." when longer */
};

/* Fills `e` (may be NULL) and returns -code. A macro, so that compilers see that a failure is never 0. */
#define error_set(e, code, ...)                                                                              \
    ({                                                                                                       \
        const enum status_code error_code_ = (code);                                                         \
        error_fill((e), error_code_, __VA_ARGS__);                                                           \
        error_code_ == STATUS_OK ? -(int)STATUS_UNKNOWN : -(int)error_code_;                                 \
    })
void error_fill(struct error *e, enum status_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Like error_set, with ": strerror(errnum)" after the text and the code that fits the errno. */
int error_errno(struct error *e, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the text of `e`; returns -e->code. */
int error_prefix(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void error_clear(struct error *e);

/* "DEADLINE_EXCEEDED"; never NULL. */
const char *status_name(enum status_code code);
