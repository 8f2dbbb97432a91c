#include "commands/children.h"

#include "adapters/offline/offline.h"
#include "media/media.h"
#include "shared/child.h"

void children_dispatch(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    child_dispatch(argc, argv, offline_children);
}
