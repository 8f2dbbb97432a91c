/* children.h - what this program can be as a sandboxed child (shared/child.h). */
#ifndef AEGIS_COMMANDS_CHILDREN_H
#define AEGIS_COMMANDS_CHILDREN_H

/* Call first in main(). */
void children_dispatch(int argc, char **argv);

#endif
