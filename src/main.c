#include "commands/children.h"
#include "commands/cli.h"

int main(int argc, char **argv)
{
    children_dispatch(argc, argv);
    return cli_main(argc, argv);
}
