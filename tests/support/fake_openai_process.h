/*
 * fake_openai_process.h - the fake OpenAI server (tests/fake_openai) as a child of a test.
 */
#ifndef TESTS_SUPPORT_FAKE_OPENAI_PROCESS_H
#define TESTS_SUPPORT_FAKE_OPENAI_PROCESS_H

#include <sys/types.h>

struct fake_openai {
    pid_t pid;
    int port;
    char base_url[64]; /* "http://127.0.0.1:PORT/v1" */
};

/* Starts it with these further arguments (ends with NULL) and waits until it listens. Exits the
 * test program if it cannot. */
void fake_openai_start(struct fake_openai *fake, const char *const *arguments);
void fake_openai_stop(struct fake_openai *fake);

/* POSTs to /__control, see tests/fake_openai/control.c. */
void fake_openai_control(const struct fake_openai *fake, const char *json);

/* GETs "/__control/stats" or "/__control/last". The caller frees it. */
char *fake_openai_get(const struct fake_openai *fake, const char *path);

#endif
