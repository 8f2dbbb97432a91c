#include "support/aws_fixture.h"
#include "support/s3_place.h"
#include "support/store_conformance.h"

int main(void)
{
    struct aws_fixture server;
    struct s3_place place;
    int skip = aws_fixture_radosgw(&server);
    if (skip)
        return skip;
    s3_place_open(&place, &server);
    int failed =
        store_conformance_run(&(struct store_conformance){.name = "object_store: S3, radosgw",
                                                          .open = s3_place_store,
                                                          .discard = s3_place_empty,
                                                          .ctx = &place,
                                                          .lists_less = true});
    s3_place_close(&place);
    return failed;
}
