#include "cli/table.h"

#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define MAX_COLUMNS 16

struct table {
    size_t n_columns, n_cells;
    bool right[MAX_COLUMNS];
    int width[MAX_COLUMNS];
    char **cells; /* heads first */
};

static void add(struct table *table, const char *text)
{
    char clean[1024];
    text_clean(text && *text ? text : "-", clean, sizeof(clean));
    size_t column = table->n_cells % table->n_columns;
    int width = text_width(clean);
    if (width > table->width[column])
        table->width[column] = width;
    if ((table->n_cells & (table->n_cells - 1)) == 0)
        table->cells = xrealloc(table->cells, table->n_cells ? table->n_cells * 2 : 1, sizeof(char *));
    table->cells[table->n_cells++] = xstrdup(clean);
}

struct table *table_new(const char *heads)
{
    struct table *table = new0(struct table);
    table->n_columns = 1;
    for (const char *p = heads; *p; p++)
        table->n_columns += *p == '|';
    if (table->n_columns > MAX_COLUMNS)
        abort();
    for (size_t i = 0; i < table->n_columns; i++) {
        table->right[i] = *heads == '>';
        heads += table->right[i];
        _cleanup_free_ char *head = xasprintf("%.*s", (int)strcspn(heads, "|"), heads);
        add(table, head);
        heads += strlen(head) + 1;
    }
    return table;
}

void table_cell(struct table *table, const char *text)
{
    add(table, text);
}

void table_cellf(struct table *table, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    add(table, text);
    free(text);
}

void table_print(struct table *table, FILE *out)
{
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t column = i % table->n_columns;
        bool last = column + 1 == table->n_columns;
        int pad = table->width[column] - text_width(table->cells[i]);
        if (table->right[column])
            fprintf(out, "%*s", pad, "");
        fputs(table->cells[i], out);
        if (!last)
            fprintf(out, "%*s", (table->right[column] ? 0 : pad) + 2, "");
        else
            fputc('\n', out);
    }
    table_free(table);
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}
