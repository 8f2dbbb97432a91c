#include "adapters/ram/store_ram.h"
#include "support/store_conformance.h"

static int open_ram(void *ctx, struct object_store *out)
{
    (void)ctx;
    return ram_store_open(out);
}

int main(void)
{
    return store_conformance_run(
        &(struct store_conformance){.name = "object_store: ram", .open = open_ram});
}
