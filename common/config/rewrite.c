#include "common/config/rewrite.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static int append(void *arg, unsigned char *buffer, size_t size)
{
    struct rewrite *w = arg;
    if (w->length + size > w->room) {
        w->room = 2 * (w->length + size);
        w->text = xrealloc(w->text, w->room, 1);
    }
    memcpy(w->text + w->length, buffer, size);
    w->length += size;
    return 1;
}

void rewrite_init(struct rewrite *w)
{
    *w = (struct rewrite){0};
    w->failed = !yaml_emitter_initialize(&w->emitter);
    if (w->failed)
        return;
    yaml_emitter_set_output(&w->emitter, append, w);
    yaml_emitter_set_unicode(&w->emitter, 1);
    yaml_emitter_set_width(&w->emitter, -1);
}

void rewrite_deinit(struct rewrite *w)
{
    yaml_emitter_delete(&w->emitter);
    free(w->text);
}

void rewrite_event(struct rewrite *w, yaml_event_t *event)
{
    if (w->failed)
        yaml_event_delete(event);
    else
        w->failed = !yaml_emitter_emit(&w->emitter, event);
}

void rewrite_list_start(struct rewrite *w)
{
    yaml_event_t e;
    w->failed |= !yaml_sequence_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
    if (!w->failed)
        rewrite_event(w, &e);
}

void rewrite_list_end(struct rewrite *w)
{
    yaml_event_t e;
    w->failed |= !yaml_sequence_end_event_initialize(&e);
    if (!w->failed)
        rewrite_event(w, &e);
}

void rewrite_mapping_start(struct rewrite *w)
{
    yaml_event_t e;
    w->failed |= !yaml_mapping_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
    if (!w->failed)
        rewrite_event(w, &e);
}

void rewrite_text(struct rewrite *w, const char *text)
{
    yaml_event_t e;
    w->failed |= !yaml_scalar_event_initialize(&e, NULL, NULL, (const unsigned char *)text, -1, 1, 1,
                                               YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    if (!w->failed)
        rewrite_event(w, &e);
}
