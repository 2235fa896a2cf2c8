/* The drover program itself, against the coordinator of cli_fake.c: output, exit codes, and what it does when it is
 * interrupted, on a terminal and elsewhere. $DROVER_CLI and $DROVER_CLI_FAKE name the two programs. */
#include "cli/exits.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>

#define DEADLINE_MS 20000

static char dir[] = "/tmp/drover-cli-XXXXXX";
static char *url;
static pid_t fake = -1;
static int fake_out = -1;

/* ---- processes --------------------------------------------------------------------------------------------------- */

struct run {
    pid_t pid;
    int fd;       /* its output, or its terminal */
    int error_fd; /* -1 on a terminal */
    char out[65536], err[8192];
    size_t n_out, n_err;
    int exit; /* -1: still running */
};

static bool take(int fd, char *buffer, size_t size, size_t *used)
{
    ssize_t n = read(fd, buffer + *used, size - 1 - *used);
    if (n > 0)
        *used += (size_t)n;
    buffer[*used] = 0;
    return n > 0;
}

/* Waits for output until `text` has come (NULL: until the end). */
static bool wait_for(struct run *r, const char *text)
{
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    bool out = true, err = r->error_fd >= 0;
    while ((out || err) && !(text && (strstr(r->out, text) || strstr(r->err, text)))) {
        struct pollfd fds[] = {{.fd = out ? r->fd : -1, .events = POLLIN},
                               {.fd = err ? r->error_fd : -1, .events = POLLIN}};
        int64_t left = until - clock_monotonic_ms();
        if (left <= 0 || poll(fds, 2, (int)left) <= 0)
            return false;
        if (fds[0].revents)
            out = take(r->fd, r->out, sizeof(r->out), &r->n_out);
        if (fds[1].revents)
            err = take(r->error_fd, r->err, sizeof(r->err), &r->n_err);
    }
    return !text || strstr(r->out, text) || strstr(r->err, text);
}

static void end(struct run *r)
{
    if (!wait_for(r, NULL)) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
        fail_msg("no end within the deadline; output so far:\n%s%s", r->out, r->err);
    }
    int status;
    assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
    r->exit = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    close(r->fd);
    if (r->error_fd >= 0)
        close(r->error_fd);
}

/* What meson says a file is; a name that can't be opened if the test was started without it. */
static const char *file_of(const char *variable)
{
    const char *path = getenv(variable);
    return path ? path : variable;
}

static void exec_drover(const char *line)
{
    char words[512], *argv[32] = {(char *)"drover"};
    int argc = 1;
    snprintf(words, sizeof(words), "%s", line);
    for (char *p = strtok(words, " "); p && argc < 31; p = strtok(NULL, " "))
        argv[argc++] = p;
    execv(file_of("DROVER_CLI"), argv);
    _exit(127);
}

static void start(struct run *r, const char *line)
{
    *r = (struct run){.exit = -1};
    int out[2], err[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    r->pid = fork();
    if (r->pid == 0) {
        dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        exec_drover(line);
    }
    close(out[1]);
    close(err[1]);
    r->fd = out[0];
    r->error_fd = err[0];
}

static void start_on_terminal(struct run *r, const char *line)
{
    *r = (struct run){.exit = -1, .error_fd = -1};
    struct winsize size = {.ws_row = 24, .ws_col = 100};
    r->pid = forkpty(&r->fd, NULL, NULL, &size);
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        setenv("TERM", "xterm", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        exec_drover(line);
    }
}

static void run(struct run *r, const char *line)
{
    start(r, line);
    end(r);
}

static void type(const struct run *r, const char *keys)
{
    assert_int_equal(write(r->fd, keys, strlen(keys)), strlen(keys));
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

static int start_fake(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    setenv("HOME", "/nonexistent", 1);
    unsetenv("DROVER_TLS_CA");
    unsetenv("DROVER_TLS_CERT");
    if (!mkdtemp(dir))
        return -1;
    _cleanup_free_ char *path = xasprintf("%s/socket", dir);
    url = xasprintf("ipc://%s", path);
    setenv("DROVER_COORDINATOR", url, 1);
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0 || (fake = fork()) < 0)
        return -1;
    if (fake == 0) {
        dup2(out[1], STDOUT_FILENO);
        execl(file_of("DROVER_CLI_FAKE"), "cli_fake", path, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    fake_out = out[0];
    char said[6];
    return read(fake_out, said, sizeof(said)) == 6 && memcmp(said, "ready\n", 6) == 0 ? 0 : -1;
}

static int stop_fake(void **state)
{
    (void)state;
    int status = -1;
    kill(fake, SIGTERM);
    waitpid(fake, &status, 0);
    close(fake_out);
    _cleanup_free_ char *path = xasprintf("%s/socket", dir);
    unlink(path);
    free(url);
    return rmdir(dir) || status;
}

static json_t *json_of(const struct run *r)
{
    json_error_t error;
    json_t *document = json_loads(r->out, 0, &error);
    if (!document)
        fail_msg("no JSON (%s):\n%s", error.text, r->out);
    return document;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void usage_is_checked_before_anything_is_asked(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"migrat web1", "did you mean 'drover migrate'?"},
        {"migrate", "expected: drover migrate VM..."},
        {"migrate web1 web1", "named twice"},
        {"migrate web1 --mode fast", "expected auto, live or offline"},
        {"migrate web1 --mode post-copy", "expected auto, live or offline"},
        {"migrate web1 --max-pause 3", "--max-pause"},
        {"migrate web1 --bandwidth 0B/s", "more than nothing"},
        {"migrate web1 --allow anything", "expected offline and auto-converge"},
        {"migrate web1 --dryrun", "did you mean --dry-run?"},
        {"check web1", "--to HOST is missing"},
        {"job web1", "'web1' is no job"},
        {"watch 1 2", "one word too many"},
        {"history --limit 0", "a number from 1 to 1000"},
        {"hosts --timeout soon", "--timeout"},
        {"pki issu agent/x", "did you mean 'drover pki issue'?"},
        {"pki issue boss/x", "is no role"},
        {"hosts --coordinator http://x", "a URL starts with"},
        {"", "Usage: drover COMMAND"},
        {"pki", "Usage: drover pki COMMAND"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct run r;
        run(&r, cases[i][0]);
        assert_has(r.err, cases[i][1]);
        assert_string_equal(r.out, "");
        assert_int_equal(r.exit, EXIT_USAGE);
    }
}

static void every_command_has_help(void **state)
{
    (void)state;
    static const char *const names[] = {"hosts",    "vms",       "doctor",  "check",  "migrate",
                                        "jobs",     "job",       "watch",   "cancel", "history",
                                        "pki init", "pki issue", "pki list"};
    struct run all;
    run(&all, "--help");
    assert_int_equal(all.exit, EXIT_DONE);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct run r;
        _cleanup_free_ char *line = xasprintf("%s --help", names[i]), *entry = xasprintf("\n  %s ", names[i]);
        assert_has(all.out, entry);
        run(&r, line);
        assert_int_equal(r.exit, EXIT_DONE);
        assert_has(r.out, "Usage: drover ");
        assert_has(r.out, "Examples:");
        assert_has(r.out, "Exit codes:");
    }
}

/* The manual page is kept by hand; it must not forget anything that help tells. */
static void the_manual_page_has_every_option(void **state)
{
    (void)state;
    static const char *const helps[] = {"--help",           "vms --help",     "check --help",
                                        "migrate --help",   "history --help", "pki init --help",
                                        "pki issue --help", "pki list --help"};
    char page[16384] = "";
    FILE *f = fopen(file_of("DROVER_MAN"), "re");
    assert_non_null(f);
    page[fread(page, 1, sizeof(page) - 1, f)] = 0;
    fclose(f);
    for (size_t i = 0; i < sizeof(helps) / sizeof(helps[0]); i++) {
        struct run r;
        int found = 0;
        run(&r, helps[i]);
        for (const char *p = r.out; (p = strstr(p, "\n  --")); found++) {
            p += 5;
            _cleanup_free_ char *option = xasprintf("\\-\\-%.*s", (int)strcspn(p, " \n"), p);
            assert_has(page, option);
        }
        assert_true(found > 0);
    }
}

static void a_coordinator_that_is_not_there(void **state)
{
    (void)state;
    struct run r;
    run(&r, "hosts --coordinator ipc:///nonexistent/socket");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    assert_has(r.err, "ipc:///nonexistent/socket can't be reached: there is no such socket. Is it running");
    run(&r, "migrate web1 --coordinator tcp://127.0.0.1:1 --json");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    json_t *document = json_of(&r);
    assert_string_equal(json_string_value(json_object_get(json_object_get(document, "error"), "code")),
                        "UNAVAILABLE");
    json_decref(document);
    run(&r, "hosts --coordinator tls+tcp://127.0.0.1:1");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    assert_has(r.err, "drover pki issue operator/YOU");
}

static void lists(void **state)
{
    (void)state;
    struct run r;
    run(&r, "hosts");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "kvm1  tokyo  up      3 / 4  12 GiB / 64 GiB");
    assert_has(r.out, "connection refused");
    run(&r, "vms --json");
    json_t *document = json_of(&r);
    json_t *guest = json_object_get(json_array_get(json_object_get(document, "guests"), 0), "guest");
    assert_string_equal(json_string_value(json_object_get(guest, "state")), "running");
    json_decref(document);
    run(&r, "vms");
    assert_has(r.out, "web\\x1b[31m1");
    run(&r, "vms --host nowhere");
    assert_int_equal(r.exit, EXIT_FAILED);
    assert_has(r.err, "known are kvm1, kvm2");
    run(&r, "job 63");
    assert_int_equal(r.exit, EXIT_FAILED);
    run(&r, "cancel 63");
    assert_int_equal(r.exit, EXIT_REFUSED);
}

static void migrate_says_where_the_guest_now_runs(void **state)
{
    (void)state;
    struct run r;
    run(&r, "migrate web1 --to kvm2");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_string_equal(r.err, "");
    assert_has(r.out, "12:00:03 web1: the transfer has begun\n");
    assert_has(
        r.out,
        "web1 now runs on kvm2. 3.1 s in all, paused 61 ms (libvirt 52 ms + handover 9 ms), 312 MiB.\n");
    run(&r, "migrate web2 --json");
    assert_int_equal(r.exit, EXIT_DONE);
    json_t *document = json_of(&r);
    json_t *job = json_array_get(json_object_get(document, "jobs"), 0);
    assert_string_equal(json_string_value(json_object_get(job, "state")), "done");
    assert_string_equal(json_string_value(json_object_get(job, "runs_on")), "kvm2");
    json_decref(document);
}

static void doctor_tells_what_to_change(void **state)
{
    (void)state;
    struct run r;
    run(&r, "doctor");
    assert_int_equal(r.exit, EXIT_REFUSED);
    assert_has(r.out, "kvm1 is ready.\nblock libvirt-listening (host kvm2): seen no TLS; expected a "
                      "listening TLS port. Do: "
                      "listen_tls = 1.\nkvm2 is not ready: 1 finding blocks.\n");
    run(&r, "doctor kvm1");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_string_equal(r.out, "kvm1 is ready.\n");
}

static void findings_are_explained_and_accepted(void **state)
{
    (void)state;
    struct run r;
    run(&r, "check --explain mtu-smaller --coordinator ipc:///nonexistent");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "mtu-smaller (block)\n");
    run(&r, "check --explain mtu-small");
    assert_int_equal(r.exit, EXIT_USAGE);
    assert_has(r.err, "did you mean 'mtu-smaller'?");
    run(&r, "check blocked1 --to kvm2 --accept memory-free");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "warn memory-free (host kvm2), accepted: seen 1.2 GiB free");
}

static void refusals_print_every_finding(void **state)
{
    (void)state;
    struct run r;
    static const char *const lines[] = {"migrate blocked1", "migrate blocked1 --dry-run",
                                        "check blocked1 --to kvm2"};
    for (size_t i = 0; i < 3; i++) {
        run(&r, lines[i]);
        assert_int_equal(r.exit, EXIT_REFUSED);
        assert_has(r.out, "block memory-free (host kvm2): seen 1.2 GiB free; expected at least 4 GiB. Do: ");
        assert_has(r.out, "warn cache-mode (disk vda): seen cache=writeback.\n");
    }
    run(&r, "migrate gone1");
    assert_int_equal(r.exit, EXIT_REFUSED);
    assert_has(r.err, "gone1: there is no guest gone1");
    run(&r, "check web1 --to kvm2");
    assert_has(r.out,
               "forecast: pause, 5.8 s in all, pause 2.3 s, 446 MiB (90 % sure), WHICH THE POLICY DOES NOT "
               "ALLOW");
    assert_has(r.out, "link 94 MiB/s (measured 3.0 s ago); sampled 1 min 1 s ago.");
    run(&r, "check web1 --to kvm2 --json");
    assert_int_equal(r.exit, EXIT_DONE);
    json_t *document = json_of(&r);
    assert_true(json_is_false(json_object_get(document, "refused")));
    json_decref(document);
}

static void several_guests(void **state)
{
    (void)state;
    struct run r;
    run(&r, "migrate web1 fails1 gone1");
    assert_int_equal(r.exit, EXIT_PARTLY);
    assert_has(r.out, "web1 now runs on kvm2");
    assert_has(r.out, "Failed: fails1 is safe on kvm1: no route to host.\nDo: check");
    run(&r, "migrate fails1 fails2");
    assert_int_equal(r.exit, EXIT_FAILED);
    run(&r, "migrate blocked1 gone1 --json");
    assert_int_equal(r.exit, EXIT_REFUSED);
    json_t *document = json_of(&r);
    assert_int_equal(json_array_size(json_object_get(document, "jobs")), 0);
    assert_int_equal(json_array_size(json_object_get(document, "refused")), 2);
    json_decref(document);
}

static int detach(const char *guest)
{
    struct run r;
    _cleanup_free_ char *line = xasprintf("migrate %s --detach --json", guest);
    run(&r, line);
    assert_int_equal(r.exit, EXIT_DONE);
    json_t *document = json_of(&r);
    int id =
        (int)json_integer_value(json_object_get(json_array_get(json_object_get(document, "jobs"), 0), "id"));
    json_decref(document);
    assert_true(id > 0);
    return id;
}

static void an_interrupted_watch_leaves_the_job_running(void **state)
{
    (void)state;
    _cleanup_free_ char *line = xasprintf("watch %d", detach("slow1"));
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < 3; i++) {
        struct run r;
        start(&r, line);
        assert_true(wait_for(&r, "asks kvm1 to prepare"));
        kill(r.pid, signals[i]);
        end(&r);
        assert_int_equal(r.exit, EXIT_INTERRUPTED);
        assert_has(r.out, "goes on. To see it: drover watch");
    }
}

static void a_reader_that_leaves_does_not_end_the_watch(void **state)
{
    (void)state;
    struct run r;
    _cleanup_free_ char *line = xasprintf("watch %d", detach("fails1"));
    start(&r, line);
    assert_true(wait_for(&r, "asks kvm1 to prepare"));
    close(r.fd);
    r.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    end(&r);
    assert_int_equal(r.exit, EXIT_FAILED); /* the job's own end, not SIGPIPE's */
}

static void ctrl_c_on_a_terminal_asks(void **state)
{
    (void)state;
    int id = detach("slow1");
    _cleanup_free_ char *line = xasprintf("watch %d", id), *cancelled = xasprintf("cancel %d\n", id);
    struct run r;
    start_on_terminal(&r, line);
    assert_true(wait_for(&r, "MiB/s"));
    type(&r, "\003");
    assert_true(wait_for(&r, "[l]eave it running, [c]ancel"));
    type(&r, "l");
    end(&r);
    assert_int_equal(r.exit, EXIT_INTERRUPTED);
    assert_has(r.out, "\033[?25l"); /* the cursor was hidden, and is shown again */
    assert_has(strstr(r.out, "goes on. To see it: drover watch"), "\033[?25h");

    start_on_terminal(&r, line);
    assert_true(wait_for(&r, "MiB/s"));
    type(&r, "\003");
    assert_true(wait_for(&r, "[c]ancel"));
    type(&r, "c");
    end(&r);
    assert_int_equal(r.exit, EXIT_FAILED);
    assert_has(r.out, "Cancelled: slow1 is safe on kvm1: cancelled by oncall.");
    char said[64] = "";
    assert_true(read(fake_out, said, sizeof(said) - 1) > 0);
    assert_string_equal(said, cancelled);
}

static void any_other_key_goes_on(void **state)
{
    (void)state;
    struct run r;
    start_on_terminal(&r, "migrate web9");
    assert_true(wait_for(&r, "MiB/s"));
    type(&r, "\003");
    assert_true(wait_for(&r, "[c]ancel"));
    type(&r, " ");
    end(&r);
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "web9 now runs on kvm2.");
}

static void in_doubt_is_an_exit_code_of_its_own(void **state)
{
    (void)state;
    struct run r;
    _cleanup_free_ char *line = xasprintf("watch %d", detach("doubt1"));
    start_on_terminal(&r, line);
    assert_true(wait_for(&r, "IN DOUBT"));
    type(&r, "\003");
    assert_true(wait_for(&r, "[c]ancel"));
    type(&r, "\003");
    end(&r);
    assert_int_equal(r.exit, EXIT_IN_DOUBT);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_checked_before_anything_is_asked),
        cmocka_unit_test(every_command_has_help),
        cmocka_unit_test(the_manual_page_has_every_option),
        cmocka_unit_test(a_coordinator_that_is_not_there),
        cmocka_unit_test(lists),
        cmocka_unit_test(migrate_says_where_the_guest_now_runs),
        cmocka_unit_test(doctor_tells_what_to_change),
        cmocka_unit_test(findings_are_explained_and_accepted),
        cmocka_unit_test(refusals_print_every_finding),
        cmocka_unit_test(several_guests),
        cmocka_unit_test(an_interrupted_watch_leaves_the_job_running),
        cmocka_unit_test(a_reader_that_leaves_does_not_end_the_watch),
        cmocka_unit_test(ctrl_c_on_a_terminal_asks),
        cmocka_unit_test(any_other_key_goes_on),
        cmocka_unit_test(in_doubt_is_an_exit_code_of_its_own),
    };
    return cmocka_run_group_tests(tests, start_fake, stop_fake);
}
