#include "cli/terminal.h"

#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

static struct {
    bool entered;
    struct termios before;
    char *drawn; /* as it is on the screen */
} terminal;

bool terminal_usable(void)
{
    const char *term = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp() && term &&
           *term && strcmp(term, "dumb") != 0;
}

bool terminal_utf8(void)
{
    setlocale(LC_CTYPE, "");
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void terminal_size(int *ret_columns, int *ret_rows)
{
    struct winsize size = {0};
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    *ret_columns = known && size.ws_col ? size.ws_col : 80;
    *ret_rows = known && size.ws_row ? size.ws_row : 24;
}

static void write_whole(const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(STDOUT_FILENO, data, length);
        if (n < 0 && errno != EINTR)
            return;
        data += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
}

static void write_text(const char *text)
{
    write_whole(text, strlen(text));
}

void terminal_enter(void)
{
    if (terminal.entered || tcgetattr(STDIN_FILENO, &terminal.before) < 0)
        return;
    fflush(stdout);
    struct termios raw = terminal.before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    write_text("\033[?25l");
    terminal.entered = true;
}

void terminal_leave(void)
{
    if (!terminal.entered)
        return;
    write_text("\033[?25h");
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal.before);
    terminal.entered = false;
    free(terminal.drawn);
    terminal.drawn = NULL;
}

/* Rows that the drawn text takes now: a terminal that became narrower has wrapped its lines. */
static int rows_drawn(int columns)
{
    int rows = 0;
    for (const char *p = terminal.drawn; p && *p;) {
        size_t length = strcspn(p, "\n");
        _cleanup_free_ char *line = xasprintf("%.*s", (int)length, p);
        int width = text_width(line);
        rows += width > columns ? (width + columns - 1) / columns : 1;
        p += length + (p[length] == '\n');
    }
    return rows;
}

void terminal_draw(const char *above, const char *lines)
{
    int columns, rows;
    terminal_size(&columns, &rows);
    char *frame = NULL;
    size_t length = 0;
    FILE *f = open_memstream(&frame, &length);
    if (!f)
        abort();
    int up = rows_drawn(columns);
    if (up > 0)
        fprintf(f, "\033[%dA\r", up);
    if (*above)
        fprintf(f, "\033[J%s", above);
    /* Each line erases only what it leaves free, so that nothing flickers. */
    for (const char *p = lines; *p;) {
        size_t n = strcspn(p, "\n");
        fprintf(f, "%.*s\033[K\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
    fputs("\033[J", f);
    fclose(f);
    write_whole(frame, length);
    free(frame);
    free(terminal.drawn);
    terminal.drawn = xstrdup(lines);
}
