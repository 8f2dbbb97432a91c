#include "commands/doctor_checks.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/app_keys.h"
#include "commands/libraries.h"
#include "media/media.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/nearest.h"

void finding_add(struct findings *all, const char *name, enum finding_status status,
                 const char *advice, const char *format, ...)
{
    if (all->count == FINDINGS_CAP)
        return;
    struct finding *f = &all->items[all->count++];
    *f = (struct finding){.name = name, .status = status};
    snprintf(f->advice, sizeof f->advice, "%s", advice ? advice : "");
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->detail, sizeof f->detail, format, ap);
    va_end(ap);
    if (status > all->worst)
        all->worst = status;
    if (all->print)
        all->print(all->app, f);
    fflush(stdout);
}

/* ---- the program ---- */

void check_libraries(struct findings *all)
{
    struct library libraries[LIBRARIES_CAP];
    size_t count = libraries_list(libraries);
    char text[512] = "aegis " AEGIS_VERSION;
    for (size_t i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", %s %s", libraries[i].name,
                 libraries[i].version);
    finding_add(all, "libraries", FINDING_OK, NULL, "%s", text);
}

static bool in_path(const char *program, char *out, size_t size)
{
    const char *path = getenv("PATH");
    for (const char *p = path ? path : "/usr/bin:/bin"; *p; p += *p == ':') {
        size_t length = strcspn(p, ":");
        if (snprintf(out, size, "%.*s/%s", (int)length, p, program) < (int)size &&
            access(out, X_OK) == 0)
            return true;
        p += length;
    }
    return false;
}

void check_helpers(struct findings *all)
{
    char path[512];
    if (in_path("pdftotext", path, sizeof path))
        finding_add(all, "pdftotext", FINDING_OK, NULL, "%s", path);
    else
        finding_add(all, "pdftotext", FINDING_WARN,
                    "install poppler-utils (apt-get install poppler-utils)",
                    "not found: PDF files cannot be read");
}

static int keep_text(void *ctx, const char *text, size_t length)
{
    char *kept = ctx;
    size_t have = strlen(kept);
    snprintf(kept + have, 64 - have, "%.*s", (int)length, text);
    return OK;
}

static int parse_something(char kept[64])
{
    static const char page[] = "<html><body><p>sandbox</p></body></html>";
    struct media_identity identity;
    struct text_info info;
    struct text_sink sink = {.write = keep_text, .ctx = kept};
    int fd = memfd_create("doctor", MFD_CLOEXEC);
    if (fd < 0)
        return error_set(ERR_IO, NULL, "memfd_create failed");
    int rc = file_write_all(fd, "memfd", page, sizeof page - 1);
    if (!rc && lseek(fd, 0, SEEK_SET))
        rc = error_set_errno(errno, "cannot seek");
    if (!rc)
        rc = media_identify(fd, sizeof page - 1, "page.html", &identity);
    if (!rc)
        rc = media_extract_text(fd, sizeof page - 1, &identity, NULL, app_stop(), &sink, &info);
    close(fd);
    return rc;
}

void check_sandbox(struct findings *all)
{
    char kept[64] = "";
    if (parse_something(kept))
        finding_add(all, "sandbox", FINDING_FAIL,
                    "the kernel must allow seccomp filters (CONFIG_SECCOMP_FILTER), also inside a "
                    "container",
                    "a parser could not run in it: %s", error_last()->message);
    else if (!strstr(kept, "sandbox"))
        finding_add(all, "sandbox", FINDING_FAIL, NULL, "a parser ran in it and read nothing");
    else
        finding_add(all, "sandbox", FINDING_OK, NULL, "parsers run in a locked-down child");
}

/* ---- the configuration ---- */

extern char **environ;

static bool is_known_variable(const char *name)
{
    static const char *const others[] = {"AEGIS_DATA", "AEGIS_CONFIG", NULL};
    size_t count;
    const struct setting *table = config_settings(&count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(table[i].env, name))
            return true;
    for (size_t i = 0; others[i]; i++)
        if (!strcmp(others[i], name))
            return true;
    return false;
}

static void check_variables(struct findings *all)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    for (char **e = environ; *e; e++) {
        char name[64], advice[160] = "";
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*e, "="), *e);
        if (strncmp(name, "AEGIS_", 6) || is_known_variable(name))
            continue;
        struct nearest n = {.typed = name};
        for (size_t i = 0; i < count; i++)
            nearest_offer(&n, table[i].env);
        if (n.best)
            snprintf(advice, sizeof advice, "did you mean %s?", n.best);
        finding_add(all, "environment", FINDING_WARN, advice,
                    "%s is set, and no setting has that name", name);
    }
}

static bool file_holds_secret(const struct config *config)
{
    size_t count;
    const struct setting *table = config_settings(&count);
    for (size_t i = 0; i < count; i++)
        if (table[i].type == SETTING_SECRET && config_source(config, table[i].key) == SOURCE_FILE)
            return true;
    return false;
}

void check_configuration(struct findings *all)
{
    const struct config *config = all->app->config;
    const char *file = config_file(config);
    struct stat st;
    if (!*file)
        finding_add(all, "configuration", FINDING_OK, NULL,
                    "no file: defaults, environment, flags");
    else if (!stat(file, &st) && (st.st_mode & 077) && file_holds_secret(config))
        finding_add(all, "configuration", FINDING_WARN, "chmod 600 it",
                    "%s holds a key and can be read by others", file);
    else
        finding_add(all, "configuration", FINDING_OK, NULL, "%s", file);
    check_variables(all);
}

/* ---- providers ---- */

static void check_provider(struct findings *all, enum model_operation operation, const char *name,
                           bool call)
{
    const struct model_provider *p = &all->app->providers.by_operation[operation];
    struct model_identity id;
    if (p->ops->identify(p->ctx, operation, &id)) {
        finding_add(all, name, FINDING_FAIL, NULL, "%s", error_last()->message);
        return;
    }
    bool offline = !strcmp(id.provider, "offline");
    if ((call || offline) && p->ops->check(p->ctx, operation, app_stop())) {
        finding_add(all, name, FINDING_FAIL, NULL, "%s, %s: %s", id.provider, id.model,
                    error_last()->message);
        return;
    }
    const char *advice = NULL;
    if (id.draft)
        advice = "drafts only; set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own";
    finding_add(all, name, FINDING_OK, advice, "%s, %s%s", id.provider, id.model,
                call || offline ? "" : " (not called)");
}

/* No key is no finding: then the providers say that they are offline. */
static void check_key(struct findings *all)
{
    error_clear();
    const char *origin = app_key_origin(all->app);
    if (!origin)
        finding_add(all, "key", FINDING_FAIL, NULL, "%s", error_last()->message);
    else if (*origin)
        finding_add(all, "key", FINDING_OK, NULL, "for OpenAI's API, from %s", origin);
    else if (!strcmp(error_last()->reason, "secret_missing"))
        finding_add(all, "key", FINDING_WARN, NULL, "%s", error_last()->message);
}

void check_providers(struct findings *all, bool call)
{
    check_key(all);
    if (app_providers(all->app)) {
        finding_add(all, "providers", FINDING_FAIL, NULL, "%s", error_last()->message);
        return;
    }
    check_provider(all, MODEL_TRANSCRIBE, "transcription", call);
    check_provider(all, MODEL_SUMMARISE, "summaries", call);
    check_provider(all, MODEL_EMBED, "embeddings", call);
    check_provider(all, MODEL_ANSWER, "answers", call);
}
