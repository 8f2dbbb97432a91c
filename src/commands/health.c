#include <stdio.h>
#include <string.h>

#include "commands/app.h"
#include "commands/commands.h"
#include "server/address.h"
#include "shared/http.h"

enum { ANSWER_MS = 5000 };

static const struct option_spec options[] = {
    {.name = "ready", .help = "ask whether it can work now (/readyz), not only whether it lives"},
    {0},
};

static int url_of(const struct app *app, char *url, size_t size)
{
    struct address listening, reachable;
    char text[ADDRESS_TEXT];
    const char *listen = config_string(app->config, "metrics.listen");
    if (!*listen)
        return error_set(ERR_INVALID, NULL,
                         "the setting metrics.listen (AEGIS_METRICS_LISTEN) is empty; give it the "
                         "value that the service has");
    int rc = address_parse(listen, &listening);
    if (rc)
        return error_prefix("metrics.listen");
    address_reachable(&listening, &reachable);
    snprintf(url, size, "http://%s/%s", address_format(&reachable, text),
             arguments_has(app->arguments, "ready") ? "readyz" : "healthz");
    return OK;
}

static int ask(const char *url, struct http_response *out)
{
    struct http_engine *http;
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .connect_timeout_ms = ANSWER_MS,
                                   .timeout_ms = ANSWER_MS,
                                   .max_response = KIB(64),
                                   .direct = true};
    int rc = http_engine_open(&(struct http_options){.user_agent = "aegis/" AEGIS_VERSION}, &http);
    if (rc)
        return rc;
    rc = http_perform(http, &request, NULL, out);
    http_engine_close(http);
    return rc;
}

static void print(struct app *app, const struct http_response *r)
{
    const char *text = buffer_string(&r->body);
    size_t length = strcspn(text, "\r\n");
    if (!app->json) {
        printf("%.*s\n", (int)length, text);
        return;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_bool(doc, o, "ok", r->status == 200);
    yyjson_mut_obj_add_strncpy(doc, o, "detail", text, length);
    print_json(&app->terminal, doc, o);
}

static int run(struct app *app)
{
    char url[128];
    struct http_response response = {0};
    int rc = url_of(app, url, sizeof url);
    if (!rc)
        rc = ask(url, &response);
    if (!rc)
        print(app, &response);
    int status = response.status;
    http_response_free(&response);
    if (rc)
        return app_fail(app);
    return status == 200 ? STATUS_OK : STATUS_FAILED;
}

static const struct example examples[] = {
    {"AEGIS_METRICS_LISTEN=:9464 aegis health", "does the service on this machine answer?"},
    {"aegis health --ready", "can it work now? exit status 1 and why, if not"},
    {0},
};

const struct command command_health = {
    .name = "health",
    .summary = "ask a running service on this machine whether it is well",
    .operands = "",
    .description =
        "Asks the service that answers where the setting `metrics.listen` says, and prints its one "
        "line. Exits with 0 if all is well, with 1 if not or if nobody answers within five "
        "seconds: made for a container's health check. It opens no database.",
    .options = options,
    .examples = examples,
    .json = "  {\"ok\": true, \"detail\": \"ready\"}",
    .run = run,
};
