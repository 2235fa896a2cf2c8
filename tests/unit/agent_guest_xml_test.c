/* Each tests/data/domains/NAME.xml parses to what NAME.txt says. */
#include "agent/io/guest_xml.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "tests/unit/message_text.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char *read_file(const char *dir, const char *name, const char *suffix)
{
    _cleanup_free_ char *path = xasprintf("%s/%s%s", dir, name, suffix);
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (!f)
        fail_msg("cannot open %s", path);
    char *text = xcalloc(1, 1 << 20);
    text[fread(text, 1, (1 << 20) - 1, f)] = 0;
    return text;
}

static void check_domain(const char *dir, const char *name)
{
    _cleanup_free_ char *xml = read_file(dir, name, ".xml"), *expected = read_file(dir, name, ".txt");
    Drover__V1__Guest *guest = NULL;
    struct error err = {0};
    if (guest_xml_parse(xml, strlen(xml), &guest, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    _cleanup_free_ char *text = message_text(&guest->base);
    drover__v1__guest__free_unpacked(guest, NULL);
    if (!streq(text, expected))
        fail_msg("%s is read as\n%s\nexpected\n%s", name, text, expected);
}

static void domains_are_read_as_expected(void **state)
{
    (void)state;
    const char *data = getenv("DROVER_TEST_DATA");
    assert_non_null(data);
    _cleanup_free_ char *path = xasprintf("%s/domains", data);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char *dot = strrchr(e->d_name, '.');
        if (!dot || !streq(dot, ".xml"))
            continue;
        *dot = 0;
        check_domain(path, e->d_name);
        n++;
    }
    closedir(dir);
    assert_in_range(n, 5, 1000);
}

static void refuses(const char *xml, size_t length, enum status_code code, const char *text)
{
    Drover__V1__Guest *untouched = (Drover__V1__Guest *)&untouched, *guest = untouched;
    struct error err = {0};
    assert_int_equal(guest_xml_parse(xml, length, &guest, &err), -(int)code);
    assert_ptr_equal(guest, untouched);
    if (!strstr(err.text, text))
        fail_msg("the error is \"%s\"; expected \"%s\" in it", err.text, text);
}

#define UUID "<uuid>11111111-2222-3333-4444-555555555555</uuid>"

static void malformed_xml_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *xml, *text;
    } cases[] = {
        {"", "not well-formed"},
        {"no xml", "not well-formed: line 1"},
        {"<domain><name>a</name>", "not well-formed"},
        {"<domain>\n<name>a</nam>\n</domain>", "line 2"},
        {"<network><name>a</name>" UUID "</network>", "<network>, not with <domain>"},
        {"<domain>" UUID "</domain>", "no <name>"},
        {"<domain><name>a</name></domain>", "no valid <uuid>"},
        {"<domain><name>a</name><uuid>1234</uuid></domain>", "no valid <uuid>, but \"1234\""},
        {"<domain><name>\xff\xfe</name>" UUID "</domain>", "not well-formed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refuses(cases[i].xml, strlen(cases[i].xml), STATUS_INVALID_ARGUMENT, cases[i].text);
}

static void entities_and_document_types_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *xml, *text;
    } cases[] = {
        {"<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name>" UUID
         "</domain>",
         "declares a document type"},
        {"<!DOCTYPE domain SYSTEM 'http://127.0.0.1:1/d.dtd'><domain><name>a</name>" UUID "</domain>",
         "declares a document type"},
        {"<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
         "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><domain><name>&c;</name>" UUID "</domain>",
         "line 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refuses(cases[i].xml, strlen(cases[i].xml), STATUS_INVALID_ARGUMENT, cases[i].text);
}

static void xml_without_an_end_is_refused(void **state)
{
    (void)state;
    size_t size = 8u << 20;
    _cleanup_free_ char *big = xcalloc(1, size);
    memset(big, ' ', size);
    refuses(big, size, STATUS_RESOURCE_EXHAUSTED, "at most");

    /* Nested 100,000 deep: libxml2 stops at 256. */
    size_t n = 0;
    for (; n < 300000; n++)
        big[n] = "<a>"[n % 3];
    refuses(big, n, STATUS_INVALID_ARGUMENT, "not well-formed");

    _cleanup_free_ char *many = xcalloc(1, size);
    n = (size_t)sprintf(many, "<domain><name>a</name>" UUID "<devices>");
    for (int i = 0; i < 5000; i++)
        n += (size_t)sprintf(many + n, "<disk/>");
    n += (size_t)sprintf(many + n, "</devices></domain>");
    refuses(many, n, STATUS_RESOURCE_EXHAUSTED, "more than 4096 devices");
}

/* Every prefix of a real document, and every document with one byte changed, is read or refused. */
static void damaged_xml_never_crashes(void **state)
{
    (void)state;
    _cleanup_free_ char *dir = xasprintf("%s/domains", getenv("DROVER_TEST_DATA"));
    _cleanup_free_ char *xml = read_file(dir, "uefi-block", ".xml");
    size_t length = strlen(xml);
    assert_int_not_equal(length, 0);
    unsigned read = 0, refused = 0;
    for (size_t i = 0; length && i < 2 * length; i++) {
        Drover__V1__Guest *guest = NULL;
        char old = xml[i % length];
        if (i >= length)
            xml[i % length] = "<>'\"&\0\xff"[i % 7];
        if (guest_xml_parse(xml, i < length ? i : length, &guest, NULL) == 0) {
            drover__v1__guest__free_unpacked(guest, NULL);
            read++;
        } else {
            refused++;
        }
        xml[i % length] = old;
    }
    assert_in_range(refused, length, 2 * length);
    assert_in_range(read, 1, length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_are_read_as_expected),
        cmocka_unit_test(malformed_xml_is_refused_with_a_reason),
        cmocka_unit_test(entities_and_document_types_are_refused),
        cmocka_unit_test(xml_without_an_end_is_refused),
        cmocka_unit_test(damaged_xml_never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
