/* metered_providers.h - model providers whose every call is counted and timed. */
#ifndef AEGIS_SERVER_METERED_PROVIDERS_H
#define AEGIS_SERVER_METERED_PROVIDERS_H

#include "ports/model_provider.h"
#include "server/metrics.h"

struct metered_providers;

/* *out does what `providers` do. Both borrowed things must outlive it; closing it closes none of
 * them. */
int metered_providers_open(const struct model_providers *providers, struct metrics *metrics,
                           struct metered_providers **handle, struct model_providers *out);
void metered_providers_close(struct metered_providers *handle); /* NULL is fine */

#endif
