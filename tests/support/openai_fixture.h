/*
 * openai_fixture.h - the OpenAI provider opened against one fake server that a test program shares.
 */
#ifndef TESTS_SUPPORT_OPENAI_FIXTURE_H
#define TESTS_SUPPORT_OPENAI_FIXTURE_H

#include "adapters/openai/openai.h"
#include "shared/json.h"
#include "support/fake_openai_process.h"

#define OPENAI_KEY "sk-test-0123456789abcdef"

extern struct fake_openai openai_fake;
extern struct http_engine *openai_engine;
extern const struct clock openai_clock;   /* stands still */
extern const char *const openai_three[3]; /* texts to embed */

struct openai_fixture {
    struct model_provider provider;
    struct arena arena;
    struct model_calls calls;
};

/* For cmocka_run_group_tests: the server and the HTTP engine. */
int openai_fixture_start(void **state);
int openai_fixture_stop(void **state);
struct openai_options openai_fixture_options(void);
/* Each opens a provider and resets the server; openai_fixture_close frees it. */
void openai_fixture_open_with(struct openai_fixture *f, const struct openai_options *options);
void openai_fixture_open(struct openai_fixture *f);
void openai_fixture_open_model(struct openai_fixture *f, enum model_operation operation,
                               const char *model);
void openai_fixture_close(struct openai_fixture *f);
/* A rule for the next request. */
void openai_fixture_fault(const char *rule);
/* The body of the newest request, as JSON; the caller frees it. */
yyjson_doc *openai_fixture_last_request(void);
/* Since the reset. */
int64_t openai_fixture_requests_to(const char *path);
/* Fails unless rc and the last error are these, and no key is in its message. */
void openai_fixture_expect(int rc, int code, const char *reason);
int openai_fixture_summarise(struct openai_fixture *f, struct summary *out);
int openai_fixture_embed(struct openai_fixture *f, const char *const *texts, size_t count,
                         struct embed_result *out);

#endif
