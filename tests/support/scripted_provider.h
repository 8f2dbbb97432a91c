/*
 * A model provider for tests: deterministic answers, counts of what it was asked, and failures on
 * demand. Thread-safe.
 */
#ifndef AEGIS_TESTS_SCRIPTED_PROVIDER_H
#define AEGIS_TESTS_SCRIPTED_PROVIDER_H

#include "ports/model_provider.h"
#include "shared/error.h"

struct scripted_provider;

struct scripted_provider *scripted_provider_open(int dimension, struct model_providers *out);
void scripted_provider_close(struct scripted_provider *s);

/* Calls of one operation from now: skip `skip` of them, then fail `times` (-1: for ever) with this.
 */
void scripted_fail(struct scripted_provider *s, enum model_operation operation, int skip, int times,
                   enum error_code code, const char *reason);
void scripted_heal(struct scripted_provider *s, enum model_operation operation);

/* Calls of one operation block until scripted_open_gate, or their cancellation. */
void scripted_close_gate(struct scripted_provider *s, enum model_operation operation);
void scripted_open_gate(struct scripted_provider *s, enum model_operation operation);

/* Changes what identify says, as switching the model does. */
void scripted_set_model(struct scripted_provider *s, enum model_operation operation,
                        const char *model);

struct scripted_counts {
    int calls;    /* that arrived, failed ones too */
    int answered; /* that succeeded */
    int inputs;   /* texts embedded by successful calls */
    int waiting;  /* blocked at the gate right now */
};
struct scripted_counts scripted_counts(struct scripted_provider *s, enum model_operation operation);

#endif
