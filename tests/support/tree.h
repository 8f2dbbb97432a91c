/* tree.h - what tests leave on the disk. */
#ifndef AEGIS_TESTS_TREE_H
#define AEGIS_TESTS_TREE_H

/* Removes a folder and all below it; links are removed, not followed. 0, or -1 with errno set. */
int tree_remove(const char *path);

#endif
