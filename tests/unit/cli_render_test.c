/* What operators see, held to the texts in tests/data/cli. To write them anew after a change that is meant:
 * DROVER_WRITE_GOLDEN=1, then read the diff. */
#include "cli/exits.h"
#include "cli/job.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/render.h"
#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MIB 1048576ull
#define NOON 1800014400000ull /* 2027-01-15 12:00:00 UTC */
#define S(text) ((char *)(text))

static void assert_golden(const char *name, const char *text)
{
    const char *data = getenv("DROVER_TEST_DATA");
    assert_non_null(data);
    _cleanup_free_ char *path = xasprintf("%s/cli/%s.txt", data, name);
    if (getenv("DROVER_WRITE_GOLDEN")) {
        FILE *out = fopen(path, "we");
        assert_non_null(out);
        fputs(text, out);
        fclose(out);
        return;
    }
    char expected[16384] = "";
    FILE *in = fopen(path, "re");
    if (!in)
        fail_msg("%s is not there", path);
    expected[fread(expected, 1, sizeof(expected) - 1, in)] = 0;
    fclose(in);
    assert_string_equal(text, expected);
}

struct page {
    char *text;
    size_t length;
    FILE *f;
};

static void open_page(struct page *p)
{
    p->f = open_memstream(&p->text, &p->length);
    assert_non_null(p->f);
}

static void golden(struct page *p, const char *name)
{
    fclose(p->f);
    assert_golden(name, p->text);
    free(p->text);
}

static void hosts(void **state)
{
    (void)state;
    Drover__V1__Cpu cpu = DROVER__V1__CPU__INIT;
    cpu.online = 32;
    Drover__V1__HostReport good = DROVER__V1__HOST_REPORT__INIT, no_libvirt,
                           storage = DROVER__V1__HOST_REPORT__INIT;
    good.hypervisor = good.libvirt_up = true;
    good.libvirt_version = 9000000;
    good.qemu_version = 7002011;
    good.memory_total = 257642 * MIB;
    good.memory_guests = 100000 * MIB;
    good.memory_reserved = 4096 * MIB;
    good.vcpus_guests = 48;
    good.cpu = &cpu;
    no_libvirt = good;
    no_libvirt.libvirt_up = false;
    no_libvirt.libvirt_error = S("Failed to connect socket to '/run/libvirt/libvirt-sock': No such file");
    storage.storage = true;
    Drover__V1__HostStatus h[6];
    Drover__V1__HostStatus *rows[6];
    for (int i = 0; i < 6; i++) {
        drover__v1__host_status__init(&h[i]);
        h[i].since = NOON;
        h[i].up = h[i].synced = true;
        h[i].report = &good;
        rows[i] = &h[i];
    }
    h[0].name = S("kvm1");
    h[0].site = S("tokyo");
    Drover__V1__Usage usage = DROVER__V1__USAGE__INIT;
    usage.cpu = 11300; /* of its 32 CPUs */
    h[0].usage = &usage;
    h[0].guests_running = 11;
    h[0].guests_total = 14;
    h[1].name = S("kvm-with-a-long-name");
    h[1].site = S("大阪");
    h[1].report = &no_libvirt;
    h[2].name = S("kvm3");
    h[2].synced = false;
    h[3].name = S("kvm4");
    h[3].up = false;
    h[3].why = S("no answer\033[2J within 3 s");
    h[3].report = NULL;
    h[4].name = S("export1");
    h[4].report = &storage;
    h[5].name = S("new");
    h[5].up = h[5].synced = false;
    h[5].since = 0;
    h[5].report = NULL;
    Drover__V1__ListHostsReply reply = DROVER__V1__LIST_HOSTS_REPLY__INIT;
    reply.hosts = rows;
    struct page p;
    open_page(&p);
    render_hosts(&reply, p.f);
    fputs("\n", p.f);
    reply.n_hosts = 6;
    render_hosts(&reply, p.f);
    golden(&p, "hosts");

    json_t *document = render_hosts_json(&reply);
    json_t *list = json_object_get(document, "hosts");
    static const char *const states[] = {"up", "up", "syncing", "down", "up", "down"};
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, i), "state")), states[i]);
    assert_null(json_object_get(json_array_get(list, 3), "report"));
    json_decref(document);
}

static void guests(void **state)
{
    (void)state;
    Drover__V1__Disk vda = DROVER__V1__DISK__INIT, vdb = DROVER__V1__DISK__INIT, cd = DROVER__V1__DISK__INIT;
    vda.target = S("vda");
    vda.device = S("disk");
    vda.type = S("network");
    vda.protocol = S("iscsi");
    vda.format = S("raw");
    vdb.target = S("vdb");
    vdb.device = S("disk");
    vdb.type = S("file");
    vdb.format = S("qcow2");
    cd.target = S("sda");
    cd.device = S("cdrom");
    Drover__V1__Disk *disks[] = {&vda, &cd, &vdb};
    Drover__V1__Guest a = DROVER__V1__GUEST__INIT, b = DROVER__V1__GUEST__INIT, c = DROVER__V1__GUEST__INIT;
    a.name = S("web1");
    a.state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    a.memory_max = 8192 * MIB;
    a.vcpus = 4;
    a.persistent = a.autostart = true;
    a.disks = disks;
    a.n_disks = 3;
    b.name = S("dätenbank");
    b.state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    b.memory_max = 768 * MIB;
    b.vcpus = 16;
    b.persistent = true;
    c.name = S("tmp");
    c.state = DROVER__V1__GUEST_STATE__GUEST_PAUSED;
    Drover__V1__GuestStatus s[3];
    Drover__V1__GuestStatus *rows[3];
    Drover__V1__Guest *all[] = {&a, &b, &c};
    for (int i = 0; i < 3; i++) {
        drover__v1__guest_status__init(&s[i]);
        s[i].host = S("kvm1");
        s[i].guest = all[i];
        rows[i] = &s[i];
    }
    Drover__V1__Usage usage = DROVER__V1__USAGE__INIT;
    usage.cpu = 3930;
    s[0].usage = &usage;
    s[0].job = 12;
    s[2].host = S("kvm2");
    s[2].stale = true;
    Drover__V1__ListGuestsReply reply = DROVER__V1__LIST_GUESTS_REPLY__INIT;
    reply.guests = rows;
    struct page p;
    open_page(&p);
    render_guests(&reply, NULL, p.f);
    render_guests(&reply, "kvm1", p.f);
    fputs("\n", p.f);
    reply.n_guests = 3;
    render_guests(&reply, NULL, p.f);
    golden(&p, "vms");
}

static Drover__V1__Finding finding(const char *id, Drover__V1__Severity severity, const char *subject,
                                   const char *seen, const char *expected, const char *todo)
{
    Drover__V1__Finding f = DROVER__V1__FINDING__INIT;
    f.id = S(id);
    f.severity = severity;
    f.subject = S(subject);
    f.seen = S(seen);
    f.expected = S(expected);
    f.todo = S(todo);
    return f;
}

static void check(void **state)
{
    (void)state;
    Drover__V1__Finding f[] = {
        finding("cpu-model", DROVER__V1__SEVERITY__INFO, "", "both EPYC", "", ""),
        finding("memory-free", DROVER__V1__SEVERITY__BLOCK, "host kvm2", "1.2 GiB free", "at least 4 GiB",
                "free memory on kvm2, or choose another host"),
        finding("cache-mode", DROVER__V1__SEVERITY__WARN, "disk vda", "cache=writeback.", "",
                "set cache=none in the guest's definition."),
    };
    Drover__V1__Finding *findings[] = {&f[0], &f[1], &f[2]};
    Drover__V1__MigrateGuestReply r = DROVER__V1__MIGRATE_GUEST_REPLY__INIT;
    r.guest = S("web1");
    r.source = S("kvm1");
    r.destination = S("kvm2");
    r.mode = DROVER__V1__MODE__MODE_LIVE;
    r.findings = findings;
    r.n_findings = 3;
    struct page p;
    open_page(&p);
    render_check(&r, p.f);
    fputs("\n", p.f);
    r.n_findings = 1;
    Drover__V1__Change changes[2] = {DROVER__V1__CHANGE__INIT, DROVER__V1__CHANGE__INIT};
    changes[0].subject = S("disk vda");
    changes[0].from = changes[0].to = S("/srv/web1\x1b.qcow2");
    changes[0].note = S("copied, 3 MiB");
    changes[1].subject = S("interface 52:54:00:00:00:01 (bridge)");
    changes[1].from = S("br0");
    changes[1].to = S("br-vm");
    Drover__V1__Change *list[] = {&changes[0], &changes[1]};
    r.changes = list;
    r.n_changes = 2;
    render_check(&r, p.f);
    golden(&p, "check");
}

static Drover__V1__Job job(uint64_t id, const char *guest, Drover__V1__JobState js)
{
    Drover__V1__Job j = DROVER__V1__JOB__INIT;
    j.id = id;
    j.kind = S("migrate");
    j.guest = S(guest);
    j.source = S("kvm1");
    j.destination = S("kvm2");
    j.mode = DROVER__V1__MODE__MODE_LIVE;
    j.state = js;
    j.phase = S("transfer");
    j.created = j.started = NOON;
    j.operator_ = S("oncall");
    return j;
}

static Drover__V1__Progress transfer(void)
{
    Drover__V1__Progress p = DROVER__V1__PROGRESS__INIT;
    p.phase = S("transfer");
    p.bytes_total = 512 * MIB;
    p.bytes_done = 312 * MIB;
    p.bytes_left = 200 * MIB;
    p.rate = 98 * MIB;
    p.dirty_rate = 20 * MIB;
    p.iteration = 2;
    p.elapsed = 3140;
    p.remaining = 2100;
    p.downtime = 52;
    return p;
}

static void outcomes(void **state)
{
    (void)state;
    Drover__V1__Result result = DROVER__V1__RESULT__INIT;
    result.total = 3100;
    result.downtime = 52;
    result.handover = 9;
    result.pause = 61;
    result.bytes = 312 * MIB;
    Drover__V1__Finding f = finding("image", DROVER__V1__SEVERITY__BLOCK, "disk vda", "no such file",
                                    "the image", "mount the export on kvm2");
    Drover__V1__Finding *findings[] = {&f};
    struct page p;
    open_page(&p);

    Drover__V1__Job done = job(1, "web1", DROVER__V1__JOB_STATE__JOB_DONE);
    done.runs_on = S("kvm2");
    done.text = S("web1 runs on kvm2 (moved from kvm1 in 3.1 s)");
    done.result = &result;
    render_outcome(&done, p.f);
    assert_int_equal(job_exit(&done), EXIT_DONE);

    result.throttle = 40;
    render_outcome(&done, p.f);

    done.text = S("web1 is paused on kvm2 (moved from kvm1 in 3.1 s)");
    render_outcome(&done, p.f);

    done.text = S("web1 runs on kvm2 (moved from kvm1 in 3.1 s); a definition of it is still on kvm1");
    done.todo = S("undefine it there");
    render_outcome(&done, p.f);
    result.throttled = 700;
    result.seen_late = true;
    render_outcome(&done, p.f);
    done.todo = S("");

    done.mode = DROVER__V1__MODE__MODE_DEFINITION;
    done.text = S("web1 is shut off on kvm2 (moved from kvm1 in 3.1 s)");
    render_outcome(&done, p.f);

    Drover__V1__Job failed = job(2, "web2", DROVER__V1__JOB_STATE__JOB_FAILED);
    failed.text = S("web2 is safe on kvm1: no route\nto host");
    failed.todo = S("check the network between kvm1 and kvm2");
    failed.runs_on = S("kvm1");
    render_outcome(&failed, p.f);
    assert_int_equal(job_exit(&failed), EXIT_FAILED);

    failed.findings = findings;
    failed.n_findings = 1;
    failed.text = S("kvm2 can't take part.");
    failed.todo = f.todo;
    render_outcome(&failed, p.f);
    assert_int_equal(job_exit(&failed), EXIT_REFUSED);

    Drover__V1__Job cancelled = job(3, "web3", DROVER__V1__JOB_STATE__JOB_CANCELLED);
    render_outcome(&cancelled, p.f);
    assert_int_equal(job_exit(&cancelled), EXIT_FAILED);
    Drover__V1__Result harm = DROVER__V1__RESULT__INIT;
    harm.pause = 1500;
    cancelled.result = &harm;
    render_outcome(&cancelled, p.f);
    harm.throttled = 700;
    harm.throttle = 30;
    render_outcome(&cancelled, p.f);

    Drover__V1__Job doubt = job(4, "web4", DROVER__V1__JOB_STATE__JOB_IN_DOUBT);
    doubt.text = S("whether web4 is still on kvm1 is not known");
    doubt.todo = S("make kvm1's agent reachable; it goes on by itself");
    render_outcome(&doubt, p.f);
    assert_int_equal(job_exit(&doubt), EXIT_IN_DOUBT);
    assert_true(job_is_open(&doubt));
    golden(&p, "outcomes");
}

static void jobs(void **state)
{
    (void)state;
    Drover__V1__Progress progress = transfer();
    Drover__V1__Result result = DROVER__V1__RESULT__INIT;
    result.total = 3100;
    result.pause = 61;
    result.bytes = 312 * MIB;
    Drover__V1__JobEntry entry = DROVER__V1__JOB_ENTRY__INIT;
    entry.at = NOON + 1000;
    entry.text = S("kvm1 is prepared");
    Drover__V1__JobEntry *log[] = {&entry};
    Drover__V1__Job running = job(12, "web1", DROVER__V1__JOB_STATE__JOB_RUNNING),
                    doubt = job(9, "database", DROVER__V1__JOB_STATE__JOB_IN_DOUBT),
                    done = job(8, "web1", DROVER__V1__JOB_STATE__JOB_DONE);
    running.progress = &progress;
    running.text = S("web1 moves from kvm1 to kvm2");
    running.log = log;
    running.n_log = 1;
    doubt.phase = S("settling");
    doubt.text = S("whether database is still on kvm1 is not known");
    done.result = &result;
    done.ended = NOON + 3000;
    Drover__V1__Job *open[] = {&running, &doubt}, *ended[] = {&done};
    Drover__V1__ListJobsReply reply = DROVER__V1__LIST_JOBS_REPLY__INIT;
    struct page p;
    open_page(&p);
    render_jobs(&reply, false, NULL, p.f);
    render_jobs(&reply, true, NULL, p.f);
    render_jobs(&reply, true, "web9", p.f);
    fputs("\n", p.f);
    reply.jobs = open;
    reply.n_jobs = 2;
    render_jobs(&reply, false, NULL, p.f);
    fputs("\n", p.f);
    reply.jobs = ended;
    reply.n_jobs = 1;
    render_jobs(&reply, true, NULL, p.f);
    fputs("\n", p.f);
    render_job(&running, p.f);
    golden(&p, "jobs");
}

static void progress_fits_the_screen(void **state)
{
    (void)state;
    Drover__V1__Progress moving = transfer(), paused = transfer();
    paused.paused = true;
    paused.downtime = 1800;
    paused.throttle = 30;
    paused.remaining = -1;
    paused.bytes_left = 900 * MIB; /* more than the total: nonsense must not overflow the bar */
    Drover__V1__Job a = job(12, "web1", DROVER__V1__JOB_STATE__JOB_RUNNING),
                    b = job(13, "datenbank-für-東京", DROVER__V1__JOB_STATE__JOB_RUNNING),
                    c = job(14, "web3", DROVER__V1__JOB_STATE__JOB_IN_DOUBT),
                    d = job(15, "esc\033[2J", DROVER__V1__JOB_STATE__JOB_QUEUED);
    a.progress = &moving;
    b.progress = &paused;
    c.text = S("whether web3 is still on kvm1 is not known, so it is not started anywhere else");
    d.phase = S("");
    struct progress_guest all[] = {{&a, 3400}, {&b, 3140}, {&c, 60000}, {&d, 0}};
    static const struct progress_screen screens[] = {{140, 40, true}, {100, 24, false}, {80, 24, true},
                                                     {60, 24, true},  {40, 24, true},   {80, 7, true},
                                                     {80, 5, true},   {5, 2, true}};
    struct page p;
    open_page(&p);
    for (size_t i = 0; i < sizeof(screens) / sizeof(screens[0]); i++) {
        const struct progress_screen *s = &screens[i];
        struct page one;
        open_page(&one);
        progress_draw(all, 4, s, one.f);
        fclose(one.f);
        fprintf(p.f, "-- %d x %d %s\n%s", s->columns, s->rows, s->utf8 ? "UTF-8" : "ASCII", one.text);
        int lines = 0;
        for (char *line = strtok(one.text, "\n"); line; line = strtok(NULL, "\n"), lines++)
            assert_true(text_width(line) < (s->columns < 20 ? 20 : s->columns));
        assert_true(lines < s->rows);
        free(one.text);
    }
    progress_line(&moving, p.f);
    fputc('\n', p.f);
    progress_line(&paused, p.f);
    fputc('\n', p.f);
    Drover__V1__Progress disks = DROVER__V1__PROGRESS__INIT;
    disks.disk_total = 200 * MIB;
    disks.disk_done = 80 * MIB;
    a.progress = &disks;
    progress_draw(all, 1, &screens[2], p.f);
    progress_line(&disks, p.f);
    fputc('\n', p.f);
    golden(&p, "progress");
}

static void json_has_every_field(void **state)
{
    (void)state;
    Drover__V1__Job j = job(12,
                            "web\xff"
                            "1",
                            DROVER__V1__JOB_STATE__JOB_IN_DOUBT);
    Drover__V1__Finding f = finding("x", DROVER__V1__SEVERITY__WARN, "", "", "", "");
    Drover__V1__Finding *findings[] = {&f};
    Drover__V1__Result result = DROVER__V1__RESULT__INIT;
    result.bytes = UINT64_MAX;
    j.findings = findings;
    j.n_findings = 1;
    j.result = &result;
    j.mode = DROVER__V1__MODE__MODE_POST_COPY;
    json_t *document = json_of_message(&j.base);
    char *text = json_dumps(document, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    assert_golden("job-json", text);
    free(text);
    json_decref(document);
    assert_string_equal(enum_word(&drover__v1__mode__descriptor, 99), "?");
    assert_string_equal(enum_word(&drover__v1__severity__descriptor, 0), "unset");
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts),
        cmocka_unit_test(guests),
        cmocka_unit_test(check),
        cmocka_unit_test(outcomes),
        cmocka_unit_test(jobs),
        cmocka_unit_test(progress_fits_the_screen),
        cmocka_unit_test(json_has_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
