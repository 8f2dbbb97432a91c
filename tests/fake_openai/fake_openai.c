#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "fake.h"

static int usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [--port N] [--key KEY] [--latency-ms N] [--error-rate R] [--seed N]\n"
            "          [--threads N] [--model NAME]... [--die-with-parent]\n",
            program);
    return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option table[] = {
        {"port", required_argument, NULL, 'p'},
        {"key", required_argument, NULL, 'k'},
        {"latency-ms", required_argument, NULL, 'l'},
        {"error-rate", required_argument, NULL, 'e'},
        {"seed", required_argument, NULL, 's'},
        {"threads", required_argument, NULL, 't'},
        {"model", required_argument, NULL, 'm'},
        {"die-with-parent", no_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (c == 'p')
            o->port = atoi(optarg);
        else if (c == 'k')
            o->key = optarg;
        else if (c == 'l')
            o->latency_ms = atoll(optarg);
        else if (c == 'e')
            o->error_rate = atof(optarg);
        else if (c == 's')
            o->seed = strtoull(optarg, NULL, 0);
        else if (c == 't')
            o->threads = atoi(optarg);
        else if (c == 'm' && o->model_count < EXTRA_MODELS)
            o->models[o->model_count++] = optarg;
        else if (c == 'd')
            o->die_with_parent = true;
        else
            return false;
    }
    return optind == argc;
}

/* A thousand clients with several connections each. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .threads = 1};
    if (!parse(argc, argv, &options))
        return usage(argv[0]);
    if (options.die_with_parent)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    raise_descriptor_limit();
    return server_run(&options);
}
