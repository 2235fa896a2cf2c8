#include "cli/json.h"

#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* "JobState" -> "JOB_": protobuf wants the values of all enums of a file to differ, hence the prefix. */
static size_t prefix_length(const ProtobufCEnumDescriptor *d, const char *name)
{
    size_t i = 0;
    do {
        if (toupper((unsigned char)d->short_name[i]) != name[i])
            return 0;
        i++;
    } while (d->short_name[i] && !isupper((unsigned char)d->short_name[i]));
    return name[i] == '_' ? i + 1 : 0;
}

const char *enum_word(const ProtobufCEnumDescriptor *d, int value)
{
    static __thread char word[64];
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);
    if (!v)
        return "?";
    const char *name = v->name + prefix_length(d, v->name);
    size_t n = 0;
    for (; name[n] && n < sizeof(word) - 1; n++)
        word[n] = name[n] == '_' ? '-' : (char)tolower((unsigned char)name[n]);
    word[n] = 0;
    return word;
}

static json_t *text_json(const char *text)
{
    if (!text)
        text = "";
    json_t *value = json_string(text);
    if (value)
        return value;
    size_t size = strlen(text) * 4 + 1;
    _cleanup_free_ char *clean = xcalloc(1, size);
    return json_string(text_clean(text, clean, size));
}

static json_t *value_json(const ProtobufCFieldDescriptor *f, const void *p)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32: return json_integer(*(const int32_t *)p);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32: return json_integer(*(const uint32_t *)p);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64: return json_integer(*(const int64_t *)p);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: {
        uint64_t n = *(const uint64_t *)p;
        return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
    }
    case PROTOBUF_C_TYPE_FLOAT: return json_real((double)*(const float *)p);
    case PROTOBUF_C_TYPE_DOUBLE: return json_real(*(const double *)p);
    case PROTOBUF_C_TYPE_BOOL: return json_boolean(*(const protobuf_c_boolean *)p);
    case PROTOBUF_C_TYPE_ENUM: return json_string(enum_word(f->descriptor, *(const int *)p));
    case PROTOBUF_C_TYPE_STRING: return text_json(*(char *const *)p);
    case PROTOBUF_C_TYPE_BYTES: return json_null();
    case PROTOBUF_C_TYPE_MESSAGE: return json_of_message(*(ProtobufCMessage *const *)p);
    }
    return json_null();
}

static size_t element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return 8;
    case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    default: return 4;
    }
}

json_t *json_of_message(const ProtobufCMessage *message)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];
        const char *p = (const char *)message + f->offset;
        json_t *value;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            value = json_array();
            size_t n = *(const size_t *)((const char *)message + f->quantifier_offset);
            const char *items = *(char *const *)p;
            for (size_t k = 0; k < n; k++)
                json_array_append_new(value, value_json(f, items + k * element_size(f->type)));
        } else if (f->type == PROTOBUF_C_TYPE_MESSAGE && !*(ProtobufCMessage *const *)p) {
            continue;
        } else {
            value = value_json(f, p);
        }
        json_object_set_new(object, f->name, value);
    }
    return object;
}
