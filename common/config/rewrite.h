/* Writes the events of a document out again, so that a list given by name ("policies: {default: {...}}") reaches libcyaml
 * as the list that it knows ("policies: [{name: default, ...}]"). A call that fails makes the whole rewrite fail. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

struct rewrite {
    yaml_emitter_t emitter;
    bool failed;
    char *text;
    size_t length, room;
};

void rewrite_init(struct rewrite *w);
void rewrite_deinit(struct rewrite *w);

/* Emits and deletes the event. */
void rewrite_event(struct rewrite *w, yaml_event_t *event);
void rewrite_list_start(struct rewrite *w);
void rewrite_list_end(struct rewrite *w);
void rewrite_mapping_start(struct rewrite *w);
void rewrite_text(struct rewrite *w, const char *text);
