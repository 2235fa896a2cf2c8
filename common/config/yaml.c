#include "common/config/yaml.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "common/config/scan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct capture {
    char text[256]; /* libcyaml's first error */
};

__attribute__((format(printf, 3, 0))) static void on_log(cyaml_log_t level, void *ctx, const char *fmt,
                                                         va_list args)
{
    struct capture *c = ctx;
    if (level != CYAML_LOG_ERROR || c->text[0])
        return;
    vsnprintf(c->text, sizeof(c->text), fmt, args);
    c->text[strcspn(c->text, "\n")] = 0;
}

static cyaml_config_t config_for(struct capture *c)
{
    return (cyaml_config_t){.log_fn = on_log,
                            .log_ctx = c,
                            .log_level = CYAML_LOG_ERROR,
                            .mem_fn = cyaml_mem,
                            .flags = CYAML_CFG_NO_ALIAS};
}

int yaml_load_text(const char *name, const char *text, size_t length, const cyaml_schema_value_t *schema,
                   void **ret, struct error *err)
{
    struct yaml_scanned scanned = {0};
    int r = yaml_scan(name, text, length, schema, &scanned, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *rewritten = scanned.text;
    if (rewritten) {
        text = rewritten;
        length = scanned.length;
    }

    /* libcyaml gives NULL for a mapping in which nothing is set; callers get one of zeros. */
    void *data = NULL;
    if (!scanned.empty) {
        struct capture capture = {0};
        cyaml_config_t config = config_for(&capture);
        cyaml_err_t e = cyaml_load_data((const uint8_t *)text, length, &config, schema, &data, NULL);
        if (e != CYAML_OK)
            return error_set(err, e == CYAML_ERR_OOM ? STATUS_RESOURCE_EXHAUSTED : STATUS_INVALID_ARGUMENT,
                             "%s: %s (%s)", name, cyaml_strerror(e), capture.text);
    }
    *ret = data ? data : xcalloc(1, schema->data_size);
    return 0;
}

int yaml_load_file(const char *path, const cyaml_schema_value_t *schema, void **ret, struct error *err)
{
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (!f)
        return error_errno(err, errno, "can't open the configuration %s", path);
    /* One byte more than allowed, so that a longer file is seen as such. */
    _cleanup_free_ char *text = xcalloc(1, YAML_MAX_BYTES + 1);
    size_t length = fread(text, 1, YAML_MAX_BYTES + 1, f);
    if (ferror(f))
        return error_errno(err, errno, "can't read the configuration %s", path);
    return yaml_load_text(path, text, length, schema, ret, err);
}

void yaml_unload(const cyaml_schema_value_t *schema, void *data)
{
    struct capture capture = {0};
    cyaml_config_t config = config_for(&capture);
    if (data)
        cyaml_free(&config, schema, data, 0);
}
