/*
 * child_pdf.c - the child "pdf": poppler's pdfinfo and pdftotext, run inside CHILD_EXEC and killed
 * with this process. Argument: the parent's PATH, to find them by.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "media/frames.h"
#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/child.h"
#include "shared/error.h"

enum { READ_BYTES = 64 << 10, COMPLAINT_BYTES = 4 << 10, PATH_BYTES = 1024 };

/* ---- running a helper ---- */

struct helper {
    pid_t pid;
    int out, complaints;             /* its standard output and error */
    char complaint[COMPLAINT_BYTES]; /* the first of what it said on the latter */
    size_t complained;
};

static bool find_program(const char *path, const char *name, char *out)
{
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, ":");
        int length = snprintf(out, PATH_BYTES, "%.*s/%s", (int)n, p, name);
        if (n > 0 && length < PATH_BYTES && !access(out, X_OK))
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

static _Noreturn void become(const char *program, char *const argv[], int out, int complaints)
{
    char *const environment[] = {(char *)"LC_ALL=C.UTF-8", NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (lseek(0, 0, SEEK_SET) < 0 || dup2(out, 1) < 0 || dup2(complaints, 2) < 0)
        _exit(126);
    execve(program, argv, environment);
    _exit(127);
}

static int start(struct helper *h, const char *program, char *const argv[])
{
    int out[2], complaints[2];
    memset(h, 0, sizeof *h);
    if (pipe2(out, O_CLOEXEC) || pipe2(complaints, O_CLOEXEC))
        return error_set_errno(errno, "cannot create a pipe for '%s'", program);
    h->pid = fork();
    if (h->pid < 0)
        return error_set(ERR_TRANSIENT, NULL, "cannot start '%s': %s", program, strerror(errno));
    if (h->pid == 0)
        become(program, argv, out[1], complaints[1]);
    close(out[1]);
    close(complaints[1]);
    h->out = out[0];
    h->complaints = complaints[0];
    return OK;
}

/* Keeps the beginning, drops the rest. False at the end. */
static bool read_complaints(struct helper *h)
{
    char rest[1024];
    size_t room = sizeof h->complaint - 1 - h->complained;
    ssize_t n =
        read(h->complaints, room ? h->complaint + h->complained : rest, room ? room : sizeof rest);
    if (n > 0 && room) {
        h->complained += (size_t)n;
        h->complaint[h->complained] = '\0';
    }
    return n > 0 || (n < 0 && errno == EINTR);
}

/* Gives its output to `take` until it ends. *status as waitpid's. */
static int drain(struct helper *h, int (*take)(void *ctx, const char *bytes, size_t length),
                 void *ctx, int *status)
{
    char bytes[READ_BYTES];
    struct pollfd fds[2] = {{.fd = h->out, .events = POLLIN},
                            {.fd = h->complaints, .events = POLLIN}};
    int rc = OK;
    while (!rc && (fds[0].fd >= 0 || fds[1].fd >= 0)) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return error_set_errno(errno, "cannot wait for the PDF's text");
        if (fds[1].revents && !read_complaints(h))
            fds[1].fd = -1;
        if (!fds[0].revents)
            continue;
        ssize_t n = read(h->out, bytes, sizeof bytes);
        if (n > 0)
            rc = take(ctx, bytes, (size_t)n);
        else if (n == 0 || errno != EINTR)
            fds[0].fd = -1;
    }
    close(h->out);
    close(h->complaints);
    while (waitpid(h->pid, status, 0) < 0 && errno == EINTR)
        ;
    return rc;
}

/* ---- what its end means ---- */

static int judge(const struct helper *h, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        return error_set(ERR_PERMANENT, "parser_timeout", "pdftotext used up its CPU time");
    if (WIFSIGNALED(status))
        return error_set(ERR_PERMANENT, "parser_crashed", "pdftotext crashed (SIG%s)",
                         sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");
    if (WEXITSTATUS(status) == 0)
        return OK;
    if (strstr(h->complaint, "Incorrect password"))
        return error_set(ERR_PERMANENT, "password_protected",
                         "the PDF is protected by a password; save it without one");
    if (strstr(h->complaint, "ut of memory"))
        return error_set(ERR_PERMANENT, "parser_memory", "the PDF needs too much memory");
    if (WEXITSTATUS(status) >= 126)
        return error_set(ERR_PERMANENT, "no_decoder", "pdftotext could not be started");
    return error_set(ERR_PERMANENT, "unreadable", "the PDF is damaged: %.200s", h->complaint);
}

/* ---- the text ---- */

/* Pages become paragraphs; never more than one blank line, none at the start or the end. */
struct pages {
    int newlines; /* owed */
    bool begun;
    size_t used;
    char out[READ_BYTES];
};

static int send_page_text(struct pages *p)
{
    size_t n = p->used;
    p->used = 0;
    return child_send(FRAME_TEXT, p->out, (uint32_t)n); /* empty ones say that work goes on */
}

static int put(struct pages *p, char c)
{
    p->out[p->used++] = c;
    return p->used == sizeof p->out ? send_page_text(p) : OK;
}

static int take_text(void *ctx, const char *bytes, size_t length)
{
    struct pages *p = ctx;
    int rc = OK;
    for (size_t i = 0; i < length && !rc; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\f') {
            p->newlines = bytes[i] == '\f' || p->newlines ? 2 : 1;
            continue;
        }
        for (; p->newlines && !rc; p->newlines--)
            rc = p->begun ? put(p, '\n') : OK;
        p->begun = true;
        if (!rc)
            rc = put(p, bytes[i]);
    }
    return rc ? rc : send_page_text(p);
}

/* ---- the properties ---- */

static int take_properties(void *ctx, const char *bytes, size_t length)
{
    struct buffer *b = ctx;
    size_t room = b->limit - b->length;
    return buffer_append(b, bytes, length < room ? length : room);
}

static void find_title(const char *properties, char *title, size_t capacity)
{
    const char *line =
        strncmp(properties, "Title:", 6) ? strstr(properties, "\nTitle:") : properties;
    if (!line)
        return;
    line = strchr(line, ':') + 1;
    line += strspn(line, " ");
    snprintf(title, capacity, "%.*s", (int)strcspn(line, "\n"), line);
}

/* ---- */

static int read_properties(const char *program, struct text_info_frame *info)
{
    char *argv[] = {(char *)"pdfinfo", (char *)"-enc", (char *)"UTF-8", (char *)"-", NULL};
    struct helper helper;
    struct buffer properties;
    int status;
    buffer_init(&properties, KIB(64));
    int rc = start(&helper, program, argv);
    if (!rc)
        rc = drain(&helper, take_properties, &properties, &status);
    if (!rc)
        rc = judge(&helper, status);
    if (!rc)
        find_title(buffer_string(&properties), info->title, sizeof info->title);
    buffer_free(&properties);
    return rc;
}

static int read_text(const char *program)
{
    char *argv[] = {(char *)"pdftotext", (char *)"-enc", (char *)"UTF-8",
                    (char *)"-",         (char *)"-",    NULL};
    struct helper helper;
    struct pages *pages = calloc(1, sizeof *pages);
    int status;
    if (!pages)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory to read a PDF");
    int rc = start(&helper, program, argv);
    if (!rc)
        rc = drain(&helper, take_text, pages, &status);
    free(pages);
    return rc ? rc : judge(&helper, status);
}

int child_pdf_run(int argc, char **argv)
{
    struct text_info_frame info = {.title = ""};
    char pdfinfo[PATH_BYTES], pdftotext[PATH_BYTES];
    if (argc < 1 || !find_program(argv[0], "pdftotext", pdftotext) ||
        !find_program(argv[0], "pdfinfo", pdfinfo)) {
        error_set(ERR_PERMANENT, "no_decoder",
                  "'pdftotext' was not found; install poppler-utils to read PDF files");
        return child_fail(error_last());
    }
    if (child_lock_down(CHILD_EXEC) || read_properties(pdfinfo, &info) || read_text(pdftotext))
        return child_fail(error_last());
    return child_send(FRAME_TEXT_INFO, &info, sizeof info) ? 1 : 0;
}
