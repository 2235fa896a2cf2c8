/* Aligned columns. Cells are copied and made safe to print (text_clean). */
#pragma once

#include <stddef.h>
#include <stdio.h>

struct table;

/* `heads`: "NAME|SITE|>MEMORY"; a ">" aligns the column to the right. */
struct table *table_new(const char *heads);
void table_cell(struct table *table, const char *text); /* NULL or "": "-" */
void table_cellf(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void table_free(struct table *table); /* one that is not to be printed */

/* Prints rows of as many cells as there are heads; the last column is not padded. Frees the table. */
void table_print(struct table *table, FILE *out);
