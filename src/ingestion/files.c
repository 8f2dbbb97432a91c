#include "ingestion/files.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingestion/files_internal.h"

/* ---- names ---- */

static int too_long(const char *path)
{
    return error_set(ERR_TOO_LARGE, "path_too_long", "path '%.80s...' is too long", path);
}

int file_join(const char *folder, const char *relative, char out[PATH_MAX])
{
    const char *slash = *relative ? "/" : "";
    if (snprintf(out, PATH_MAX, "%s%s%s", folder, slash, relative) >= PATH_MAX)
        return too_long(folder);
    return OK;
}

/* The folder a path is in, and its name there. A name that is no name ("", ".", "..") stays with
 * the folder. */
static const char *split(char *path, const char **folder)
{
    char *slash = strrchr(path, '/');
    char *name = slash ? slash + 1 : path;
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) {
        *folder = path;
        return "";
    }
    *folder = slash == path ? "/" : slash ? path : ".";
    if (slash)
        *slash = '\0';
    return name;
}

int file_root_init(struct file_root *root, const char *path)
{
    char copy[PATH_MAX], resolved[PATH_MAX];
    const char *folder;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0)
        return error_set(ERR_INVALID, NULL, "a path is empty");
    if (length >= sizeof copy)
        return too_long(path);
    memcpy(root->given, path, length);
    root->given[length] = '\0';
    memcpy(copy, root->given, length + 1);
    const char *name = split(copy, &folder);
    if (!realpath(*folder ? folder : "/", resolved))
        return error_set_errno(errno, "cannot find '%s'", path);
    return file_join(strcmp(resolved, "/") == 0 ? "" : resolved, name, root->absolute);
}

static const char *base_name(const char *absolute)
{
    const char *slash = strrchr(absolute, '/');
    return slash ? slash + 1 : absolute;
}

/* The prefix without slashes at its end. */
static int prefix_length(const char *prefix)
{
    size_t length = strlen(prefix);
    while (length > 0 && prefix[length - 1] == '/')
        length--;
    return length < INT_MAX ? (int)length : INT_MAX;
}

int file_key(const struct file_root *root, const char *relative, const struct file_options *options,
             char key[CAP_KEY + 1])
{
    const char *prefix = options->prefix;
    const char *base = prefix ? base_name(root->absolute) : root->absolute + (*root->absolute != 0);
    int length = prefix ? prefix_length(prefix) : 0;
    int n = snprintf(key, CAP_KEY + 1, "%.*s%s%s%s%s", length, prefix ? prefix : "",
                     length ? "/" : "", base, *base && *relative ? "/" : "", relative);
    if (n > CAP_KEY)
        return error_set(ERR_TOO_LARGE, "bad_key", "the key of '%.80s...' has more than %d bytes",
                         *relative ? relative : root->given, CAP_KEY);
    return OK;
}

/* ---- walking ---- */

struct walk {
    struct intake *in;
    const struct file_options *options;
    struct file_root root;
    bool has_excluded;
    struct stat excluded;
};

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool skips_folder(const struct walk *w, const FTSENT *entry)
{
    if (entry->fts_level > 0 && entry->fts_name[0] == '.' && !w->options->hidden)
        return true;
    return w->has_excluded && entry->fts_statp->st_dev == w->excluded.st_dev &&
           entry->fts_statp->st_ino == w->excluded.st_ino;
}

/* The root's absolute name may be "", and fts walks "/" then. */
static const char *relative_name(const struct walk *w, const FTSENT *entry)
{
    const char *relative = entry->fts_path + strlen(w->root.absolute);
    while (*relative == '/')
        relative++;
    return relative;
}

static int skip(struct walk *w, const char *relative, const char *why)
{
    char path[PATH_MAX];
    if (file_join(w->root.given, relative, path))
        return intake_refuse(w->in, FILE_FAILED, relative, "");
    error_set(ERR_INVALID, "not_taken", "'%s' %s", path, why);
    return intake_refuse(w->in, FILE_SKIPPED, path, "");
}

static int fail(struct walk *w, const char *relative, int errnum)
{
    char path[PATH_MAX];
    if (file_join(w->root.given, relative, path))
        return intake_refuse(w->in, FILE_FAILED, relative, "");
    error_set_errno(errnum, "cannot read '%s'", path);
    return intake_refuse(w->in, FILE_FAILED, path, "");
}

static int take_named(struct walk *w, const char *relative)
{
    char path[PATH_MAX], key[CAP_KEY + 1];
    if (file_join(w->root.given, relative, path))
        return intake_refuse(w->in, FILE_FAILED, relative, "");
    if (w->options->key)
        return intake_file(w->in, path, w->options->key, WRITER_FINE, NULL);
    if (file_key(&w->root, relative, w->options, key))
        return intake_refuse(w->in, FILE_FAILED, path, "");
    return intake_file(w->in, path, key, WRITER_FINE, NULL);
}

/* Links to files are followed; links to folders could lead round in circles. */
static int take_link(struct walk *w, const FTSENT *entry, const char *relative)
{
    struct stat st;
    if (stat(entry->fts_accpath, &st))
        return skip(w, relative, "is a symbolic link to nothing");
    if (S_ISDIR(st.st_mode))
        return skip(w, relative, "is a symbolic link to a folder; name it to add what is in it");
    return take_named(w, relative);
}

static int visit(struct walk *w, FTS *tree, FTSENT *entry)
{
    const char *relative = relative_name(w, entry);
    bool hidden = entry->fts_level > 0 && entry->fts_name[0] == '.' && !w->options->hidden;
    switch (entry->fts_info) {
    case FTS_D:
        if (skips_folder(w, entry))
            fts_set(tree, entry, FTS_SKIP);
        else if (w->options->key)
            return error_set(ERR_INVALID, NULL, "'%s' is a folder: a key names one file",
                             w->root.given);
        return OK;
    case FTS_DP:
        return OK;
    case FTS_DC:
        return skip(w, relative, "leads back to a folder above it");
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return fail(w, relative, entry->fts_errno);
    case FTS_SL:
    case FTS_SLNONE:
        return hidden ? OK : take_link(w, entry, relative);
    default: /* what is no regular file is told by intake_file */
        return hidden ? OK : take_named(w, relative);
    }
}

static int walk_tree(struct walk *w)
{
    char *const roots[] = {*w->root.absolute ? w->root.absolute : (char[]){"/"}, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    FTSENT *entry;
    int rc = tree ? OK : error_set_errno(errno, "cannot walk through '%s'", w->root.given);
    while (!rc && (errno = 0, entry = fts_read(tree))) {
        if (cancel_requested(w->options->cancel))
            rc = error_set(ERR_CANCELLED, NULL, "stopped");
        else
            rc = visit(w, tree, entry);
    }
    if (!rc && errno)
        rc = error_set_errno(errno, "cannot walk through '%s'", w->root.given);
    if (tree)
        fts_close(tree);
    return rc;
}

/* ---- the arguments ---- */

static int take_path(struct walk *w, const char *path)
{
    if (strcmp(path, "-") == 0)
        return intake_stream(w->in, STDIN_FILENO, "standard input", w->options->key);
    if (file_root_init(&w->root, path))
        return intake_refuse(w->in, FILE_FAILED, path, "");
    return walk_tree(w);
}

static int check_options(const char *const *paths, size_t count, const struct file_options *options)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(paths[i], "-") == 0 && !options->key)
            return error_set(ERR_INVALID, NULL, "standard input has no name: give it a key");
    if (options->key && count > 1)
        return error_set(ERR_INVALID, NULL, "a key names one file, not %zu", count);
    return OK;
}

int ingest_paths(const struct ingestion_ports *ports, const char *const *paths, size_t count,
                 const struct file_options *options, struct file_totals *totals)
{
    int rc = check_options(paths, count, options);
    if (rc)
        return rc;
    struct walk *w = calloc(1, sizeof *w);
    if (!w)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory");
    w->options = options;
    w->has_excluded = options->exclude && stat(options->exclude, &w->excluded) == 0;
    rc = intake_open(ports, options, totals, &w->in);
    for (size_t i = 0; !rc && i < count; i++)
        rc = take_path(w, paths[i]);
    if (w->in) { /* whatever happened, what is uploaded is not forgotten */
        struct error error = *error_last();
        int flushed = intake_flush(w->in);
        if (rc)
            error_restore(&error);
        else
            rc = flushed;
    }
    intake_close(w->in);
    free(w);
    return rc;
}
