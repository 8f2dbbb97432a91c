#include "commands/children.h"
#include "commands/cli.h"
#include "shared/packed.h"

int main(int argc, char **argv)
{
    packed_settle();
    children_dispatch(argc, argv);
    return cli_main(argc, argv);
}
