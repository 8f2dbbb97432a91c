/* doctor_data.c - the checks of the data directory and what is in it. */
#include <inttypes.h>
#include <linux/magic.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "commands/app_aws.h"
#include "commands/app_parts.h"
#include "commands/doctor_checks.h"
#include "commands/embed_model.h"
#include "database/sqlite.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/http.h"

/* ---- the directory ---- */

static const struct {
    unsigned long magic;
    const char *name;
    bool remote; /* SQLite's shared memory does not work over it between machines */
} file_systems[] = {
    {EXT4_SUPER_MAGIC, "ext4", false},
    {XFS_SUPER_MAGIC, "xfs", false},
    {BTRFS_SUPER_MAGIC, "btrfs", false},
    {TMPFS_MAGIC, "tmpfs", false},
    {OVERLAYFS_SUPER_MAGIC, "overlayfs", false},
    {F2FS_SUPER_MAGIC, "f2fs", false},
    {0x2fc12fc1, "zfs", false},
    {NFS_SUPER_MAGIC, "nfs", true},
    {SMB_SUPER_MAGIC, "smb", true},
    {SMB2_SUPER_MAGIC, "smb2", true},
    {CIFS_SUPER_MAGIC, "cifs", true},
    {V9FS_MAGIC, "9p", true},
    {CEPH_SUPER_MAGIC, "ceph", true},
    {0, NULL, false},
};

static void check_file_system(struct findings *all, const char *data)
{
    struct statfs fs;
    if (statfs(data, &fs))
        return;
    for (size_t i = 0; file_systems[i].name; i++) {
        if ((unsigned long)fs.f_type != file_systems[i].magic)
            continue;
        if (file_systems[i].remote)
            finding_add(all, "file system", FINDING_WARN,
                        "keep the data directory on a disk of this machine",
                        "%s: the databases may be damaged when several machines use them",
                        file_systems[i].name);
        else if (fs.f_type == TMPFS_MAGIC)
            finding_add(all, "file system", FINDING_WARN, "use a directory on a disk",
                        "tmpfs: everything is lost at the next restart of the machine");
        else
            finding_add(all, "file system", FINDING_OK, NULL, "%s", file_systems[i].name);
        return;
    }
    finding_add(all, "file system", FINDING_OK, NULL, "type 0x%lx", (unsigned long)fs.f_type);
}

static void check_room(struct findings *all, const char *data)
{
    int64_t bytes;
    char text[HUMAN_TEXT];
    if (file_free_space(data, &bytes)) {
        finding_add(all, "disk space", FINDING_WARN, NULL, "%s", error_last()->message);
        return;
    }
    enum finding_status status = bytes < (int64_t)MIB(100) ? FINDING_FAIL
                                 : bytes < (int64_t)GIB(2) ? FINDING_WARN
                                                           : FINDING_OK;
    finding_add(all, "disk space", status, status ? "make room on the data directory's disk" : NULL,
                "%s free", human_bytes(bytes, text));
}

void check_data_directory(struct findings *all)
{
    const char *data = config_data_directory(all->app->config);
    struct stat st;
    int fd;
    if (stat(data, &st)) {
        finding_add(all, "data directory", FINDING_OK, NULL,
                    "%s is not there yet; the first `aegis add` makes it", data);
        return;
    }
    if (file_temporary(data, &fd)) {
        finding_add(all, "data directory", FINDING_FAIL, "make it writable to this user", "%s: %s",
                    data, error_last()->message);
        return;
    }
    close(fd);
    if (st.st_mode & 077)
        finding_add(all, "data directory", FINDING_WARN, "chmod 700 it",
                    "%s can be read by other users", data);
    else
        finding_add(all, "data directory", FINDING_OK, NULL, "%s", data);
    check_file_system(all, data);
    check_room(all, data);
}

/* ---- the databases ---- */

static int64_t schema_version(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *statement = NULL;
    int64_t version = -1;
    if (!sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) &&
        !sqlite3_prepare_v2(db, "SELECT max(version) FROM schema_migrations", -1, &statement,
                            NULL) &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return version;
}

/* Reading every page of a database larger than this takes longer than a person waits. */
enum { QUICK_MIB = 256 };

static void check_pages(struct findings *all, const char *path, bool deep)
{
    struct stat st;
    if (!deep && !stat(path, &st) && st.st_size > (off_t)MIB(QUICK_MIB)) {
        finding_add(all, "integrity", FINDING_OK, NULL,
                    "not read: large; `aegis doctor --deep` does");
        return;
    }
    if (sqlite_database_check(&all->app->database))
        finding_add(all, "integrity", FINDING_FAIL,
                    "stop every aegis process, keep a copy of the data directory, and restore a "
                    "backup",
                    "%s", error_last()->message);
    else
        finding_add(all, "integrity", FINDING_OK, NULL, "every page was read");
}

static void check_pause(struct findings *all)
{
    const struct database *db = &all->app->database;
    const char *reason = "", *message = "";
    int64_t since;
    if (db->ops->pause_get(db->ctx, &all->app->arena, &reason, &message, &since))
        finding_add(all, "pipeline", FINDING_WARN, NULL, "%s", error_last()->message);
    else if (*reason)
        finding_add(all, "pipeline", FINDING_WARN,
                    "mend the cause: workers try again by themselves and go on", "paused (%s): %s",
                    reason, message);
    else
        finding_add(all, "pipeline", FINDING_OK, NULL, "not paused");
}

void check_databases(struct findings *all, bool deep)
{
    struct app *app = all->app;
    const char *path = app_path(app, "aegis.db"), *url = "";
    if (app_database_url(app, &url)) {
        finding_add(all, "database", FINDING_FAIL, NULL, "%s", error_last()->message);
        return;
    }
    if (!*url && (!path || access(path, F_OK))) {
        finding_add(all, "database", FINDING_OK, NULL, "nothing has been added yet");
        return;
    }
    if (app_database(app)) {
        finding_add(all, "database", FINDING_FAIL, NULL, "%s", error_last()->message);
        return;
    }
    struct totals totals = {0};
    char media[HUMAN_TEXT], chunks[HUMAN_TEXT];
    app->database.ops->totals(app->database.ctx, &totals);
    human_count(totals.media, media);
    human_count(totals.chunks, chunks);
    if (*url) {
        finding_add(all, "database", FINDING_OK, NULL,
                    "PostgreSQL, %s media, %s passages; `aegis db` says more", media, chunks);
    } else {
        finding_add(all, "database", FINDING_OK, NULL, "schema %" PRId64 ", %s media, %s passages",
                    schema_version(path), media, chunks);
        check_pages(all, path, deep);
    }
    check_pause(all);
    if (totals.jobs[JOB_DEAD] > 0)
        finding_add(all, "dead letters", FINDING_WARN, "`aegis dead` lists them with their reasons",
                    "%" PRId64, totals.jobs[JOB_DEAD]);
}

/* Of one machine alone they belong to the data directory. */
void check_objects(struct findings *all)
{
    const struct config *c = all->app->config;
    const char *where;
    if (strcmp(config_string(c, "store"), "s3") != 0 && !*config_string(c, "store.directory"))
        return;
    if (app_store_check(all->app, &where))
        finding_add(all, "objects", FINDING_FAIL, NULL, "%s", error_last()->message);
    else
        finding_add(all, "objects", FINDING_OK, NULL, "%s", where);
}

/* A file is not made by looking for it. */
static bool has_queue(struct app *app)
{
    const char *path = app_path(app, "queue.db"), *url = "";
    if (*config_string(app->config, "queue.url"))
        return true;
    return !app_database_url(app, &url) && (*url || (path && access(path, F_OK) == 0));
}

/* A session's token, what is in objects and in secrets. */
static void check_aws_addresses(struct findings *all)
{
    static const char *const settings[] = {"aws.endpoint_url", "aws.endpoint_url_s3",
                                           "aws.endpoint_url_sqs",
                                           "aws.endpoint_url_secrets_manager", "queue.url"};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (http_url_is_open(config_string(all->app->config, settings[i])))
            finding_add(all, "AWS", FINDING_WARN, "use https",
                        "`%s` leads to another machine over plain HTTP: who is between reads along",
                        settings[i]);
}

void check_aws(struct findings *all)
{
    struct app *app = all->app;
    struct aws_credentials *credentials;
    struct aws_credential credential;
    char source[256];
    if (!*config_string(app->config, "queue.url") &&
        strcmp(config_string(app->config, "store"), "s3") != 0 &&
        strcmp(config_string(app->config, "secrets"), "secrets_manager") != 0)
        return;
    check_aws_addresses(all);
    int rc = app_aws_credentials(app, &credentials);
    if (!rc)
        rc = aws_credentials_get(credentials, app_stop(), &credential);
    explicit_bzero(&credential, sizeof credential);
    if (rc) {
        finding_add(all, "AWS", FINDING_FAIL, NULL, "%s", error_last()->message);
        return;
    }
    aws_credentials_source(credentials, source, sizeof source);
    finding_add(all, "AWS", FINDING_OK, NULL, "credentials of %s", source);
}

void check_queue(struct findings *all)
{
    struct app *app = all->app;
    struct queue_stats stats;
    char age[HUMAN_TEXT];
    if (!has_queue(app))
        return;
    if (app_queue(app) || app->queue.ops->stats(app->queue.ctx, &stats)) {
        finding_add(all, "queue", FINDING_FAIL, NULL, "%s", error_last()->message);
        return;
    }
    bool sqs = !strcmp(app->queue.ops->name, "sqs"), dated = stats.visible > 0 && !sqs;
    bool waiting = stats.visible > 0 && stats.oldest_age_ms > 60000 && stats.in_flight == 0;
    finding_add(all, "queue", waiting ? FINDING_WARN : FINDING_OK,
                waiting ? "nobody seems to work: run `aegis serve`" : NULL,
                "%s%" PRId64 " waiting%s%s, %" PRId64 " under way, %" PRId64 " delayed",
                sqs ? "SQS answers: " : "", stats.visible, dated ? " for up to " : "",
                dated ? human_duration(stats.oldest_age_ms, age) : "", stats.in_flight,
                stats.delayed);
}

void check_spaces(struct findings *all)
{
    struct app *app = all->app;
    struct serving_space serving;
    char chunks[HUMAN_TEXT], missing[HUMAN_TEXT];
    if (!app->database.ops || app->database.ops->space_serving(app->database.ctx, &serving))
        return;
    const char *difference = embed_model_difference(app);
    human_count(serving.chunks, chunks);
    human_count(serving.missing, missing);
    if (serving.missing > 0)
        finding_add(
            all, "search", FINDING_WARN,
            arena_printf(&app->arena, "aegis reprocess --embed-model %s", serving.space.model),
            "%s %s serves, and %s passages are not embedded by it", serving.space.provider,
            serving.space.model, missing);
    else if (difference)
        finding_add(all, "search", FINDING_WARN, "`aegis reprocess --all` changes it too", "%s",
                    difference);
    else
        finding_add(all, "search", FINDING_OK, NULL, "%s passages embedded by %s %s", chunks,
                    serving.space.provider, serving.space.model);
}
